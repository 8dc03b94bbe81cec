//! Texts that may hold a secret, as everybody may read them.
//!
//! Whatever a command takes may hold one, in place of what was meant or beside it: a URL with its SAS, a SAS or a key
//! alone, a connection string. Messages repeat what was typed, and the words of a process are there for all who use the
//! machine. So here is what a secret looks like, whoever wrote it and wherever it stands; the types that hold secrets
//! on purpose ([`crate::store::Secret`]) show nothing anyway.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

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
    let signed = ["sig=", "%73ig=", "s%69g=", "si%67="].iter().any(|name| lower.contains(name)) || is_token(word);
    let is_url = place.contains("://");
    let has_token = place.to_ascii_lowercase().contains("sig=") || is_token(place);
    let named = if has_token || place.is_empty() { MARK } else { place };
    match query {
        _ if signed && query.is_none() => return Some(MARK.to_owned()),
        Some(query) if signed || is_url && !query.is_empty() => {
            return Some(without_user(named).unwrap_or_else(|| named.to_owned()));
        }
        _ => {}
    }
    without_user(word).or_else(|| without_values(word)).or_else(|| without_keys(word))
}

/// A SAS, even if the name of its signature is misspelt: it has a version, or something of the form of a signature.
fn is_token(word: &str) -> bool {
    let pairs: Vec<(String, &str)> = word
        .split(['?', '&'])
        .filter_map(|part| part.split_once('='))
        .map(|(name, value)| (name.to_ascii_lowercase(), value))
        .collect();
    let after_others = word.contains(['?', '&']);
    let is_signature = |(name, value): &(String, &str)| name.starts_with("sig") || has_form_of_signature(value);
    let has_version = pairs.len() > 1 && pairs.iter().any(|(name, _)| name == "sv");
    has_version || after_others && pairs.iter().any(is_signature)
}

/// Base64 of 32 bytes, as it stands in a query.
fn has_form_of_signature(value: &str) -> bool {
    let value = percent_decode_str(value).decode_utf8_lossy();
    let digits = value.trim_end_matches('=');
    digits.len() == 43 && digits.bytes().all(is_digit)
}

/// What is no secret of a connection string, in lower case.
const SHOWN: [&str; 4] = ["defaultendpointsprotocol", "accountname", "endpointsuffix", "usedevelopmentstorage"];

/// Fewest characters of a value in a connection string that pass for what is left of a key.
const PART_OF_KEY: usize = 16;

/// A connection string without the values that may be secrets, however their names are spelt; `None` if it has none.
fn without_values(word: &str) -> Option<String> {
    if !word.contains(';') {
        return None;
    }
    let mut is_clean = true;
    let part = |part: &str| match part.split_once('=') {
        Some((name, value)) if value != MARK && is_secret(name, value) => {
            is_clean = false;
            format!("{name}={MARK}")
        }
        _ => part.to_owned(),
    };
    let parts: Vec<String> = word.split(';').map(part).collect();
    (!is_clean).then(|| parts.join(";"))
}

fn is_secret(name: &str, value: &str) -> bool {
    let name = name.trim().to_ascii_lowercase();
    if SHOWN.contains(&name.as_str()) || value.is_empty() {
        return is_key(value);
    }
    let is_called_so = ["key", "secret", "signat", "token", "passw", "pwd"].iter().any(|part| name.contains(part));
    let digits = value.trim_end_matches('=');
    is_called_so || name.starts_with("sig") || digits.len() >= PART_OF_KEY && digits.bytes().all(is_digit)
}

/// A word without the keys that are in it, between whatever other characters; `None` if there are none.
fn without_keys(word: &str) -> Option<String> {
    let mut clean = String::new();
    let mut rest = word;
    let mut is_clean = true;
    while let Some(begin) = rest.find(|character: char| character.is_ascii() && is_digit(character as u8)) {
        let (before, from) = rest.split_at(begin);
        clean.push_str(before);
        let digits = from.bytes().position(|byte| !is_digit(byte)).unwrap_or(from.len());
        let padding = from[digits..].bytes().take_while(|byte| *byte == b'=').count();
        // What has something behind it is the name of that: `/a/path/NAME=VALUE`.
        let names = from.as_bytes().get(digits + padding).is_some_and(|byte| is_digit(*byte));
        // A path goes on with these, and without padding it may have as many characters by chance.
        let goes_on = |byte: Option<&u8>| byte.is_some_and(|byte| b"._-~".contains(byte));
        let is_part = padding == 0 && (goes_on(from.as_bytes().get(digits)) || goes_on(before.as_bytes().last()));
        let end = if names { digits } else { digits + padding };
        if !is_part && is_key(&from[..end]) {
            is_clean = false;
            clean.push_str(MARK);
        } else {
            clean.push_str(&from[..end]);
        }
        rest = &from[end..];
    }
    clean.push_str(rest);
    (!is_clean).then_some(clean)
}

/// One of Base64.
fn is_digit(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/')
}

/// Base64 as an account's key has it, padded or not.
fn is_key(text: &str) -> bool {
    let digits = text.trim_end_matches('=');
    let is_base64 = digits.bytes().all(is_digit);
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
    #[case(&format!("AccountName=a;AccountKeyy={KEY};EndpointSuffix=b.c"), "AccountName=a;AccountKeyy=***;EndpointSuffix=b.c")]
    #[case(&format!("AccountName=a;AcountKye={BARE};B=c"), "AccountName=a;AcountKye=***;B=c")]
    #[case("AccountName=a;AccountKeyy=SeCrEt", "AccountName=a;AccountKeyy=***")]
    #[case("AccountName=a;Acountky=SeCrEt00SeCrEt00==", "AccountName=a;Acountky=***")]
    #[case("BlobEndpoint=https://a.b;SharedAccessSignatur=SeCrEt", "BlobEndpoint=https://a.b;SharedAccessSignatur=***")]
    #[case(&format!("a={KEY}&b={KEY}&c=d"), "a=***&b=***&c=d")]
    #[case(&format!("ro,key={KEY},rw"), "ro,key=***,rw")]
    #[case(&format!("(\\{{{KEY}}}"), "(\\{***}")]
    #[case("acct/c?sv=1&sigg=SeCrEt", "acct/c")]
    #[case("acct/c?sigg=SeCrEt", "acct/c")]
    #[case("acct/c?sv=1&sgi=SeCrEt", "acct/c")]
    #[case("sv=1&sgi=SeCrEt", "***")]
    #[case("acct/c&sp=r&sgi=SeCrEt0000000000000000000000000000000000000%3D", "***")]
    #[case("acct/c?sgi=SeCrEt0000%2B00000000000000000000000000000000%3D", "acct/c")]
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
    #[case("sigma=1")]
    #[case("index.html?id=1&page=2")]
    #[case("text/html;charset=utf-8")]
    #[case("/a;b=c;d")]
    #[case("AccountName=somebody0123456789;EndpointSuffix=core.windows.net")]
    #[case("sha256=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=")]
    #[case("/warehouse/of/somebody/with/a/long/path/that/has/no/dots/in/it/at/all/year=2026/month=1")]
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
