//! Shared Key: the string to sign of specification §3.1.
//!
//! The service rebuilds this string from what arrived, so every part is taken from what is sent and nothing from what
//! was meant: the encoded path, the headers after all of them are set. `tests` has the worked strings of §3.2.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use reqwest::Method;
use reqwest::header::HeaderMap;

/// Headers whose values stand on lines of their own, in this order. `Date` and `Range` are never sent: `x-ms-date` and
/// `x-ms-range` replace them.
const LINES: [&str; 11] = [
    "content-encoding",
    "content-language",
    CONTENT_LENGTH,
    "content-md5",
    "content-type",
    "date",
    "if-modified-since",
    "if-match",
    "if-none-match",
    "if-unmodified-since",
    "range",
];
const CONTENT_LENGTH: &str = "content-length";

/// Treatment of a run of white space inside a header's value.
///
/// The documentation folds it into one space, the vendor's own clients and emulator keep it. Such values are rare, in
/// metadata only, and no other string to sign is affected; so a request that has one and is refused is signed the other
/// way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WhiteSpace {
    Folded,
    Kept,
}

/// The text whose HMAC is the signature. `path` is encoded as sent, `query` is decoded.
pub(super) fn string_to_sign(
    account: &str,
    method: &Method,
    path: &str,
    query: &[(&str, String)],
    headers: &HeaderMap,
    white_space: WhiteSpace,
) -> String {
    let mut text = method.as_str().to_owned();
    for name in LINES {
        let value = headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        text.push('\n');
        // An absent body is an empty line since version 2015-02-21.
        if !(name == CONTENT_LENGTH && value == "0") {
            text.push_str(value);
        }
    }
    text.push('\n');
    text.push_str(&canonical_headers(headers, white_space));
    text.push_str(&canonical_resource(account, path, query));
    text
}

fn canonical_headers(headers: &HeaderMap, white_space: WhiteSpace) -> String {
    let mut lines: Vec<(&str, String)> = headers
        .iter()
        .filter(|(name, _)| name.as_str().starts_with("x-ms-"))
        .map(|(name, value)| {
            let value = value.to_str().unwrap_or_default();
            let value = match white_space {
                WhiteSpace::Folded => fold_white_space(value),
                WhiteSpace::Kept => value.trim().to_owned(),
            };
            (name.as_str(), value)
        })
        .collect();
    lines.sort_by(|a, b| compare_names(a.0, b.0));
    lines.iter().map(|(name, value)| format!("{name}:{value}\n")).collect()
}

/// Byte order, but `_` before the digits: the service sorts by a collation of words, which differs from bytes in
/// nothing else that a header name can hold.
fn compare_names(a: &str, b: &str) -> Ordering {
    let rank = |b: u8| if b == b'_' { b'0' - 1 } else { b };
    a.bytes().map(rank).cmp(b.bytes().map(rank))
}

/// True if the two ways to treat white space differ for these headers.
pub(super) fn white_space_matters(headers: &HeaderMap) -> bool {
    let values = headers.iter().filter(|(name, _)| name.as_str().starts_with("x-ms-"));
    values.filter_map(|(_, value)| value.to_str().ok()).any(|value| fold_white_space(value) != value.trim())
}

/// Trims, and makes one space of each run of white space outside quotes.
fn fold_white_space(value: &str) -> String {
    let mut folded = String::with_capacity(value.len());
    let mut quoted = false;
    for c in value.trim().chars() {
        let space = matches!(c, ' ' | '\t' | '\r' | '\n');
        match (space, quoted) {
            (true, false) if folded.ends_with(' ') => {}
            (true, false) => folded.push(' '),
            _ => folded.push(c),
        }
        quoted ^= c == '"';
    }
    folded
}

