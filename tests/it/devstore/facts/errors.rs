//! Errors that have nothing to do with what was asked for.

use blobcp::devstore::{Config, Fault};

use super::*;

#[tokio::test]
async fn a_version_that_there_is_not_is_refused_early() {
    let (_server, one, _) = accounts(Config::default()).await;
    one.upload("box/a", "text").await;
    for version in ["1999-01-01", "2025-11-06", "soon"] {
        // S151
        let get = one.send("GET", "box/a", &[("x-ms-version", version)], "").await;
        assert_eq!((get.outcome().as_str(), get.elements("Code")), ("400", vec!["InvalidHeaderValue".into()]));
        assert_eq!(get.elements("HeaderName"), ["x-ms-version"]);
        let head = one.send("HEAD", "box/a", &[("x-ms-version", version)], "").await;
        assert_eq!((head.status, head.body.len()), (400, 0));
        for name in ["x-ms-error-code", "x-ms-version", "x-ms-request-id"] {
            assert_eq!((get.header(name), head.header(name)), ("", ""), "{name}");
        }
    }
}

#[tokio::test]
async fn documents_begin_with_a_byte_order_mark() {
    let (_server, one, _) = accounts(Config::default()).await;
    // S152
    for path in ["box?restype=container&comp=list", "?comp=list", "box/none", "box/none?comp=blocklist"] {
        let answer = one.get(path).await;
        assert!(
            answer.body.starts_with(b"\xEF\xBB\xBF<?xml version=\"1.0\" encoding=\"utf-8\"?><"),
            "{path} {answer:?}"
        );
    }
}

#[tokio::test]
async fn a_container_takes_its_time_to_go() {
    let (_server, one, _) = accounts(Config::default()).await;
    // S154
    assert_eq!(one.delete("box?restype=container").await.status, 202);
    assert_eq!(one.delete("box?restype=container").await.status, 202);
    assert_eq!(one.get("box/a").await.outcome(), "404 ContainerNotFound");
    let refused = one.put("box?restype=container", &[]).await;
    assert_eq!((refused.outcome().as_str(), refused.header("retry-after")), ("409 ContainerBeingDeleted", ""));
    assert_eq!(one.put("box?restype=container", &[]).await.outcome(), "201");
}

#[tokio::test]
async fn the_service_is_busy_for_a_moment() {
    let (server, one, _) = accounts(Config::default()).await;
    // S202, S153
    for (status, code, after, stored) in [
        (503, "ServerBusy", false, ""),
        (500, "OperationTimedOut", false, ""),
        (500, "OperationTimedOut", true, "text"),
        (500, "InternalError", false, ""),
    ] {
        one.delete("box/a").await;
        let fault = Fault { status: Some(status), code: Some(code.to_owned()), after, ..Fault::on("PutBlob") };
        server.add_fault(fault);
        let refused = one.upload("box/a", "text").await;
        assert_eq!((refused.outcome(), refused.header("retry-after")), (format!("{status} {code}"), ""));
        assert_eq!(refused.elements("Code"), [code]);
        // It may have been done.
        let got = one.get("box/a").await;
        assert_eq!(if got.status == 200 { got.text() } else { String::new() }, stored);
        assert_eq!(one.upload("box/a", "text").await.outcome(), "201");
    }
    server.add_fault(Fault { status: Some(503), ..Fault::on("PutBlob") });
    assert_eq!(one.upload("box/a", "text").await.outcome(), "503 ServerBusy");
}
