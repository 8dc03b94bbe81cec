//! What a request asks of index tags: a condition, or a search.
//!
//! A predicate is a small SQL, `"key" = 'value'` with the other comparisons. They are of strings, byte by byte, and one
//! with a tag that the blob does not have is false. A condition (`x-ms-if-tags`) joins them by `AND`, `OR`, `NOT` and
//! parentheses. The search of Find Blobs by Tags has `AND` only and no `<>`, knows the [`CONTAINER`], and has limits of
//! its own. Either is read to its end before anything is compared, so what cannot be read is refused whatever the tags
//! are.

use std::collections::BTreeSet;
use std::iter::Peekable;
use std::str::CharIndices;
use std::vec;

use super::error::ServiceError;
use super::tags::{KEY_CHARACTERS, TAGS, VALUE_CHARACTERS, is_legal};

/// What a search calls the container's name.
pub(super) const CONTAINER: &str = "@container";

/// Deepest nesting of parentheses and `NOT`, so that a long header does not exhaust the stack.
const DEPTH: usize = 64;

/// A predicate that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Predicate {
    /// The tags that it is about.
    keys: BTreeSet<String>,
    expression: Expression,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Expression {
    Comparison { key: String, symbol: &'static str, value: String },
    Not(Box<Expression>),
    All(Vec<Expression>),
    Any(Vec<Expression>),
}

impl Predicate {
    /// Reads the value of `x-ms-if-tags` or its relative. 400 `InvalidHeaderValue` when it is none.
    pub(super) fn of_condition(header: &str, text: &str) -> Result<Predicate, ServiceError> {
        Predicate::read(Language::Condition, text).map_err(|_| ServiceError::invalid_header(header, text))
    }

    /// Reads the `where` of a search. 400 `InvalidQueryParameterValue` when it is none, and the message says why.
    pub(super) fn of_search(text: &str) -> Result<Predicate, ServiceError> {
        Predicate::read(Language::Search, text).map_err(|Unreadable { at, why }| {
            let place = at.map(|at| format!(" at or near character position {}", at + 1)).unwrap_or_default();
            ServiceError::invalid_query("where", text).with_message(format!("Error parsing query{place}: {why}"))
        })
    }

    fn read(language: Language, text: &str) -> Result<Predicate, Unreadable> {
        let (tokens, keys) = (tokens(text)?.into_iter().peekable(), BTreeSet::new());
        let mut parser = Parser { language, tokens, end: text.len(), keys, depth: 0 };
        let expression = match language {
            Language::Condition => parser.any()?,
            Language::Search => parser.all()?,
        };
        if let Some((at, _)) = parser.tokens.next() {
            return Err(unexpected(at));
        }
        if language == Language::Search && parser.keys.iter().filter(|key| *key != CONTAINER).count() > TAGS {
            let why = format!("there can be at most {TAGS} unique tags in a query");
            return Err(Unreadable { at: None, why });
        }
        Ok(Predicate { keys: parser.keys, expression })
    }

    /// Whether it holds for tags that have these values.
    pub(super) fn holds<'t>(&self, value_of: impl Fn(&str) -> Option<&'t str>) -> bool {
        self.expression.holds(&value_of)
    }

    /// Whether it asks for the tag.
    pub(super) fn names(&self, key: &str) -> bool {
        self.keys.contains(key)
    }
}

impl Expression {
    fn holds<'t>(&self, value_of: &dyn Fn(&str) -> Option<&'t str>) -> bool {
        match self {
            Expression::All(parts) => parts.iter().all(|part| part.holds(value_of)),
            Expression::Any(parts) => parts.iter().any(|part| part.holds(value_of)),
            Expression::Not(part) => !part.holds(value_of),
            Expression::Comparison { key, symbol, value } => value_of(key).is_some_and(|actual| match *symbol {
                "=" => actual == value,
                "<>" => actual != value,
                "<" => actual < value.as_str(),
                "<=" => actual <= value.as_str(),
                ">" => actual > value.as_str(),
                _ => actual >= value.as_str(),
            }),
        }
    }
}

/// Which of the two a text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Language {
    Condition,
    Search,
}

/// Why a text is no predicate.
#[derive(Debug)]
struct Unreadable {
    /// Where, in bytes; `None` if it is about the whole.
    at: Option<usize>,
    why: String,
}

fn unreadable(at: usize, why: &str) -> Unreadable {
    Unreadable { at: Some(at), why: why.to_owned() }
}

