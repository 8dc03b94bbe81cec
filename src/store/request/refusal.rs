//! Refusals: what the service says of why it did not do what it was asked for.

use std::time::SystemTime;

use reqwest::header::HeaderMap;

use crate::error::ServiceError;
use crate::store::clocks::clocks;
use crate::store::headers as answer;
use crate::store::xml::Element;

/// Error body and headers (§4.1): XML of the Blob service, JSON of its hierarchical sibling, or nothing at all.
pub(in crate::store) fn service_error(
    operation: &'static str,
    target: &str,
    status: u16,
    headers: &HeaderMap,
    body: &[u8],
) -> ServiceError {
    let mut fields = ErrorBody::parse(body);
    let from_header = |name: &str| answer::text(headers, name).map(str::to_owned);
    if let Some(code) = from_header("x-ms-error-code") {
        fields.code = code;
    }
    if status == 403
        && fields.code == "AuthenticationFailed"
        && let Some(clocks) = clocks(answer::date(headers, "date"), SystemTime::now())
    {
        let and = if fields.detail.is_empty() { "" } else { "; " };
        fields.detail += &format!("{and}{clocks}");
    }
    let source_status = from_header("x-ms-copy-source-status-code").or(fields.source_status);
    let source_code = from_header("x-ms-copy-source-error-code").or(fields.source_code);
    let copy_source = (source_status.is_some() || source_code.is_some()).then(|| {
        (source_status.and_then(|status| status.trim().parse().ok()).unwrap_or(status), source_code.unwrap_or_default())
    });
    ServiceError {
        operation,
        target: target.to_owned(),
        status,
        code: fields.code,
        message: fields.message.lines().next().unwrap_or_default().trim().to_owned(),
        detail: fields.detail,
        request_id: from_header("x-ms-request-id").unwrap_or_default(),
        copy_source,
    }
}

#[derive(Default)]
struct ErrorBody {
    code: String,
    message: String,
    detail: String,
    source_status: Option<String>,
    source_code: Option<String>,
}

impl ErrorBody {
    fn parse(body: &[u8]) -> Self {
        if body.first() == Some(&b'{') {
            let json: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
            let text = |name: &str| json["error"][name].as_str().unwrap_or_default().to_owned();
            return Self { code: text("code"), message: text("message"), ..Self::default() };
        }
        match Element::parse(body) {
            Ok(root) if root.name == "Error" => {
                let text = |name: &str| root.value(name).map(|value| value.into_owned());
                Self {
                    code: text("Code").unwrap_or_default(),
                    message: text("Message").unwrap_or_default(),
                    detail: detail(&root),
                    source_status: text("CopySourceStatusCode"),
                    source_code: text("CopySourceErrorCode"),
                }
            }
            _ => Self::default(),
        }
    }
}

