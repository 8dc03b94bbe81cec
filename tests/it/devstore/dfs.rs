//! The endpoint of hierarchical namespaces: paths made, appended to, deleted, owned; and what it says of an account.

use blobcp::devstore::answers::{AccountInformation, Answers};
use blobcp::devstore::{Config, Devstore, Grant};

use super::client::{Answer, Client, Headers, ONE, SECOND};

async fn server() -> (Devstore, Client) {
    let server = super::client::server(Config { hns: true, ..Config::default() }).await;
    let one = Client::new(&server, ONE);
    (server, one)
}

const FILE: &str = "resource=file";
const DIRECTORY: &str = "resource=directory";

async fn create(one: &Client, path: &str, resource: &str, headers: Headers<'_>) -> Answer {
    one.put(&format!("box/{path}?{resource}"), headers).await
}

async fn append(one: &Client, path: &str, at: usize, bytes: &'static str) -> Answer {
    one.send("PATCH", &format!("box/{path}?action=append&position={at}"), &[], bytes).await
}

async fn flush(one: &Client, path: &str, end: usize, headers: Headers<'_>) -> Answer {
    one.send("PATCH", &format!("box/{path}?action=flush&position={end}"), headers, "").await
}

/// A file as Spark and AzCopy write it.
async fn written(one: &Client, path: &str, content: &'static str) {
    assert_eq!(create(one, path, FILE, &[]).await.status, 201);
    assert_eq!(append(one, path, 0, content).await.status, 202);
    assert_eq!(flush(one, path, content.len(), &[]).await.status, 200);
}

#[tokio::test]
async fn a_file_is_made_anew_and_so_are_the_directories_above_it() {
    // S139
    let (server, one) = server().await;
    assert_eq!(create(&one, "a/b/f", FILE, &[]).await.status, 201);
    let names = one.get("box?restype=container&comp=list").await.elements("Name");
    assert_eq!(names, ["a", "a/b", "a/b/f"]);
    one.upload("box/a/b/f", "old").await;
    let first = one.head("box/a/b/f").await;
    // Creation times have seconds.
    server.advance_clock(SECOND);
    let again = create(&one, "a/b/f", FILE, &[]).await;
    let found = one.head("box/a/b/f").await;
    assert_eq!((again.status, found.header("content-length")), (201, "0"));
    assert_ne!(found.header("x-ms-creation-time"), first.header("x-ms-creation-time"));
    assert_eq!(create(&one, "a/b/f", FILE, &[("if-none-match", "*")]).await.outcome(), "409 PathAlreadyExists");
    // Of a directory nothing is lost that is in it.
    assert_eq!(create(&one, "a/b", DIRECTORY, &[]).await.status, 201);
    assert_eq!(one.head("box/a/b/f").await.status, 200);
    // S141
    for (path, resource) in [("a/b", FILE), ("a/b/f", DIRECTORY), ("a/b/f/x", FILE), ("a/b/f/x", DIRECTORY)] {
        assert_eq!(create(&one, path, resource, &[]).await.outcome(), "409 PathConflict", "{path} {resource}");
    }
}

#[tokio::test]
async fn what_is_appended_counts_once_it_is_flushed_to_its_end() {
    // S129
    let (_server, one) = server().await;
    written(&one, "f", "hello").await;
    assert_eq!(append(&one, "f", 5, " world").await.status, 202);
    assert_eq!(one.get("box/f").await.text(), "hello");
    for wrong in [10, 12, 4] {
        assert_eq!(flush(&one, "f", wrong, &[]).await.outcome(), "400 InvalidFlushPosition", "{wrong}");
    }
    let before = one.head("box/f").await.header("etag").to_owned();
    assert_eq!(flush(&one, "f", 11, &[("if-match", "\"0x1\"")]).await.outcome(), "412 ConditionNotMet");
    assert_eq!(flush(&one, "f", 11, &[("if-match", &before)]).await.status, 200);
    let now = one.get("box/f").await;
    assert!(now.text() == "hello world" && now.header("etag") != before);
    for refused in [
        append(&one, "none", 0, "x").await,
        flush(&one, "none", 0, &[]).await,
        one.delete("box/none?recursive=false").await,
    ] {
        assert_eq!(
            (refused.outcome(), refused.json()["error"]["code"].as_str()),
            ("404 PathNotFound".into(), Some("PathNotFound"))
        );
    }
}