fn canonical_resource(account: &str, path: &str, query: &[(&str, String)]) -> String {
    let mut values: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (name, value) in query {
        values.entry(name.to_ascii_lowercase()).or_default().push(value);
    }
    let mut text = format!("/{account}{path}");
    for (name, values) in &mut values {
        values.sort_unstable();
        text.push_str(&format!("\n{name}:{}", values.join(",")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::secret::AccountKey;
    use reqwest::header::{HeaderName, HeaderValue};
    use rstest::rstest;

    const KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

    const FOLDED: WhiteSpace = WhiteSpace::Folded;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        [("x-ms-date", "Mon, 01 Jan 2024 00:00:00 GMT"), ("x-ms-version", "2025-11-05")]
            .iter()
            .chain(pairs)
            .map(|(name, value)| (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_static(value)))
            .collect()
    }

    fn pairs(query: &[(&'static str, &str)]) -> Vec<(&'static str, String)> {
        query.iter().map(|(name, value)| (*name, (*value).to_owned())).collect()
    }

    fn signature(text: &str) -> String {
        AccountKey::parse(KEY).unwrap().sign(text)
    }

    /// Examples 1 to 5 of §3.2: method, path behind the account, parameters, headers; the string to sign behind the
    /// method, and its signature.
    #[rstest]
    #[case::create_container(
        "PUT", "/spec", &[("restype", "container")], &[("content-length", "0")],
        "\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:Mon, 01 Jan 2024 00:00:00 GMT\nx-ms-version:2025-11-05\n\
         /devstoreaccount1/devstoreaccount1/spec\nrestype:container",
        "KaO9Jzay0OGcXeXUrtoSP84MKpJd1nzoF993g/f+LHU="
    )]
    #[case::put_blob(
        "PUT", "/spec/dir/a.txt", &[],
        &[
            ("Content-Length", "11"), ("Content-Type", "text/plain"), ("x-ms-blob-type", "BlockBlob"),
            ("x-ms-meta-Color", "blue"),
        ],
        "\n\n\n11\n\ntext/plain\n\n\n\n\n\n\nx-ms-blob-type:BlockBlob\nx-ms-date:Mon, 01 Jan 2024 00:00:00 GMT\n\
         x-ms-meta-color:blue\nx-ms-version:2025-11-05\n/devstoreaccount1/devstoreaccount1/spec/dir/a.txt",
        "+OwukRkK84QC6wrORsOjeIikcG2iw0KzJTH7RbLJt64="
    )]
    #[case::copy_blob(
        "PUT", "/spec/copy%20of%20a.txt", &[],
        &[("content-length", "0"), ("x-ms-copy-source", "http://127.0.0.1:10000/devstoreaccount1/spec/dir/a.txt")],
        "\n\n\n\n\n\n\n\n\n\n\n\nx-ms-copy-source:http://127.0.0.1:10000/devstoreaccount1/spec/dir/a.txt\n\
         x-ms-date:Mon, 01 Jan 2024 00:00:00 GMT\nx-ms-version:2025-11-05\n\
         /devstoreaccount1/devstoreaccount1/spec/copy%20of%20a.txt",
        "vORTVjMeN1Gkfci9ugf4FK8bx2v5UwOj/HJ3INXceog="
    )]
    #[case::list(
        "GET", "/spec",
        &[
            ("restype", "container"), ("comp", "list"), ("prefix", "dir/"), ("delimiter", "/"),
            ("include", "metadata,copy"),
        ],
        &[],
        "\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:Mon, 01 Jan 2024 00:00:00 GMT\nx-ms-version:2025-11-05\n\
         /devstoreaccount1/devstoreaccount1/spec\ncomp:list\ndelimiter:/\n\
         include:metadata,copy\nprefix:dir/\nrestype:container",
        "omecRYFtdvFsWZ3JtW1pzRWod4EM2jcaeg3yDljmNyY="
    )]
    #[case::ranged_read(
        "GET", "/spec/dir/a.txt", &[], &[("x-ms-range", "bytes=0-4")],
        "\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:Mon, 01 Jan 2024 00:00:00 GMT\nx-ms-range:bytes=0-4\n\
         x-ms-version:2025-11-05\n/devstoreaccount1/devstoreaccount1/spec/dir/a.txt",
        "zbVCX7oQvm4HnhebAqyctH2OShKScMvQclILNLdXmYM="
    )]
    fn worked_strings(
        #[case] method: Method,
        #[case] path: &str,
        #[case] query: &[(&'static str, &str)],
        #[case] given: &[(&'static str, &'static str)],
        #[case] expected: &str,
        #[case] expected_signature: &str,
    ) {
        let path = format!("/devstoreaccount1{path}");
        let text = string_to_sign("devstoreaccount1", &method, &path, &pairs(query), &headers(given), FOLDED);
        assert_eq!(text, format!("{method}{expected}"));
        assert_eq!(signature(&text), expected_signature);
    }

    #[test]
    fn worked_string_6_copy_in_host_style() {
        let headers = headers(&[
            ("content-length", "0"),
            ("x-ms-copy-source", "https://myaccount.blob.core.windows.net/spec/dir/a.txt"),
        ]);
        let text = string_to_sign("myaccount", &Method::PUT, "/spec/copy%20of%20a.txt", &[], &headers, FOLDED);
        assert_eq!(
            text,
            "PUT\n\n\n\n\n\n\n\n\n\n\n\nx-ms-copy-source:https://myaccount.blob.core.windows.net/spec/dir/a.txt\nx-ms-date:Mon, 01 Jan 2024 00:00:00 GMT\nx-ms-version:2025-11-05\n/myaccount/spec/copy%20of%20a.txt"
        );
    }

    #[test]
    fn an_underscore_sorts_before_digits() {
        let headers =
            headers(&[("x-ms-meta-a1", "2"), ("x-ms-meta-a_1", "1"), ("x-ms-meta-ab", "3"), ("x-ms-meta-a", "0")]);
        let names: Vec<String> = canonical_headers(&headers, FOLDED)
            .lines()
            .map(|line| line.split(':').next().unwrap().to_owned())
            .collect();
        assert_eq!(
            names,
            ["x-ms-date", "x-ms-meta-a", "x-ms-meta-a_1", "x-ms-meta-a1", "x-ms-meta-ab", "x-ms-version"]
        );
    }

    #[test]
    fn white_space_is_folded_outside_quotes_and_empty_values_stay() {
        let headers = headers(&[("x-ms-meta-b", "  a \t b  \"c  d\"  "), ("x-ms-meta-c", "")]);
        let text = canonical_headers(&headers, FOLDED);
        assert!(text.contains("x-ms-meta-b:a b \"c  d\"\n"), "{text}");
        assert!(text.contains("x-ms-meta-c:\n"), "{text}");
        let text = canonical_headers(&headers, WhiteSpace::Kept);
        assert!(text.contains("x-ms-meta-b:a \t b  \"c  d\"\n"), "{text}");
    }

    #[test]
    fn white_space_matters_in_runs_only() {
        assert!(white_space_matters(&headers(&[("x-ms-meta-b", "a  b")])));
        assert!(!white_space_matters(&headers(&[("x-ms-meta-b", " a b \"c  d\" "), ("content-type", "a  b")])));
    }

    #[test]
    fn conditions_stand_on_their_lines() {
        let headers = headers(&[("if-match", "\"0x8D\""), ("if-none-match", "*"), ("content-md5", "bWQ1")]);
        let text = string_to_sign("acct", &Method::PUT, "/c/b", &[], &headers, FOLDED);
        assert!(text.starts_with("PUT\n\n\n\nbWQ1\n\n\n\n\"0x8D\"\n*\n\n\nx-ms-date:"), "{text}");
    }

    #[test]
    fn several_values_of_a_parameter_are_sorted_and_joined() {
        let query = pairs(&[("Include", "snapshots"), ("comp", "list"), ("include", "metadata")]);
        assert_eq!(canonical_resource("acct", "/c", &query), "/acct/c\ncomp:list\ninclude:metadata,snapshots");
        assert_eq!(canonical_resource("acct", "/", &[]), "/acct/");
    }
}
