//! Ordered faults and the counters: what other tests lean on.

use std::time::{Duration, Instant};

use blobcp::devstore::{Config, Fault, Reset};

use super::client::{Client, Headers, ONE, server};

#[tokio::test]
async fn a_status_fault_hits_once_and_before_the_effect() {
    let server = server(Config::default()).await;
    let one = Client::new(&server, ONE);
    let fault = r#"{"operation":"PutBlob","skip":1,"count":2,"status":503,"retry_after":3,"blob_prefix":"x"}"#;
    assert_eq!(one.control("POST", "/-/faults", fault).await.status, 204);
    assert_eq!(one.upload("box/y", "1").await.status, 201, "other name");
    assert_eq!(one.upload("box/x1", "1").await.status, 201, "skipped");
    for _ in 0..2 {
        let answer = one.upload("box/x2", "1").await;
        assert_eq!((answer.outcome().as_str(), answer.header("retry-after")), ("503 ServerBusy", "3"));
        assert_eq!(one.head("box/x2").await.status, 404);
    }
    assert_eq!(one.upload("box/x2", "1").await.status, 201, "used up");
}

#[tokio::test]
async fn a_fault_may_come_after_the_effect() {
    let server = server(Config::default()).await;
    let one = Client::new(&server, ONE);
    let code = Some("OperationTimedOut".to_owned());
    server.add_fault(Fault { status: Some(500), code, after: true, ..Fault::on("PutBlob") });
    assert_eq!(one.upload("box/x", "1").await.outcome(), "500 OperationTimedOut");
    assert_eq!(one.head("box/x").await.status, 200);
}

#[tokio::test]
async fn a_connection_can_be_reset_before_and_after() {
    let server = server(Config::default()).await;
    let one = Client::new(&server, ONE);
    for (name, reset, status) in [("box/before", Reset::Before, 404), ("box/after", Reset::After, 200)] {
        server.add_fault(Fault { reset: Some(reset), ..Fault::on("PutBlob") });
        let broken = one.try_send("PUT", name, &[("x-ms-blob-type", "BlockBlob")], "1").await;
        assert!(broken.is_err(), "{broken:?}");
        assert_eq!(one.head(name).await.status, status, "{name}");
    }
    let unanswered = server.requests().iter().filter(|request| request.status == 0).count();
    assert_eq!(unanswered, 2);
}

#[tokio::test]
async fn a_body_can_be_cut_or_stalled() {
    let server = server(Config::default()).await;
    let one = Client::new(&server, ONE);
    one.upload("box/x", vec![1; 1 << 20]).await;
    server.reset_stats();
    server.add_fault(Fault { truncate_body: Some(1000), ..Fault::on("GetBlob") });
    let broken = one.try_send("GET", "box/x", &[], "").await;
    assert!(broken.unwrap_err().is_decode() || server.stats().body_bytes_out == 1000);
    assert_eq!(server.stats().body_bytes_out, 1000);
    server.add_fault(Fault { stall_body_ms: Some(200), ..Fault::on("GetBlob") });
    let start = Instant::now();
    assert_eq!(one.get("box/x").await.body.len(), 1 << 20);
    assert!(start.elapsed() >= Duration::from_millis(200));
    server.add_fault(Fault { delay_ms: 200, ..Fault::on("*") });
    let start = Instant::now();
    assert_eq!(one.head("box/x").await.status, 200);
    assert!(start.elapsed() >= Duration::from_millis(200));
}

#[tokio::test]
async fn a_body_can_be_damaged_on_its_way_in_either_direction() {
    let server = server(Config::default()).await;
    let one = Client::new(&server, ONE);
    one.upload("box/x", "abc").await;
    server.add_fault(Fault { corrupt_body: Some(1), ..Fault::on("GetBlob") });
    assert_eq!(one.get("box/x").await.body, "acc".as_bytes());
    assert_eq!((one.get("box/x").await.body, server.faults_fired()), ("abc".into(), 1), "once");
    // Broken off while it is sent: nothing was done.
    server.add_fault(Fault { reset: Some(Reset::Within), ..Fault::on("PutBlob") });
    let broken = one.try_send("PUT", "box/y", &[("x-ms-blob-type", "BlockBlob")], "1").await;
    assert!(broken.is_err() && one.head("box/y").await.status == 404, "{broken:?}");
    // A fault of a body does not count where there is none, and is used up.
    server.clear_faults();
    server.add_fault(Fault { truncate_body: Some(0), ..Fault::on("GetBlobProperties") });
    assert_eq!((one.head("box/x").await.status, server.faults_fired()), (200, 0));
}