#[tokio::test]
async fn a_file_written_here_takes_no_blocks_and_is_replaced_as_a_whole() {
    // S131
    let (_server, one) = server().await;
    one.upload("box/source", "source").await;
    let source = one.shared_url("source", std::time::Duration::from_secs(600));
    let blocks = async |one: &Client, name: &str| {
        let list = "<BlockList><Latest>QUFB</Latest></BlockList>";
        let id = format!("box/{name}?comp=block&blockid=QUFB");
        let from_url = [("x-ms-copy-source", source.as_str())];
        let answers = [
            one.send("PUT", &id, &[], "block").await,
            one.put(&id, &from_url).await,
            one.send("PUT", &format!("box/{name}?comp=blocklist"), &[], list).await,
        ];
        answers.map(|answer| answer.outcome())
    };
    let refused = ["409 BlobOperationNotSupported"; 3].map(str::to_owned);
    let taken = ["201"; 3].map(str::to_owned);
    written(&one, "f", "over dfs").await;
    written(&one, "g", "over dfs").await;
    for name in ["f", "g"] {
        assert_eq!(blocks(&one, name).await, refused, "{name}");
        // Its name is nothing: a file that was renamed is one still.
        let moved = format!("{name}-moved");
        one.put(&format!("box/{moved}?mode=legacy"), &[("x-ms-rename-source", &format!("/box/{name}"))]).await;
        assert_eq!(blocks(&one, &moved).await, refused, "{name}");
        assert_eq!(one.get(&format!("box/{moved}?comp=blocklist")).await.elements("Block").len(), 0);
    }
    assert_eq!(one.upload("box/f-moved", "whole").await.status, 201);
    assert_eq!(one.copy("box/g-moved", &source).await.status, 202);
    for name in ["f-moved", "g-moved"] {
        assert_eq!(blocks(&one, name).await, taken, "{name}");
        assert_eq!(one.get(&format!("box/{name}")).await.text(), "source", "{name}");
    }
    // One that was made over DFS and never written is none yet.
    create(&one, "empty", FILE, &[]).await;
    assert_eq!(blocks(&one, "empty").await, taken);
}

#[tokio::test]
async fn a_directory_goes_with_all_that_is_in_it_if_that_is_meant() {
    // S129
    let (_server, one) = server().await;
    for name in ["d/1", "d/sub/2", "d-else"] {
        one.upload(&format!("box/{name}"), name).await;
    }
    assert_eq!(one.delete("box/d?recursive=false").await.outcome(), "409 DirectoryNotEmpty");
    let gone = one.delete("box/d?recursive=true").await;
    assert_eq!((gone.status, gone.header("x-ms-continuation")), (200, ""));
    assert_eq!(one.get("box?restype=container&comp=list").await.elements("Name"), ["d-else"]);
    assert_eq!(one.delete("box/d?recursive=true").await.outcome(), "404 PathNotFound");
}

#[tokio::test]
async fn leases_are_refused_in_words_of_its_own() {
    // S127, S128
    let (_server, one) = server().await;
    written(&one, "f", "text").await;
    written(&one, "g", "text").await;
    let other = "11111111-1111-1111-1111-111111111111";
    let given = [("x-ms-lease-id", other)];
    assert_eq!(flush(&one, "f", 4, &given).await.outcome(), "412 LeaseNotPresent");
    let moved = [("x-ms-rename-source", "/box/g"), ("x-ms-lease-id", other)];
    assert_eq!(one.put("box/f?mode=legacy", &moved).await.outcome(), "412 LeaseNotPresent");
    let acquire = [("x-ms-lease-action", "acquire"), ("x-ms-lease-duration", "-1")];
    for name in ["f", "g"] {
        assert_eq!(one.put(&format!("box/{name}?comp=lease"), &acquire).await.status, 201);
    }
    assert_eq!(one.put("box/f?mode=legacy", &moved).await.outcome(), "412 LeaseIdMissing");
    let moved = [("x-ms-rename-source", "/box/g"), ("x-ms-source-lease-id", other)];
    assert_eq!(one.put("box/f?mode=legacy", &moved).await.outcome(), "412 LeaseIdMismatch");
    assert_eq!(flush(&one, "f", 4, &given).await.outcome(), "412 LeaseIdMismatch");
    // Over Blob they are what they were.
    let metadata = [("x-ms-meta-k", "v"), ("x-ms-lease-id", other)];
    assert_eq!(one.put("box/f?comp=metadata", &metadata).await.outcome(), "412 LeaseIdMismatchWithBlobOperation");
}