fn unexpected(at: usize) -> Unreadable {
    unreadable(at, "this was not expected here")
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    /// A bare word: a key or a keyword.
    Word(String),
    /// A key in double quotes.
    Key(String),
    /// A value in single quotes.
    Text(String),
    Symbol(&'static str),
}

/// The tokens, each with its place.
fn tokens(text: &str) -> Result<Vec<(usize, Token)>, Unreadable> {
    const SYMBOLS: [&str; 8] = ["<=", ">=", "<>", "=", "<", ">", "(", ")"];
    let mut found = Vec::new();
    let mut characters = text.char_indices().peekable();
    while let Some(&(at, character)) = characters.peek() {
        if character.is_whitespace() {
            characters.next();
        } else if character == '\'' || character == '"' {
            characters.next();
            let inside = until_quote(&mut characters, character);
            let inside = inside.ok_or_else(|| unreadable(at, "a quote has no end"))?;
            found.push((at, if character == '"' { Token::Key(inside) } else { Token::Text(inside) }));
        } else if let Some(symbol) = SYMBOLS.into_iter().find(|symbol| text[at..].starts_with(symbol)) {
            symbol.chars().for_each(|_| _ = characters.next());
            found.push((at, Token::Symbol(symbol)));
        } else if is_of_word(character) {
            let mut word = String::new();
            while let Some((_, c)) = characters.next_if(|(_, c)| is_of_word(*c)) {
                word.push(c);
            }
            found.push((at, Token::Word(word)));
        } else {
            return Err(unexpected(at));
        }
    }
    Ok(found)
}

fn is_of_word(character: char) -> bool {
    character.is_alphanumeric() || "@_".contains(character)
}

/// Text up to a closing quote; a doubled quote stands for one.
fn until_quote(characters: &mut Peekable<CharIndices>, quote: char) -> Option<String> {
    let mut text = String::new();
    loop {
        let (_, character) = characters.next()?;
        if character != quote {
            text.push(character);
        } else if characters.next_if(|(_, next)| *next == quote).is_some() {
            text.push(quote);
        } else {
            return Some(text);
        }
    }
}

struct Parser {
    language: Language,
    tokens: Peekable<vec::IntoIter<(usize, Token)>>,
    /// Length of the text.
    end: usize,
    keys: BTreeSet<String>,
    depth: usize,
}

impl Parser {
    fn any(&mut self) -> Result<Expression, Unreadable> {
        let mut parts = vec![self.all()?];
        while self.keyword("OR") {
            parts.push(self.all()?);
        }
        Ok(Expression::Any(parts))
    }

    fn all(&mut self) -> Result<Expression, Unreadable> {
        let mut parts = vec![self.part()?];
        while self.keyword("AND") {
            parts.push(self.part()?);
        }
        Ok(Expression::All(parts))
    }

    fn part(&mut self) -> Result<Expression, Unreadable> {
        if self.language == Language::Search {
            return self.comparison();
        }
        self.depth += 1;
        if self.depth > DEPTH {
            return Err(unreadable(self.end, "it is nested too deeply"));
        }
        let part = if self.keyword("NOT") {
            Expression::Not(Box::new(self.part()?))
        } else if self.tokens.next_if(|(_, token)| *token == Token::Symbol("(")).is_some() {
            let inside = self.any()?;
            match self.next()? {
                (_, Token::Symbol(")")) => inside,
                (at, _) => return Err(unexpected(at)),
            }
        } else {
            self.comparison()?
        };
        self.depth -= 1;
        Ok(part)
    }

    fn comparison(&mut self) -> Result<Expression, Unreadable> {
        let (at, key) = match self.next()? {
            (at, Token::Word(key) | Token::Key(key)) => (at, key),
            (at, _) => return Err(unexpected(at)),
        };
        let symbol = match self.next()? {
            (at, Token::Symbol("<>")) if self.language == Language::Search => return Err(unexpected(at)),
            (_, Token::Symbol(symbol @ ("=" | "<>" | "<" | "<=" | ">" | ">="))) => symbol,
            (at, _) => return Err(unexpected(at)),
        };
        let value = match self.next()? {
            (_, Token::Text(value)) => value,
            (at, _) => return Err(unexpected(at)),
        };
        self.check(&key, &value).map_err(|why| Unreadable { at: Some(at), why })?;
        self.keys.insert(key.clone());
        Ok(Expression::Comparison { key, symbol, value })
    }

    /// What no tag can be, a predicate must not ask for; lengths only count in a search.
    fn check(&self, key: &str, value: &str) -> Result<(), String> {
        let is_search = self.language == Language::Search;
        if is_search && key.starts_with('@') && key != CONTAINER {
            return Err(format!("unsupported parameter {key}"));
        }
        if is_search && !(1..=KEY_CHARACTERS).contains(&key.len()) {
            return Err(format!("tag must be between 1 and {KEY_CHARACTERS} characters in length"));
        }
        if is_search && value.len() > VALUE_CHARACTERS {
            return Err(format!("tag value must be between 0 and {VALUE_CHARACTERS} characters in length"));
        }
        let is_known = is_legal(key) || is_search && key == CONTAINER;
        match is_known && is_legal(value) {
            true => Ok(()),
            false => Err("a character is not permitted in tag name or value".to_owned()),
        }
    }

    fn next(&mut self) -> Result<(usize, Token), Unreadable> {
        self.tokens.next().ok_or_else(|| unreadable(self.end, "it ends too early"))
    }

    fn keyword(&mut self, keyword: &str) -> bool {
        let is_it = |token: &Token| matches!(token, Token::Word(word) if word.eq_ignore_ascii_case(keyword));
        self.tokens.next_if(|(_, token)| is_it(token)).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::devstore::tags::{Tags, from_header};

    fn holds(predicate: &Predicate, tags: &Tags) -> bool {
        predicate.holds(|key| tags.get(key).map(String::as_str))
    }

    #[test]
    fn conditions() {
        let tags = from_header("stage=final&count=07&not=so").unwrap();
        for (text, expected) in [
            ("stage = 'final'", true),
            ("\"stage\" <> 'final'", false),
            ("count >= '05' AND count < '10'", true),
            ("stage='x' OR (count='07' AND NOT stage='x')", true),
            ("missing = 'x'", false),
            ("missing <> 'x'", false),
            ("\"not\" = 'so'", true),
            (&format!("\"{}\" <> 'x'", "k".repeat(200)), false),
        ] {
            assert_eq!(holds(&Predicate::of_condition("h", text).unwrap(), &tags), expected, "{text}");
        }
        for broken in [
            "",
            "stage",
            "stage = final",
            "(stage='final'",
            "stage='final' AND",
            "stage ! 'x'",
            "a='b",
            "'stage'='final'",
            "a==b",
            "a='%'",
            "@container='a'",
            "stage='final' OR",
            &format!("{}a='b'{}", "(".repeat(100_000), ")".repeat(100_000)),
            &format!("{}a='b'", "NOT ".repeat(100_000)),
        ] {
            let error = Predicate::of_condition("x-ms-if-tags", broken).unwrap_err();
            assert_eq!(error.code, "InvalidHeaderValue", "{broken:.40}");
        }
    }

    #[test]
    fn searches() {
        let tags = from_header("stage=final&count=07").unwrap();
        let long = "v".repeat(257);
        let ten: Vec<String> = (0..10).map(|n| format!("k{n}='v'")).collect();
        for (text, expected) in
            [("stage = 'final' AND count > '0'", true), ("stage='x'", false), ("@container = 'box'", false)]
        {
            assert_eq!(holds(&Predicate::of_search(text).unwrap(), &tags), expected, "{text}");
        }
        assert!(Predicate::of_search(&format!("{} AND @container='box'", ten.join(" AND "))).is_ok());
        for (broken, message) in [
            ("stage", " at or near character position 6: it ends too early"),
            ("stage <> 'x'", " at or near character position 7: this was not expected here"),
            ("stage='x' OR stage='y'", " at or near character position 11: this was not expected here"),
            ("(stage='x')", " at or near character position 1: this was not expected here"),
            ("NOT stage='x'", " at or near character position 5: this was not expected here"),
            ("stage='final", " at or near character position 7: a quote has no end"),
            ("@other='x'", " at or near character position 1: unsupported parameter @other"),
            ("stage='@'", " at or near character position 1: a character is not permitted in tag name or value"),
            (
                &format!("{}='x'", "k".repeat(129)),
                " at or near character position 1: tag must be between 1 and 128 characters in length",
            ),
            (
                &format!("stage='{long}'"),
                " at or near character position 1: tag value must be between 0 and 256 characters in length",
            ),
            (&format!("{} AND k10='v'", ten.join(" AND ")), ": there can be at most 10 unique tags in a query"),
        ] {
            let error = Predicate::of_search(broken).unwrap_err();
            assert_eq!(error.code, "InvalidQueryParameterValue", "{broken}");
            assert_eq!(error.message, format!("Error parsing query{message}"), "{broken}");
        }
    }

    #[test]
    fn a_predicate_knows_its_tags() {
        let search = Predicate::of_search("\"a b\"='x' AND @container='box'").unwrap();
        assert!(search.names("a b") && search.names(CONTAINER) && !search.names("x"));
    }
}
