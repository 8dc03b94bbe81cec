//! Leases of blobs and containers.

use blobcp::devstore::Config;

use super::*;

const OTHER: &str = "11111111-1111-1111-1111-111111111111";

async fn act(client: &Client, path: &str, action: &str, headers: Headers<'_>) -> Answer {
    client.put(path, &[&[("x-ms-lease-action", action)], headers].concat()).await
}

const ACQUIRE: [(&str, &str); 1] = [("x-ms-lease-duration", "15")];

#[tokio::test]
async fn a_lease_from_beginning_to_end() {
    let (server, one, _) = accounts(Config::default()).await;
    one.upload("box/a", "text").await;
    let before = one.head("box/a").await;
    server.advance_clock(SECOND);
    let id = lease(&one, "box/a", 15).await;
    let held = [("x-ms-lease-id", id.as_str())];
    let path = "box/a?comp=lease";
    // S93
    assert_eq!(act(&one, path, "acquire", &ACQUIRE).await.outcome(), "409 LeaseAlreadyPresent");
    // S181
    assert_eq!(act(&one, path, "renew", &held).await.status, 200);
    let change = [held[0], ("x-ms-proposed-lease-id", OTHER)];
    assert_eq!(act(&one, path, "change", &change).await.status, 200);
    assert_eq!(act(&one, path, "release", &[("x-ms-lease-id", OTHER)]).await.status, 200);
    let id = lease(&one, "box/a", 15).await;
    let held = [("x-ms-lease-id", id.as_str())];
    // S93, S181
    assert_same(&before, &one.head("box/a").await, &STAMP);
    // S180
    let wrong = [("x-ms-lease-id", OTHER)];
    assert_eq!(act(&one, path, "renew", &wrong).await.outcome(), "409 LeaseIdMismatchWithLeaseOperation");
    // S94
    let broken = act(&one, path, "break", &[("x-ms-lease-break-period", "10")]).await;
    assert_eq!((broken.status, broken.header("x-ms-lease-time")), (202, "10"));
    let put = [&[("x-ms-blob-type", "BlockBlob")][..], &held].concat();
    assert_eq!(one.send("PUT", "box/a", &put, "still").await.status, 201);
    // S180
    assert_eq!(act(&one, path, "acquire", &ACQUIRE).await.status, 409);
    // S95
    server.age_leases(HOUR);
    assert_eq!(one.send("PUT", "box/a", &put, "late").await.outcome(), "412 LeaseLost");
    assert_eq!(one.get("box/a").await.text(), "still");
}

#[tokio::test]
async fn an_expired_lease_is_lost_to_writes_and_can_be_renewed() {
    let (server, one, _) = accounts(Config::default()).await;
    one.upload("box/a", "text").await;
    let id = lease(&one, "box/a", 15).await;
    let held = [("x-ms-lease-id", id.as_str())];
    server.age_leases(HOUR);
    // S95
    let put = [&[("x-ms-blob-type", "BlockBlob")][..], &held].concat();
    assert_eq!(one.send("PUT", "box/a", &put, "late").await.outcome(), "412 LeaseLost");
    // S180
    assert_eq!(act(&one, "box/a?comp=lease", "renew", &held).await.status, 200);
    one.upload("box/b", "text").await;
    assert_eq!(act(&one, "box/b?comp=lease", "break", &[]).await.outcome(), "409 LeaseNotPresentWithLeaseOperation");
    // S181: after a break of no time.
    let before = one.head("box/a").await;
    server.advance_clock(SECOND);
    assert_eq!(act(&one, "box/a?comp=lease", "break", &[("x-ms-lease-break-period", "0")]).await.status, 202);
    assert_eq!(act(&one, "box/a?comp=lease", "acquire", &ACQUIRE).await.status, 201);
    assert_same(&before, &one.head("box/a").await, &STAMP);
    // S96
    let malformed = one.put("box/a?comp=tier", &[("x-ms-access-tier", "Cool"), ("x-ms-lease-id", "none")]).await;
    assert_eq!(malformed.outcome(), "400 InvalidHeaderValue");
    assert_eq!(malformed.elements("HeaderName"), ["x-ms-lease-id"]);
    for (choice, outcome) in [
        ("code-of-broken-lease=LeaseLost", "412 LeaseLost"),
        ("code-of-broken-lease=LeaseNotPresentWithBlobOperation", "412 LeaseNotPresentWithBlobOperation"),
    ] {
        let (_server, one, _) = answering(&[choice]).await;
        one.upload("box/a", "text").await;
        let id = lease(&one, "box/a", -1).await;
        act(&one, "box/a?comp=lease", "break", &[("x-ms-lease-break-period", "0")]).await;
        let put = [("x-ms-blob-type", "BlockBlob"), ("x-ms-lease-id", id.as_str())];
        assert_eq!(one.send("PUT", "box/a", &put, "late").await.outcome(), outcome);
    }
}

#[tokio::test]
async fn tags_of_a_leased_blob_need_the_lease() {
    let (server, one, _) = accounts(Config::default()).await;
    one.upload("box/a", "text").await;
    let id = lease(&one, "box/a", -1).await;
    let tags = "<Tags><TagSet><Tag><Key>k</Key><Value>v</Value></Tag></TagSet></Tags>";
    let (path, before) = ("box/a?comp=tags", one.head("box/a").await);
    server.advance_clock(SECOND);
    // S97
    assert_eq!(one.send("PUT", path, &[], tags).await.outcome(), "412 LeaseIdMissing");
    let wrong = [("x-ms-lease-id", OTHER)];
    assert_eq!(one.send("GET", path, &wrong, "").await.outcome(), "412 LeaseIdMismatchWithBlobOperation");
    assert_eq!(one.send("PUT", path, &[("x-ms-lease-id", &id)], tags).await.status, 204);
    assert_same(&before, &one.head("box/a").await, &STAMP);
}

#[tokio::test]
async fn leases_of_containers() {
    let (_server, one, _) = accounts(Config::default()).await;
    let path = "box?restype=container&comp=lease";
    // S98
    assert_eq!(act(&one, path, "break", &[]).await.outcome(), "409 LeaseNotPresentWithLeaseOperation");
    let id = act(&one, path, "acquire", &ACQUIRE).await.header("x-ms-lease-id").to_owned();
    assert_eq!(act(&one, path, "acquire", &ACQUIRE).await.outcome(), "409 LeaseAlreadyPresent");
    assert_eq!(one.delete("box?restype=container").await.outcome(), "412 LeaseIdMissing");
    act(&one, path, "break", &[("x-ms-lease-break-period", "0")]).await;
    let lost = one.send("DELETE", "box?restype=container", &[("x-ms-lease-id", &id)], "").await;
    assert_eq!(lost.outcome(), "412 LeaseLost");
    assert!(lost.text().contains("the lease for the container has expired"), "{}", lost.text());
}
