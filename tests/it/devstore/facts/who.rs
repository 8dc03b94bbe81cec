//! Who asks: credentials, signatures, roles.

use std::time::SystemTime;

use blobcp::devstore::{Config, Grant, PolicyChange};

use super::*;

const OLD: (&str, &str) = ("x-ms-version", "2018-11-09");
const NEW: (&str, &str) = ("x-ms-version", "2025-11-05");

#[tokio::test]
async fn who_says_nothing_of_himself() {
    let (_server, one, _) = accounts(Config::default()).await;
    one.upload("box/a", "text").await;
    // S143
    let old = one.unsigned("GET", "box/a", &[OLD]).await;
    assert_eq!((old.outcome().as_str(), old.elements("Code")), ("404", vec!["ResourceNotFound".into()]));
    let new = one.unsigned("GET", "box/a", &[NEW]).await;
    assert_eq!(new.outcome(), "401 NoAuthenticationInformation");
    assert!(new.header("www-authenticate").starts_with("Bearer authorization_uri="), "{new:?}");
    let bearer = ("authorization", "Bearer no-token");
    // S144
    let old = one.unsigned("GET", "box/a", &[OLD, bearer]).await;
    assert_eq!(old.outcome(), "400 InvalidAuthenticationInfo");
    // S201
    let new = one.unsigned("GET", "box/a", &[NEW, bearer]).await;
    assert_eq!(new.outcome(), "401 InvalidAuthenticationInfo");
}

#[tokio::test]
async fn a_signature_out_of_time_says_the_times() {
    let (_server, one, _) = accounts(Config::default()).await;
    one.upload("box/a", "text").await;
    let now = SystemTime::now();
    let http = |time| httpdate::fmt_http_date(time);
    for (start, expiry) in [(None, now - HOUR), (Some(now - 2 * HOUR), now - HOUR), (Some(now + HOUR), now + 2 * HOUR)]
    {
        let query = one.signature_between("a", "r", start, expiry);
        let refused = one.unsigned("GET", &format!("box/a?{query}"), &[NEW]).await;
        // S145
        assert_eq!(refused.outcome(), "403 AuthenticationFailed");
        let detail = refused.elements("AuthenticationErrorDetail").concat();
        let expected = match start {
            Some(start) => format!(
                "Signature not valid in the specified time frame: Start [{}] - Expiry [{}] - Current [",
                http(start),
                http(expiry)
            ),
            None => format!("Signed expiry time [{}] has to be after signed start time [", http(expiry)),
        };
        assert!(detail.starts_with(&expected), "{detail}");
    }
}

#[tokio::test]
async fn an_account_signature_says_what_it_is_not_for() {
    let (_server, one, _) = accounts(Config::default()).await;
    one.upload("box/a", "text").await;
    for (services, types, letters, outcome, version) in [
        // S146
        ("b", "sco", "w", "403 AuthorizationPermissionMismatch", "2025-11-05"),
        ("q", "sco", "r", "403 AuthorizationServiceMismatch", ""),
        ("b", "sc", "r", "403 AuthorizationResourceTypeMismatch", "2025-11-05"),
        ("b", "o", "r", "200", "2025-11-05"),
    ] {
        let query = one.account_signature(services, types, letters);
        let answer = one.unsigned("GET", &format!("box/a?{query}"), &[NEW]).await;
        assert_eq!((answer.outcome().as_str(), answer.header("x-ms-version")), (outcome, version));
    }
}

#[tokio::test]
async fn a_delegation_key_is_a_document() {
    let (server, one, _) = accounts(Config::default()).await;
    server.admit_token("good", Grant::default());
    let bearer = [NEW, ("authorization", "Bearer good")];
    let info = format!("<KeyInfo><Expiry>{}</Expiry></KeyInfo>", super::super::client::iso(SystemTime::now() + HOUR));
    let key = one.unsigned_with("POST", "?restype=service&comp=userdelegationkey", &bearer, info).await;
    // S147
    assert_eq!(key.status, 200);
    assert_eq!(key.elements("UserDelegationKey").len(), 1);
    for name in ["SignedOid", "SignedTid", "SignedStart", "SignedExpiry", "SignedService", "SignedVersion", "Value"] {
        assert!(!key.elements(name).concat().is_empty(), "{name}");
    }
    // The account's key, and what it signs, can do without.
    let path = "?restype=service&comp=userdelegationkey";
    let signed = format!("{path}&{}", one.account_signature("b", "s", "rw"));
    let (by_key, by_sas) = (one.send("POST", path, &[], "").await, one.unsigned("POST", &signed, &[NEW]).await);
    for refused in [by_key, by_sas] {
        assert_eq!(refused.outcome(), "403 AuthenticationFailed");
        let detail = refused.elements("AuthenticationErrorDetail");
        assert_eq!(detail, ["Only authentication scheme Bearer is supported"]);
    }
}

#[tokio::test]
async fn the_container_of_a_web_site_is_there() {
    let (_server, one, _) = accounts(Config::default()).await;
    // S150
    assert_eq!(one.put("$web?restype=container", &[]).await.outcome(), "409 ContainerAlreadyExists");
    assert_eq!(one.put("$web?restype=container&comp=acl", &[]).await.status, 200);
    assert_eq!(one.upload("$web/index.html", "text").await.status, 201);
}

#[tokio::test]
async fn a_role_for_one_container_is_none_for_others() {
    let (server, one, _) = accounts(Config::default()).await;
    server.admit_token("wide", Grant::default());
    server.admit_token("narrow", Grant { containers: vec!["box".into()], ..Grant::default() });
    let (wide, narrow) = (("authorization", "Bearer wide"), ("authorization", "Bearer narrow"));
    one.upload("box/a", "text").await;
    let mismatch = "403 AuthorizationPermissionMismatch";
    // S200
    for (method, path, at_account, at_container) in [
        ("GET", "none?restype=container&comp=list", "404 ContainerNotFound", mismatch),
        ("DELETE", "none/a", "404 ContainerNotFound", mismatch),
        ("PUT", "none/a", "404 ContainerNotFound", mismatch),
        ("GET", "box/a", "200", "200"),
    ] {
        for (bearer, outcome) in [(wide, at_account), (narrow, at_container)] {
            let headers = [NEW, bearer, ("x-ms-blob-type", "BlockBlob")];
            assert_eq!(one.unsigned(method, path, &headers).await.outcome(), outcome, "{method} {path}");
        }
    }
    server.change_policy(PolicyChange { firewall: Some(true), ..Default::default() });
    assert_eq!(one.get("box/a").await.outcome(), "403 AuthorizationFailure");
}
