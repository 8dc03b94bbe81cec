//! Authentication: who is asking, and may they.
//!
//! Shared Key is checked against a string to sign computed here from the raw request line and headers, independently of
//! any client code, so that a mistake cannot cancel out on both sides; a mismatch answers with the string the server
//! signed (§3.1). A shared access signature is handled by [`sas`](super::sas), a bearer token by
//! [`bearer`](super::bearer). Without any the request is anonymous, and the container's public access level decides
//! (§3.5) once the container is at hand.

use std::time::Duration;

use super::address::Service;
use super::bearer::Grant;
use super::error::{Code, ServiceError};
use super::operation::Operation;
use super::request::Call;
use super::sas::Sas;
use super::signature::signature_matches;

/// The most that a request's date may be off (§2).
const CLOCK_SKEW: Duration = Duration::from_secs(15 * 60);

/// The standing of a request after its credentials were verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Principal {
    /// Signed with the account's key: everything in that account is allowed.
    Owner,
    /// An identity with a token.
    Bearer(Grant),
    /// A valid SAS that covers the operation; holds its permission letters.
    Sas(String),
    /// No credentials.
    Anonymous,
}

/// Verifies the credentials of `call` against the account's `key`.
pub(super) fn authenticate(
    call: &Call,
    operation: Operation,
    key: &[u8],
    check_clock_skew: bool,
) -> Result<Principal, ServiceError> {
    let has_proof = call.headers.contains_key("authorization") || call.query.get("sig").is_some();
    if operation == Operation::GetUserDelegationKey && has_proof {
        return Err(ServiceError::unauthentic("Only authentication scheme Bearer is supported"));
    }
    if let Some(authorization) = call.header("authorization") {
        check_shared_key(call, authorization, key, check_clock_skew)?;
        return Ok(Principal::Owner);
    }
    if call.query.get("sig").is_some() {
        let sas = Sas::parse(&call.query, Service::Blob)?;
        sas.verify(&call.account, &call.target, &call.revision(), key, call.now)?;
        sas.allows(operation, operation.sas_permissions_for(call))?;
        return Ok(Principal::Sas(sas.permissions().to_owned()));
    }
    Ok(Principal::Anonymous)
}

fn check_shared_key(call: &Call, authorization: &str, key: &[u8], check_clock_skew: bool) -> Result<(), ServiceError> {
    let (account, signature) = authorization
        .strip_prefix("SharedKey ")
        .and_then(|credentials| credentials.split_once(':'))
        .ok_or(Code::InvalidAuthenticationInfo)?;
    let date = call.header("x-ms-date").or_else(|| call.header("date")).ok_or_else(|| {
        ServiceError::unauthentic("Neither the x-ms-date header nor the Date header was found in the request.")
    })?;
    let sent = httpdate::parse_http_date(date)
        .map_err(|_| ServiceError::unauthentic("The Date header has an incorrect format."))?;
    let skew = call.now.duration_since(sent).or_else(|_| sent.duration_since(call.now)).unwrap_or_default();
    if check_clock_skew && skew > CLOCK_SKEW {
        return Err(ServiceError::unauthentic(format!("Request date header too old: '{date}'")));
    }
    let string_to_sign = string_to_sign(call);
    if account != call.account || !signature_matches(key, &string_to_sign, signature) {
        return Err(ServiceError::unauthentic(format!(
            "The MAC signature found in the HTTP request '{signature}' is not the same as any computed signature. \
             Server used following string to sign: '{string_to_sign}'."
        )));
    }
    Ok(())
}

/// The Shared Key string to sign of §3.1.
fn string_to_sign(call: &Call) -> String {
    let header = |name: &str| header_text(call, name);
    let content_length = header("content-length");
    let date = if call.headers.contains_key("x-ms-date") { String::new() } else { header("date") };
    let lines = [
        call.method.as_str().to_owned(),
        header("content-encoding"),
        header("content-language"),
        if content_length == "0" { String::new() } else { content_length },
        header("content-md5"),
        header("content-type"),
        date,
        header("if-modified-since"),
        header("if-match"),
        header("if-none-match"),
        header("if-unmodified-since"),
        header("range"),
    ];
    let mut text = lines.join("\n");
    text.push('\n');
    push_canonical_headers(&mut text, call);
    push_canonical_resource(&mut text, call);
    text
}

fn header_text(call: &Call, name: &str) -> String {
    call.headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).unwrap_or_default()
}

fn push_canonical_headers(text: &mut String, call: &Call) {
    let mut names: Vec<&str> =
        call.headers.keys().map(|name| name.as_str()).filter(|n| n.starts_with("x-ms-")).collect();
    // The service's collation puts `_` before digits, ASCII after them (§3.1).
    names.sort_by_key(|name| name.replace('_', "!"));
    for name in names {
        let value = header_text(call, name);
        *text += &format!("{name}:{}\n", value.split_ascii_whitespace().collect::<Vec<_>>().join(" "));
    }
}

fn push_canonical_resource(text: &mut String, call: &Call) {
    let path = if call.raw_path.is_empty() { "/" } else { &call.raw_path };
    *text += &format!("/{}{path}", call.account);
    let mut pairs: Vec<&(String, String)> = call.query.pairs().iter().collect();
    pairs.sort();
    for same_name in pairs.chunk_by(|a, b| a.0 == b.0) {
        let values: Vec<&str> = same_name.iter().map(|(_, value)| value.as_str()).collect();
        *text += &format!("\n{}:{}", same_name[0].0, values.join(","));
    }
}

