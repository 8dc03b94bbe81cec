//! Index tags: limits, the `x-ms-tags` header, and the predicate of `x-ms-if-tags` and Find Blobs by Tags.
//!
//! The predicate is a small SQL: `"key" = 'value'` with the other comparisons, `AND`, `OR`, `NOT` and parentheses;
//! comparisons are of strings, byte by byte. A comparison with a tag that the blob does not have is false.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::str::CharIndices;

use percent_encoding::percent_decode_str;

use super::error::{Code, ServiceError};

/// Index tags of one blob.
pub(super) type Tags = BTreeMap<String, String>;

/// §1.3: how many tags a blob may have, and how long their parts may be.
const TAGS: usize = 10;
const KEY_CHARACTERS: usize = 128;
const VALUE_CHARACTERS: usize = 256;

/// Checks number, length and characters of tags.
pub(super) fn check(tags: Tags) -> Result<Tags, ServiceError> {
    if tags.len() > TAGS {
        return Err(Code::TagsTooLarge.into());
    }
    let legal = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || " +-./:=_".contains(c));
    for (key, value) in &tags {
        let lengths = (1..=KEY_CHARACTERS).contains(&key.len()) && value.len() <= VALUE_CHARACTERS;
        if !lengths || !legal(key) || !legal(value) {
            return Err(ServiceError::from(Code::InvalidInput).with_message("The tags specified are invalid."));
        }
    }
    Ok(tags)
}

/// Reads the `x-ms-tags` header: `k=v&k2=v2`, URL-encoded.
pub(super) fn from_header(text: &str) -> Result<Tags, ServiceError> {
    let decode = |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
    let pairs = text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(key), decode(value))
    });
    check(pairs.collect())
}

/// Whether `predicate` holds for `tags`; 400 `InvalidHeaderValue` when it cannot be read.
pub(super) fn matches(predicate: &str, tags: &Tags) -> Result<bool, ServiceError> {
    let mut parser = Parser { tokens: tokens(predicate)?.into_iter().peekable(), tags };
    match (parser.any(), parser.tokens.next()) {
        (Some(holds), None) => Ok(holds),
        _ => Err(ServiceError::invalid_header("x-ms-if-tags", predicate)),
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    /// A bare word, or a key in double quotes.
    Word(String),
    /// A value in single quotes.
    Text(String),
    Symbol(&'static str),
}

fn tokens(predicate: &str) -> Result<Vec<Token>, ServiceError> {
    const SYMBOLS: [&str; 8] = ["<=", ">=", "<>", "=", "<", ">", "(", ")"];
    let unreadable = || ServiceError::invalid_header("x-ms-if-tags", predicate);
    let mut found = Vec::new();
    let mut characters = predicate.char_indices().peekable();
    while let Some(&(at, character)) = characters.peek() {
        if character.is_whitespace() {
            characters.next();
        } else if character == '\'' || character == '"' {
            characters.next();
            let text = until_quote(&mut characters, character).ok_or_else(unreadable)?;
            found.push(if character == '"' { Token::Word(text) } else { Token::Text(text) });
        } else if let Some(symbol) = SYMBOLS.into_iter().find(|symbol| predicate[at..].starts_with(symbol)) {
            symbol.chars().for_each(|_| _ = characters.next());
            found.push(Token::Symbol(symbol));
        } else if character.is_alphanumeric() || "@_".contains(character) {
            let mut word = String::new();
            while let Some((_, c)) = characters.next_if(|(_, c)| c.is_alphanumeric() || "@_".contains(*c)) {
                word.push(c);
            }
            found.push(Token::Word(word));
        } else {
            return Err(unreadable());
        }
    }
    Ok(found)
}

/// A doubled quote stands for itself.
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

/// Recursive descent; `None` is a syntax error. Both sides of AND and OR are always parsed.
struct Parser<'a, I: Iterator<Item = Token>> {
    tokens: Peekable<I>,
    tags: &'a Tags,
}

impl<I: Iterator<Item = Token>> Parser<'_, I> {
    fn any(&mut self) -> Option<bool> {
        let mut holds = self.all()?;
        while self.keyword("OR") {
            holds |= self.all()?;
        }
        Some(holds)
    }

    fn all(&mut self) -> Option<bool> {
        let mut holds = self.comparison()?;
        while self.keyword("AND") {
            holds &= self.comparison()?;
        }
        Some(holds)
    }

    fn comparison(&mut self) -> Option<bool> {
        if self.keyword("NOT") {
            return self.comparison().map(|holds| !holds);
        }
        if self.tokens.next_if_eq(&Token::Symbol("(")).is_some() {
            let holds = self.any()?;
            self.tokens.next_if_eq(&Token::Symbol(")"))?;
            return Some(holds);
        }
        let (Token::Word(key), Token::Symbol(symbol), Token::Text(value)) =
            (self.tokens.next()?, self.tokens.next()?, self.tokens.next()?)
        else {
            return None;
        };
        let Some(actual) = self.tags.get(&key) else {
            return Some(false);
        };
        match symbol {
            "=" => Some(*actual == value),
            "<>" => Some(*actual != value),
            "<" => Some(*actual < value),
            "<=" => Some(*actual <= value),
            ">" => Some(*actual > value),
            ">=" => Some(*actual >= value),
            _ => None,
        }
    }

    fn keyword(&mut self, keyword: &str) -> bool {
        self.tokens.next_if(|token| matches!(token, Token::Word(word) if word.eq_ignore_ascii_case(keyword))).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn predicates() {
        let tags = from_header("stage=final&count=07&owner=it%27s").unwrap_err();
        assert_eq!(tags.code, "InvalidInput", "a quote is no tag character");
        let tags = from_header("stage=final&count=07").unwrap();
        for (predicate, holds) in [
            ("stage = 'final'", true),
            ("\"stage\" <> 'final'", false),
            ("count >= '05' AND count < '10'", true),
            ("stage='x' OR (count='07' AND NOT stage='x')", true),
            ("missing = 'x'", false),
        ] {
            assert_eq!(matches(predicate, &tags).unwrap(), holds, "{predicate}");
        }
        for broken in ["", "stage", "stage = final", "(stage='final'", "stage='final' AND", "stage ! 'x'", "a='b"] {
            assert!(matches(broken, &tags).is_err(), "{broken}");
        }
    }

    #[test]
    fn limits() {
        let eleven: Tags = (0..11).map(|n| (format!("k{n}"), String::new())).collect();
        assert_eq!(check(eleven).unwrap_err().code, "TagsTooLarge");
        assert_eq!(from_header("a=b%20c&d=").unwrap()["a"], "b c");
    }
}
