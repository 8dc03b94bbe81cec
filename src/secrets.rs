//! Texts that may hold a secret, as everybody may read them.
//!
//! Whatever a command takes may hold one, in place of what was meant or beside it: a URL with its SAS, a SAS or a key
//! alone, a connection string. Messages repeat what was typed, and the words of a process are there for all who use the
//! machine. So here is what a secret looks like, whoever wrote it and wherever it stands; the types that hold secrets
//! on purpose ([`crate::store::Secret`]) show nothing anyway.

use std::borrow::Cow;

/// What stands for a secret.
const MARK: &str = "***";

/// Fewest characters of Base64 that pass for the key of an account, which has 88; a hash has up to 44.
const KEY: usize = 64;

/// True for a URL of http or https, which may be spelt in capitals.
pub(crate) fn is_url(text: &str) -> bool {
    let scheme = text.split_once("://").map(|(scheme, _)| scheme);
    scheme.is_some_and(|scheme| ["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known)))
}

/// `word` without the secrets that are in it; `None` if there are none. Of a URL the query goes as a whole, since
/// tokens that are not Azure's have names of their own.
pub(crate) fn cut(word: &str) -> Option<String> {
    let mut clean = cut_once(word)?;
    // There may be more than one, and of two that stand in each other one is left.
    for _ in 0..8 {
        match cut_once(&clean) {
            Some(cleaner) => clean = cleaner,
            None => return Some(clean),
        }
    }
    Some(MARK.to_owned())
}

fn cut_once(word: &str) -> Option<String> {
    let lower = word.to_ascii_lowercase();
    if ["accountkey=", "sharedaccesssignature="].iter().any(|name| lower.contains(name)) {
        return Some(MARK.to_owned());
    }
    let (place, query) = word.split_once('?').map_or((word, None), |(place, query)| (place, Some(query)));
    let signed = ["sig=", "%73ig=", "s%69g=", "si%67="].iter().any(|name| lower.contains(name));
    let is_url = place.contains("://");
    let named = if place.to_ascii_lowercase().contains("sig=") || place.is_empty() { MARK } else { place };
    match query {
        _ if signed && query.is_none() => return Some(MARK.to_owned()),
        Some(query) if signed || is_url && !query.is_empty() => {
            return Some(without_user(named).unwrap_or_else(|| named.to_owned()));
        }
        _ => {}
    }
    if let Some(clean) = without_user(word) {
        return Some(clean);
    }
    if is_key(word) {
        return Some(MARK.to_owned());
    }
    // `NAME:KEY`, `NAME=KEY`
    let (end, _) = word.match_indices([':', '=']).find(|(at, _)| is_key(&word[at + 1..]))?;
    Some(format!("{}{MARK}", &word[..=end]))
}

/// Base64 as an account's key has it, padded or not.
fn is_key(text: &str) -> bool {
    let digits = text.trim_end_matches('=');
    let is_base64 = digits.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'));
    // A long path without any dot is none.
    is_base64 && digits.len() >= KEY - 2 && (text.len() > digits.len() || digits.len() == 86 && !text.starts_with('/'))
}

/// A URL without the user and the password before its host; `None` if it has none.
pub(crate) fn without_user(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (_, host) = authority.rsplit_once('@')?;
    Some(format!("{scheme}://{host}{}", &rest[authority.len()..]))
}

/// A text of words without the secrets that are in any of them.
pub(crate) fn scrubbed(text: &str) -> Cow<'_, str> {
    let is_between = |character: char| character.is_whitespace() || matches!(character, '"' | '\'' | '`' | '<' | '>');
    let mut clean = String::new();
    let mut rest = text;
    let mut changed = false;
    while !rest.is_empty() {
        let begin = rest.find(|character| !is_between(character)).unwrap_or(rest.len());
        clean.push_str(&rest[..begin]);
        rest = &rest[begin..];
        let end = rest.find(is_between).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        let bare = word.trim_end_matches([':', ',', ';', '.', ')']);
        match cut(bare) {
            Some(shown) => {
                clean.push_str(&shown);
                clean.push_str(&word[bare.len()..]);
                changed = true;
            }
            None => clean.push_str(word),
        }
        rest = after;
    }
    if changed { Cow::Owned(clean) } else { Cow::Borrowed(text) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    /// Of the length that the keys of accounts have.
    const KEY: &str = "SeCrEt0000000000000000000000000000000000000000000000000000000000000000000000000000000000==";
    const BARE: &str = "SeCrEt00000000000000000000000000000000000000000000000000000000000000000000000000000000";

    #[rstest]
    #[case("https://a.blob.core.windows.net/c?sv=1&sig=SeCrEt", "https://a.blob.core.windows.net/c")]
    #[case("HTTPS://a.blob.core.windows.net/c?SIG=SeCrEt", "HTTPS://a.blob.core.windows.net/c")]
    #[case("https://a.example/c?token=SeCrEt", "https://a.example/c")]
    #[case("https://a.example/c?sv=1&%73ig=SeCrEt", "https://a.example/c")]
    #[case("https://me:SeCrEt@a.example/c", "https://a.example/c")]
    #[case("https://me:SeCrEt@a.example/c?sig=SeCrEt", "https://a.example/c")]
    #[case("a.blob.core.windows.net/c?sv=1&sig=SeCrEt", "a.blob.core.windows.net/c")]
    #[case("acct/c/p?sp=r&sig=SeCrEt", "acct/c/p")]
    #[case("?sv=1&sig=SeCrEt", "***")]
    #[case("sv=1&sig=SeCrEt", "***")]
    #[case("acct?sig=SeCrEt", "acct")]
    #[case("acct&sig=SeCrEt?x", "***")]
    #[case("AccountName=a;AccountKey=SeCrEt", "***")]
    #[case("BlobEndpoint=https://a;SharedAccessSignature=SeCrEt", "***")]
    #[case(KEY, "***")]
    #[case(BARE, "***")]
    #[case(&format!("--account=second:{KEY}"), "--account=second:***")]
    #[case(&format!("key={KEY}"), "key=***")]
    fn a_secret_is_cut_out_of_a_word(#[case] word: &str, #[case] expected: &str) {
        assert_eq!(cut(word).as_deref(), Some(expected));
        assert!(!scrubbed(&format!("x: \"{word}\": no")).contains("SeCrEt"));
        assert!(!scrubbed(&format!("blobcp: mount: {word}: no")).contains("SeCrEt"));
    }

    #[rstest]
    #[case("acct/container/prefix")]
    #[case("https://a.blob.core.windows.net/c")]
    #[case("/mnt/what?")]
    #[case("/mnt/a?b")]
    #[case("--log=debug")]
    #[case("design=1")]
    #[case("XrY7u+Ae7tCTyyK7j1rNww==")]
    #[case("47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=")]
    #[case("/home/somebody/with/a/long/path/that/has/no/dots/in/it/at/all/and/goes/on/and/on/to/theend")]
    fn what_is_no_secret_stays(#[case] word: &str) {
        assert_eq!(cut(word), None);
        assert_eq!(scrubbed(word), word);
    }

    #[test]
    fn a_scheme_may_be_spelt_in_capitals() {
        assert!(is_url("HTTPS://a/b") && is_url("http://a") && !is_url("ftp://a") && !is_url("a/b://c"));
    }
}