#[tokio::test]
async fn owners_permissions_and_lists_are_shown_and_set() {
    // S134
    let (_server, one) = server().await;
    one.upload("box/d/f", "text").await;
    let shown = async |path: &str| {
        let found = one.head(path).await;
        let names = ["x-ms-resource-type", "x-ms-owner", "x-ms-group", "x-ms-permissions", "x-ms-acl"];
        names.map(|name| found.header(name).to_owned()).join(" ").trim_end().to_owned()
    };
    let list = "box/d/f?action=getAccessControl";
    assert_eq!(shown("box/d/f").await, "file $superuser $superuser rw-r-----");
    assert_eq!(shown("box/d").await, "directory $superuser $superuser rwxr-x---");
    assert_eq!(shown(list).await, "file $superuser $superuser rw-r----- user::rw-,group::r--,other::---");
    let before = one.head("box/d/f").await;
    let set = async |headers: Headers<'_>| one.send("PATCH", "box/d/f?action=setAccessControl", headers, "").await;
    assert_eq!(set(&[("x-ms-owner", "ann"), ("x-ms-group", "staff"), ("x-ms-permissions", "0754")]).await.status, 200);
    assert_eq!(shown("box/d/f").await, "file ann staff rwxr-xr--");
    let entries = "user::rw-,user:bob:r--,group::r--,mask::r--,other::---";
    assert_eq!(set(&[("x-ms-acl", entries)]).await.status, 200);
    assert_eq!(shown("box/d/f").await, "file ann staff rw-r-----+");
    assert!(shown(list).await.contains("user:bob:r--"));
    for wrong in [("x-ms-permissions", "rwx"), ("x-ms-acl", "user::rwx"), ("x-ms-permissions", "0999")] {
        assert_eq!(set(&[wrong]).await.outcome(), "400 InvalidHeaderValue", "{wrong:?}");
    }
    let after = one.head("box/d/f").await;
    assert_eq!(
        (after.header("etag"), after.header("last-modified")),
        (before.header("etag"), before.header("last-modified"))
    );
    // Whoever has a token owns what is made with it.
    let mine = super::client::server(Config { hns: true, ..Config::default() }).await;
    mine.admit_token("token", Grant { object_id: "me".into(), ..Grant::default() });
    assert_eq!(asked(&mine, "PUT", "box/f?resource=file").await.0, 201);
    assert_eq!(Client::new(&mine, ONE).head("box/f").await.header("x-ms-owner"), "me");
}

/// Status and two headers of what a token is answered.
async fn asked(server: &Devstore, method: &str, path: &str) -> (u16, String, String) {
    let request = reqwest::Client::new().request(method.parse().unwrap(), format!("{}/{path}", server.endpoint(ONE)));
    let request = request.header("x-ms-version", "2025-11-05").bearer_auth("token").header("content-length", 0);
    let answer = request.send().await.unwrap();
    let header = |name| answer.headers().get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
    (answer.status().as_u16(), header("x-ms-is-hns-enabled"), header("x-ms-namespace-enabled"))
}

#[tokio::test]
async fn the_kind_of_an_account_is_told_to_tokens_by_its_containers_and_filesystems() {
    // S148, S149
    let (root, container) = ("?restype=account&comp=properties", "box?restype=account&comp=properties");
    for hns in [true, false] {
        let kind = hns.to_string();
        let told = (200, kind.clone(), String::new());
        let not = |status| (status, String::new(), String::new());
        for (account_information, at_root, at_container) in [
            (AccountInformation::TokensAtContainers, not(404), told.clone()),
            (AccountInformation::Everybody, told.clone(), told.clone()),
            (AccountInformation::KeysOnly, not(404), not(403)),
        ] {
            let answers = Answers { account_information, ..Answers::default() };
            let server = super::client::server(Config { hns, answers, ..Config::default() }).await;
            server.admit_token("token", Grant::default());
            assert_eq!(asked(&server, "GET", root).await, at_root, "{account_information:?}");
            assert_eq!(asked(&server, "GET", container).await, at_container, "{account_information:?}");
            let filesystem = (200, String::new(), kind.clone());
            assert_eq!(asked(&server, "HEAD", "box?resource=filesystem").await, filesystem);
            // With the key it is told in both places.
            let one = Client::new(&server, ONE);
            for path in [root, container] {
                assert_eq!(one.get(path).await.header("x-ms-is-hns-enabled"), kind);
            }
        }
    }
}