#[cfg(test)]
mod tests {
    use super::super::address::Namespace;
    use super::*;
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use hyper::header::{HeaderName, HeaderValue};
    use hyper::{HeaderMap, Method};

    const WELL_KNOWN: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

    fn signed(method: Method, path: &str, query: &str, headers: &[(&str, &str)], signature: &str) -> Call {
        let mut map = HeaderMap::new();
        let authorization = format!("SharedKey devstoreaccount1:{signature}");
        let common = [
            ("host", "127.0.0.1:10000"),
            ("x-ms-date", "Mon, 01 Jan 2024 00:00:00 GMT"),
            ("x-ms-version", "2025-11-05"),
            ("authorization", &authorization),
        ];
        for (name, value) in common.iter().chain(headers) {
            map.insert(HeaderName::try_from(*name).unwrap(), HeaderValue::from_str(value).unwrap());
        }
        Call::parse(method, path, query, map, Namespace::Flat, |_| true).unwrap()
    }

    /// The worked examples of §3.2: exactly these signatures are accepted and any other byte is not.
    #[test]
    fn worked_examples() {
        let key = STANDARD.decode(WELL_KNOWN).unwrap();
        let examples = [
            (
                Method::PUT,
                "/devstoreaccount1/spec",
                "restype=container",
                &[("content-length", "0")][..],
                "KaO9Jzay0OGcXeXUrtoSP84MKpJd1nzoF993g/f+LHU=",
            ),
            (
                Method::PUT,
                "/devstoreaccount1/spec/dir/a.txt",
                "",
                &[
                    ("content-length", "11"),
                    ("content-type", "text/plain"),
                    ("x-ms-blob-type", "BlockBlob"),
                    ("x-ms-meta-Color", "blue"),
                ],
                "+OwukRkK84QC6wrORsOjeIikcG2iw0KzJTH7RbLJt64=",
            ),
            (
                Method::PUT,
                "/devstoreaccount1/spec/copy%20of%20a.txt",
                "",
                &[
                    ("content-length", "0"),
                    ("x-ms-copy-source", "http://127.0.0.1:10000/devstoreaccount1/spec/dir/a.txt"),
                ],
                "vORTVjMeN1Gkfci9ugf4FK8bx2v5UwOj/HJ3INXceog=",
            ),
            (
                Method::GET,
                "/devstoreaccount1/spec",
                "restype=container&comp=list&prefix=dir%2F&delimiter=%2F&include=metadata%2Ccopy",
                &[],
                "omecRYFtdvFsWZ3JtW1pzRWod4EM2jcaeg3yDljmNyY=",
            ),
            (
                Method::GET,
                "/devstoreaccount1/spec/dir/a.txt",
                "",
                &[("x-ms-range", "bytes=0-4")],
                "zbVCX7oQvm4HnhebAqyctH2OShKScMvQclILNLdXmYM=",
            ),
        ];
        for (method, path, query, headers, signature) in examples {
            let call = signed(method.clone(), path, query, headers, signature);
            let operation = Operation::of(&call).unwrap();
            assert_eq!(authenticate(&call, operation, &key, false).unwrap(), Principal::Owner, "{operation:?}");
            let stale = authenticate(&call, operation, &key, true).unwrap_err();
            assert_eq!(stale.code, "AuthenticationFailed");

            let wrong = signature.replacen(&signature[..1], if signature.starts_with('A') { "B" } else { "A" }, 1);
            let call = signed(method, path, query, headers, &wrong);
            let error = authenticate(&call, operation, &key, false).unwrap_err();
            let (element, detail) = &error.details[0];
            assert_eq!(*element, "AuthenticationErrorDetail");
            assert!(detail.contains("\nx-ms-version:2025-11-05\n/devstoreaccount1/devstoreaccount1/spec"), "{detail}");
        }
    }

    /// Example 6: host style names the account once.
    #[test]
    fn host_style_names_the_account_once() {
        let mut call = signed(
            Method::PUT,
            "/spec/copy%20of%20a.txt",
            "",
            &[
                ("host", "myaccount.blob.core.windows.net"),
                ("content-length", "0"),
                ("x-ms-copy-source", "https://myaccount.blob.core.windows.net/spec/dir/a.txt"),
            ],
            "",
        );
        call.headers.remove("authorization");
        assert_eq!(
            string_to_sign(&call),
            "PUT\n\n\n\n\n\n\n\n\n\n\n\nx-ms-copy-source:https://myaccount.blob.core.windows.net/spec/dir/a.txt\n\
             x-ms-date:Mon, 01 Jan 2024 00:00:00 GMT\nx-ms-version:2025-11-05\n/myaccount/spec/copy%20of%20a.txt"
        );
    }

    #[test]
    fn underscore_sorts_before_digits() {
        let call = signed(Method::PUT, "/a/spec/b", "", &[("x-ms-meta-a1", "1"), ("x-ms-meta-a_1", "2")], "");
        assert!(string_to_sign(&call).contains("x-ms-meta-a_1:2\nx-ms-meta-a1:1\n"));
    }
}