#[tokio::test]
async fn a_fault_may_hit_one_of_so_many_as_if_by_chance() {
    let server = server(Config::default()).await;
    let one = Client::new(&server, ONE);
    one.upload("box/x", "1").await;
    let mut rows = Vec::new();
    for seed in [1, 1, 2] {
        server.clear_faults();
        let rule = Fault { status: Some(500), one_of: 4, seed, count: u64::MAX, ..Fault::on("GetBlobProperties") };
        server.add_fault(rule);
        let mut row = Vec::new();
        for _ in 0..100 {
            row.push(one.head("box/x").await.status);
        }
        let hit = row.iter().filter(|status| **status == 500).count();
        assert!((10..45).contains(&hit) && server.faults_fired() == hit as u64, "{hit} of 100");
        rows.push(row);
    }
    assert!(rows[0] == rows[1] && rows[0] != rows[2], "the seed decides");
}

#[tokio::test]
async fn forgotten_faults_do_nothing() {
    let server = server(Config::default()).await;
    let one = Client::new(&server, ONE);
    server.add_fault(Fault { status: Some(500), count: 100, ..Fault::on("*") });
    assert_eq!(one.get("box/x").await.outcome(), "500 InternalError");
    assert_eq!(one.control("DELETE", "/-/faults", "").await.status, 204);
    assert_eq!(one.get("box/x").await.outcome(), "404 BlobNotFound");
    assert_eq!(one.control("POST", "/-/faults", "{\"operation\":1}").await.status, 400);
    assert_eq!(one.control("POST", "/-/unknown", "").await.status, 404);
}

#[tokio::test]
async fn requests_and_payload_are_counted() {
    let server = server(Config { latency: Duration::from_millis(20), ..Config::default() }).await;
    let one = Client::new(&server, ONE);
    let start = Instant::now();
    one.upload("box/x", "12345").await;
    assert!(start.elapsed() >= Duration::from_millis(20));
    one.get("box/x").await;
    one.get("box?restype=container&comp=list").await;
    one.get("box/x?comp=nonsense").await;
    let stats = one.control("GET", "/-/stats", "").await.json();
    let expected = serde_json::json!({
        "requests": {"PutBlob": 1, "GetBlob": 1, "ListBlobs": 1, "Unknown": 1},
        "most_at_once": {"PutBlob": 1, "GetBlob": 1, "ListBlobs": 1},
        "total": 4, "body_bytes_in": 5, "body_bytes_out": 5,
    });
    assert_eq!(stats, expected);
    let log = one.control("GET", "/-/requests", "").await.json();
    assert_eq!(log[2]["operation"], "ListBlobs");
    assert_eq!(log[2]["query"], "restype=container&comp=list");
    assert_eq!(log[3]["status"], 400);
    assert_eq!(one.control("POST", "/-/stats/reset", "").await.status, 204);
    assert_eq!(one.control("GET", "/-/stats", "").await.json()["total"], 0);
}

#[tokio::test]
async fn the_control_interface_is_for_who_has_its_token_and_for_no_page_of_a_browser() {
    let server = server(Config::default()).await;
    let one = Client::new(&server, ONE);
    let (port, token) = (server.address().port(), format!("Bearer {}", server.control_token()));
    let (here, named) = (format!("127.0.0.1:{port}"), format!("localhost:{port}"));
    let (own, rebound) = (format!("http://{named}"), format!("attacker.example:{port}"));
    let (token, here, named) = (token.as_str(), here.as_str(), named.as_str());
    let (own, rebound) = (own.as_str(), rebound.as_str());
    let other = format!("Bearer {}", "0".repeat(server.control_token().len()));
    let fault = r#"{"operation":"GetBlob","status":503}"#;
    let refused: &[Headers<'_>] = &[
        &[],
        &[("authorization", "Bearer ")],
        &[("authorization", other.as_str())],
        &[("authorization", server.control_token())],
        &[("authorization", token), ("host", rebound)],
        &[("authorization", token), ("host", "localhost.attacker.example")],
        &[("authorization", token), ("origin", "http://attacker.example")],
        &[("authorization", token), ("origin", "null")],
        &[("authorization", token), ("host", here), ("origin", own)],
    ];
    for headers in refused {
        for (method, path) in [("POST", "/-/faults"), ("GET", "/-/requests"), ("GET", "/-/unknown")] {
            assert_eq!(one.control_as(method, path, fault, headers).await.status, 403, "{method} {path} {headers:?}");
        }
    }
    assert_eq!(one.get("box/x").await.outcome(), "404 BlobNotFound", "no fault was ordered");
    let admitted: &[Headers<'_>] = &[
        &[("authorization", token), ("host", here)],
        &[("authorization", token), ("host", "[::1]")],
        &[("authorization", token), ("host", named), ("origin", own)],
    ];
    for headers in admitted {
        assert_eq!(one.control_as("GET", "/-/stats", "", headers).await.status, 200, "{headers:?}");
    }
}