/// What of an error's other elements may be shown. A string to sign may not, nor the value of any header: there may be
/// signatures in them.
fn detail(error: &Element<'_>) -> String {
    let value = |name: &str| error.value(name).unwrap_or_default();
    let said = value("AuthenticationErrorDetail");
    let said = said.lines().next().unwrap_or_default().trim();
    let is_of_times = ["Signature not valid in the specified", "Signed expiry time", "Signed start time"];
    match value("HeaderName") {
        name if name.eq_ignore_ascii_case("x-ms-version") => format!("x-ms-version: {}", value("HeaderValue")),
        name if !name.is_empty() => name.into_owned(),
        _ if error.child("QueryParameterName").is_some() => value("QueryParameterName").into_owned(),
        _ if is_of_times.iter().any(|start| said.starts_with(start)) => said.to_owned(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderName, HeaderValue};

    use super::*;

    fn refusal(headers: &[(&'static str, &'static str)], body: &str) -> ServiceError {
        let headers =
            headers.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        service_error("CopyBlob", "acct/c/b", 409, &headers.collect(), body.as_bytes())
    }

    #[test]
    fn an_xml_body_gives_code_and_first_line() {
        let error = refusal(
            &[("x-ms-request-id", "r-1")],
            "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<Error>\n  <Code>PendingCopyOperation</Code>\n  <Message>There is currently a pending copy operation.\nRequestId:r-1\nTime:now</Message>\n</Error>",
        );
        assert_eq!(
            error.to_string(),
            "CopyBlob acct/c/b: 409 PendingCopyOperation There is currently a pending copy operation. [request id r-1]"
        );
    }

    #[test]
    fn without_a_body_the_header_tells_the_code() {
        let error = refusal(&[("x-ms-error-code", "BlobNotFound")], "");
        assert_eq!((error.code.as_str(), error.message.as_str()), ("BlobNotFound", ""));
        assert_eq!(refusal(&[], "").code, "");
        assert_eq!(refusal(&[], "<html>Bad Gateway</html>").code, "");
    }

    #[test]
    fn what_else_is_said_is_shown_if_it_can_hold_no_signature() {
        let said = |elements: &str| {
            let error = refusal(&[], &format!("<Error><Code>C</Code><Message>M</Message>{elements}</Error>"));
            assert!(error.to_string().contains(&error.detail));
            error.detail
        };
        // S145, as recorded, with and without a start
        let times = "Signature not valid in the specified time frame: Start [Mon, 01 Jan 2024 00:00:00 GMT] - Expiry [Tue, 02 Jan \
                     2024 00:00:00 GMT] - Current [Wed, 03 Jan 2024 00:00:00 GMT]";
        let detail = |text: &str| format!("<AuthenticationErrorDetail>{text}</AuthenticationErrorDetail>");
        assert_eq!(said(&detail(times)), times);
        let times = "Signed expiry time [a] has to be after signed start time [b]";
        assert_eq!(said(&detail(times)), times);
        let secret =
            "The MAC signature found in the HTTP request 'c2VjcmV0' is not the same as any computed signature.";
        assert_eq!(said(&detail(secret)), "");
        // S151
        let version = "<HeaderName>x-ms-version</HeaderName><HeaderValue>1999-01-01</HeaderValue>";
        assert_eq!(said(version), "x-ms-version: 1999-01-01");
        let source = "<HeaderName>x-ms-copy-source</HeaderName><HeaderValue>http://h/c/b?sig=secret</HeaderValue>";
        assert_eq!(said(source), "x-ms-copy-source");
    }

    #[test]
    fn clocks_that_differ_are_told_with_a_refusal_for_which_that_may_be_the_reason() {
        let told = |status, code| {
            let headers = HeaderMap::from_iter([(
                HeaderName::from_static("date"),
                HeaderValue::from_static("Mon, 01 Jan 2024 12:00:00 GMT"),
            )]);
            let body = format!("<Error><Code>{code}</Code><Message>M</Message></Error>");
            service_error("GetBlob", "acct/c/b", status, &headers, body.as_bytes()).to_string()
        };
        assert!(told(403, "AuthenticationFailed").contains("the service Mon, 01 Jan 2024 12:00:00 GMT)"));
        assert!(!told(403, "AuthorizationFailure").contains("clock"));
    }

    #[test]
    fn a_json_body_is_understood() {
        let error = refusal(
            &[],
            r#"{"error":{"code":"PathNotFound","message":"The specified path does not exist.\nRequestId:x"}}"#,
        );
        assert_eq!(
            (error.code.as_str(), error.message.as_str()),
            ("PathNotFound", "The specified path does not exist.")
        );
    }

    #[test]
    fn an_operation_that_is_not_offered_is_told_by_its_parameter() {
        // S193, S194
        let body =
            "<Error><Code>InvalidQueryParameterValue</Code><QueryParameterName>comp</QueryParameterName></Error>";
        assert_eq!(refusal(&[], body).detail, "comp");
    }

    #[test]
    fn the_source_of_a_copy_is_told_by_headers_or_body() {
        let body = "<Error><Code>CannotVerifyCopySource</Code><CopySourceStatusCode>404</CopySourceStatusCode><CopySourceErrorCode>BlobNotFound</CopySourceErrorCode></Error>";
        assert_eq!(refusal(&[], body).copy_source, Some((404, "BlobNotFound".into())));
        let headers = [("x-ms-copy-source-status-code", "503"), ("x-ms-copy-source-error-code", "ServerBusy")];
        assert_eq!(refusal(&headers, body).copy_source, Some((503, "ServerBusy".into())));
        assert_eq!(refusal(&[], "").copy_source, None);
    }
}
