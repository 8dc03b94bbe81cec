//! Many requests in one: Blob Batch as the vendor's clients send it.

use blobcp::devstore::{Config, Grant};

use super::client::*;

/// The type of a batch's body, as the vendor's clients write it.
const KIND: &str = "multipart/mixed; boundary=batch_1";

/// A batch of these requests below the account; what each is answered, status and code, and the text of all.
async fn submit(client: &Client, path: &str, parts: &[(&str, &str, Headers<'_>)]) -> (String, Vec<String>, String) {
    submit_as(client, path, KIND, parts).await
}

/// The same with another spelling of the type.
async fn submit_as(
    client: &Client,
    path: &str,
    kind: &str,
    parts: &[(&str, &str, Headers<'_>)],
) -> (String, Vec<String>, String) {
    let mut body = String::new();
    for (id, (method, path, headers)) in parts.iter().enumerate() {
        body += "--batch_1\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n";
        body += &format!("Content-ID: {id}\r\n\r\n{method} /{}/{path} HTTP/1.1\r\n", client.account);
        for (name, value) in client.signed(method, path, headers) {
            body += &format!("{name}: {value}\r\n");
        }
        body += "Content-Length: 0\r\n\r\n\r\n";
    }
    body += "--batch_1--\r\n";
    let answer = client.send("POST", path, &[("content-type", kind)], body).await;
    let text = answer.text();
    let boundary = answer.header("content-type").strip_prefix("multipart/mixed; boundary=").unwrap_or("-").to_owned();
    let delimiter = format!("--{boundary}\r\n");
    let answers = text.split(&delimiter).skip(1).enumerate().map(|(id, part)| {
        assert!(part.contains(&format!("Content-ID: {id}\r\n")), "{part}");
        let status = part.lines().find_map(|line| line.strip_prefix("HTTP/1.1 ")).unwrap();
        let code = part.lines().find_map(|line| line.strip_prefix("x-ms-error-code: ")).unwrap_or_default();
        format!("{} {code}", status.split(' ').next().unwrap()).trim_end().to_owned()
    });
    (answer.outcome(), answers.collect(), text)
}

#[tokio::test]
async fn each_part_of_a_batch_has_an_answer_of_its_own() {
    // S155
    let server = server(Config::default()).await;
    let one = Client::new(&server, ONE);
    for name in ["a", "b c", "d", "kept"] {
        one.upload(&format!("box/{}", name.replace(' ', "%20")), "x").await;
    }
    one.put("box/kept?comp=snapshot", &[]).await;
    let delete = |path: &'static str| ("DELETE", path, &[][..]);
    let parts = [delete("box/a"), delete("box/missing"), delete("box/b%20c"), delete("box/kept")];
    let (outcome, answers, text) = submit(&one, "?comp=batch", &parts).await;
    assert_eq!(
        (outcome.as_str(), &answers[..]),
        ("202", &["202", "404 BlobNotFound", "202", "409 SnapshotsPresent"].map(String::from)[..]),
        "{text}"
    );
    assert!(!text.to_lowercase().contains("etag:") && text.contains("<Code>BlobNotFound</Code>"), "{text}");
    assert!(text.contains("x-ms-delete-type-permanent: "), "{text}");
    assert_eq!(one.head("box/a").await.status, 404);
    assert_eq!(one.head("box/kept").await.status, 200);
    // The same at a container, and with headers.
    let (include, cool) = ([("x-ms-delete-snapshots", "include")], [("x-ms-access-tier", "Cool")]);
    let (_, answers, _) = submit(&one, "box?restype=container&comp=batch", &[("DELETE", "box/kept", &include)]).await;
    assert_eq!(answers, ["202"]);
    let tiers = [("PUT", "box/d?comp=tier", &cool[..]), ("PUT", "box/missing?comp=tier", &cool[..])];
    let (outcome, answers, text) = submit(&one, "box?restype=container&comp=batch", &tiers).await;
    assert_eq!((outcome.as_str(), &answers[..]), ("202", &["200", "404 BlobNotFound"].map(String::from)[..]), "{text}");
    assert_eq!(one.head("box/d").await.header("x-ms-access-tier"), "Cool");
    assert_eq!(server.stats().requests("DeleteBlob"), 5, "what a batch does is counted");
}

#[tokio::test]
async fn parts_of_a_batch_come_with_a_token_or_a_signature_too() {
    let server = server(Config::default()).await;
    server.admit_token("good", Grant::default());
    let one = Client::new(&server, ONE);
    let version = ("x-ms-version", "2025-11-05");
    let sas = one.account_signature("b", "o", "d");
    for (line, path, own) in [
        ("authorization: Bearer good\r\n".to_owned(), String::new(), &[("authorization", "Bearer good"), version][..]),
        (String::new(), format!("?{sas}"), &[version]),
    ] {
        one.upload("box/a", "x").await;
        let body =
            format!("--batch_1\r\nContent-ID: 0\r\n\r\nDELETE /one/box/a{path} HTTP/1.1\r\n{line}\r\n--batch_1--\r\n");
        let headers = [own, &[("content-type", KIND)]].concat();
        let batch = format!("?comp=batch{}", path.replace('?', "&"));
        let answer = one.unsigned_with("POST", &batch, &headers, body).await;
        assert_eq!(answer.status, 202, "{}", answer.text());
        assert!(answer.text().contains("HTTP/1.1 202 "), "{}", answer.text());
        assert_eq!(one.head("box/a").await.status, 404);
    }
}

#[tokio::test]
async fn the_boundary_of_a_batch_is_a_parameter_like_others() {
    let server = server(Config::default()).await;
    let one = Client::new(&server, ONE);
    for kind in [
        "Multipart/Mixed; Boundary=batch_1",
        "multipart/mixed; charset=utf-8; boundary=\"batch_1\"",
        "multipart/mixed;boundary= batch_1",
    ] {
        one.upload("box/a", "x").await;
        let (outcome, answers, text) = submit_as(&one, "?comp=batch", kind, &[("DELETE", "box/a", &[])]).await;
        assert_eq!((outcome.as_str(), &answers[..]), ("202", &["202".to_owned()][..]), "{kind} {text}");
    }
}

#[tokio::test]
async fn what_is_no_batch_is_refused_as_a_whole() {
    let server = server(Config::default()).await;
    let (one, two) = (Client::new(&server, ONE), Client::new(&server, TWO));
    one.upload("box/a", "x").await;
    one.put("other?restype=container", &[]).await;
    let delete = ("DELETE", "box/a", &[][..]);
    let refused = async |path: &str, parts: &[(&str, &str, Headers<'_>)]| submit(&one, path, parts).await.0;
    assert_eq!(refused("?comp=batch", &[]).await, "400 InvalidInput");
    assert_eq!(refused("?comp=batch", &[delete, ("GET", "box/a", &[])]).await, "400 InvalidInput");
    assert_eq!(refused("other?restype=container&comp=batch", &[delete]).await, "400 InvalidInput");
    assert_eq!(refused("?comp=batch", &vec![delete; 257]).await, "400 ExceedsMaxBatchRequestCount");
    let plain = one.send("POST", "?comp=batch", &[("content-type", "text/plain")], "x").await;
    assert_eq!(plain.outcome(), "400 InvalidInput");
    // Another account's signature is good for nothing here.
    let mut forged = Client::new(&server, ONE);
    forged.take_key_of(&two);
    assert_eq!(submit(&forged, "?comp=batch", &[delete]).await.0, "403 AuthenticationFailed");
    assert_eq!(one.head("box/a").await.status, 200);
}