#[tokio::test]
async fn a_flat_account_has_no_paths() {
    let server = super::client::server(Config::default()).await;
    let one = Client::new(&server, ONE);
    one.upload("box/f", "text").await;
    assert_eq!(create(&one, "g", FILE, &[]).await.outcome(), "501 NotImplemented");
    assert_eq!(one.head("box/f?action=getAccessControl").await.outcome(), "501 NotImplemented");
    assert_eq!(one.head("box/f").await.header("x-ms-owner"), "");
}

/// Names of a page of paths, directories with a slash behind, and where the next page goes on.
async fn paths(one: &Client, parameters: &str) -> (Vec<String>, String) {
    let answer = one.get(&format!("box?resource=filesystem&{parameters}")).await;
    assert_eq!(answer.status, 200, "{parameters}: {}", answer.text());
    let rows = answer.json()["paths"].as_array().unwrap().clone();
    let name = |row: &serde_json::Value| {
        let directory = if row["isDirectory"] == "true" { "/" } else { "" };
        format!("{}{directory}", row["name"].as_str().unwrap())
    };
    (rows.iter().map(name).collect(), answer.header("x-ms-continuation").to_owned())
}

#[tokio::test]
async fn paths_are_listed_through_the_tree_page_by_page() {
    let (_server, one) = server().await;
    written(&one, "a/x/f", "12345").await;
    written(&one, "a-b", "1").await;
    create(&one, "a/empty", DIRECTORY, &[]).await;
    let all = ["a/", "a/empty/", "a/x/", "a/x/f", "a-b"];
    assert_eq!(paths(&one, "recursive=true").await.0, all);
    assert_eq!(paths(&one, "recursive=false").await.0, ["a/", "a-b"]);
    assert_eq!(paths(&one, "recursive=false&directory=a").await.0, ["a/empty/", "a/x/"]);
    assert_eq!(paths(&one, "recursive=true&directory=a/empty").await.0, [""; 0]);
    let (mut seen, mut next) = paths(&one, "recursive=true&maxresults=2").await;
    while !next.is_empty() {
        let page = paths(&one, &format!("recursive=true&maxresults=2&continuation={}", next.replace('%', "%25"))).await;
        seen.extend(page.0);
        next = page.1;
    }
    assert_eq!(seen, all);
    let text = one.get("box?resource=filesystem&recursive=true&directory=a/x").await.json();
    let row = &text["paths"][0];
    assert_eq!((row["contentLength"].as_str(), row["permissions"].as_str()), (Some("5"), Some("rw-r-----")), "{row}");
    let list = async |parameters: &str| one.get(&format!("box?resource=filesystem&{parameters}")).await.outcome();
    assert_eq!(list("recursive=true&directory=none").await, "404 PathNotFound");
    assert_eq!(list("recursive=true&directory=a-b").await, "409 PathConflict");
    assert_eq!(list("recursive=maybe").await, "400 InvalidQueryParameterValue");
}

#[tokio::test]
async fn an_append_may_flush_and_a_new_file_have_metadata() {
    let (_server, one) = server().await;
    let properties = [("x-ms-properties", "sourceFile=b3JpZy5jc3Y=,lower=bA==")];
    assert_eq!(create(&one, "f", FILE, &properties).await.status, 201);
    let one_request = async |at: usize, bytes: &'static str| {
        one.send("PATCH", &format!("box/f?action=append&position={at}&flush=true"), &[], bytes).await.outcome()
    };
    assert_eq!((one_request(0, "one").await, one_request(3, "two").await), ("202".into(), "202".into()));
    assert_eq!(one_request(9, "gap").await, "400 InvalidFlushPosition");
    assert_eq!(one.get("box/f").await.text(), "onetwo");
    assert_eq!(one.head("box/f").await.header("x-ms-meta-sourcefile"), "orig.csv");
    let wrong = create(&one, "g", FILE, &[("x-ms-properties", "a=%")]).await;
    assert_eq!(wrong.outcome(), "400 InvalidHeaderValue");
}

#[tokio::test]
async fn the_root_tells_whether_there_are_directories() {
    let (_server, one) = server().await;
    let root = one.head("box/?action=getAccessControl").await;
    assert_eq!((root.status, root.header("x-ms-acl")), (200, "user::rwx,group::r-x,other::---"));
    let flat = super::client::server(Config::default()).await;
    let refused = Client::new(&flat, ONE).head("box/?action=getAccessControl").await;
    assert_eq!(refused.outcome(), "400 HierarchicalNamespaceNotEnabled");
}
