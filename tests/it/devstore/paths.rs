//! Hierarchical namespaces on the wire: what a rename does to what is there, what it leaves alone, and what there is not.

use blobcp::devstore::{Config, Devstore, PolicyChange};

use super::client::{Answer, Client, ONE, SECOND};

/// A server whose accounts have hierarchical namespaces, and a client.
async fn server() -> (Devstore, Client) {
    let server = super::client::server(Config { hns: true, ..Config::default() }).await;
    let one = Client::new(&server, ONE);
    (server, one)
}

async fn rename(one: &Client, from: &str, to: &str, mode: &str) -> Answer {
    one.put(&format!("box/{to}{mode}"), &[("x-ms-rename-source", &format!("/box/{from}"))]).await
}

/// The blobs and directories that there are.
async fn names(one: &Client) -> Vec<String> {
    one.get("box?restype=container&comp=list").await.elements("Name")
}

const POSIX: [&str; 2] = ["", "?mode=posix"];
const LEGACY: &str = "?mode=legacy";

#[tokio::test]
async fn a_directory_goes_inside_one_that_is_there() {
    // S118, S196
    for mode in POSIX {
        let (_server, one) = server().await;
        for name in ["d/x", "full/y", "empty/z"] {
            one.upload(&format!("box/{name}"), name).await;
        }
        one.delete("box/empty/z").await;
        assert_eq!(rename(&one, "d", "full", mode).await.status, 201, "{mode}");
        assert_eq!(names(&one).await, ["empty", "full", "full/d", "full/d/x", "full/y"], "{mode}");
        assert_eq!(rename(&one, "full/d", "empty", mode).await.status, 201, "{mode}");
        assert_eq!(names(&one).await, ["empty", "empty/d", "empty/d/x", "full", "full/y"], "{mode}");
        // To a name that is free it gets that name, and a file replaces a file (S198).
        assert_eq!(rename(&one, "empty/d", "e", mode).await.status, 201, "{mode}");
        one.upload("box/f", "file").await;
        assert_eq!(rename(&one, "f", "e/x", mode).await.status, 201, "{mode}");
        assert_eq!(names(&one).await, ["e", "e/x", "empty", "full", "full/y"], "{mode}");
        assert_eq!(one.get("box/e/x").await.text(), "file", "{mode}");
    }
}

#[tokio::test]
async fn in_parts_it_goes_to_the_same_place() {
    // S118
    let (server, one) = server().await;
    for name in ["d/1", "d/2", "d/3", "full/y"] {
        one.upload(&format!("box/{name}"), name).await;
    }
    server.change_policy(PolicyChange { rename_part: Some(2), ..Default::default() });
    let part = rename(&one, "d", "full", "").await;
    let rest = part.header("x-ms-continuation");
    assert!(!rest.is_empty());
    let done = rename(&one, "d", "full", &format!("?continuation={rest}")).await;
    assert_eq!((done.status, done.header("x-ms-continuation")), (201, ""));
    assert_eq!(names(&one).await, ["full", "full/d", "full/d/1", "full/d/2", "full/d/3", "full/y"]);
}

#[tokio::test]
async fn in_legacy_mode_an_empty_directory_is_replaced_and_no_other() {
    // S119 to S121
    let (_server, one) = server().await;
    for name in ["d/x", "full/y", "empty/z", "f"] {
        one.upload(&format!("box/{name}"), name).await;
    }
    one.delete("box/empty/z").await;
    assert_eq!(rename(&one, "d", "full", LEGACY).await.outcome(), "409 DirectoryNotEmpty");
    for to in ["empty", "full"] {
        let headers = [("x-ms-rename-source", "/box/d"), ("if-none-match", "*")];
        assert_eq!(one.put(&format!("box/{to}{LEGACY}"), &headers).await.outcome(), "409 PathAlreadyExists");
    }
    assert_eq!(names(&one).await, ["d", "d/x", "empty", "f", "full", "full/y"]);
    assert_eq!(rename(&one, "d", "empty", LEGACY).await.status, 201);
    assert_eq!(names(&one).await, ["empty", "empty/x", "f", "full", "full/y"]);
    assert_eq!(rename(&one, "f", "full/y", LEGACY).await.status, 201);
    assert_eq!(one.get("box/full/y").await.text(), "f");
    assert_eq!(rename(&one, "full", "x", "?mode=other").await.outcome(), "400 InvalidQueryParameterValue");
}

#[tokio::test]
async fn a_rename_changes_the_name_and_nothing_else() {
    // S116, S117
    for choice in ["stamp-of-rename=by-version", "stamp-of-rename=never"] {
        let answers = [choice.parse().unwrap()].into_iter().collect();
        let server = super::client::server(Config { hns: true, answers, ..Config::default() }).await;
        let one = Client::new(&server, ONE);
        one.upload("box/d/f", "text").await;
        one.upload("box/old", "replaced").await;
        // Times are told in seconds.
        server.advance_clock(SECOND);
        let identity = async |name: &str| {
            let found = one.head(&format!("box/{name}")).await;
            assert_eq!(found.status, 200, "{name}");
            ["etag", "last-modified", "x-ms-creation-time"].map(|header| found.header(header).to_owned())
        };
        for (from, to, mode, version, tells) in [
            ("d", "e", "", "2019-02-02", false),
            ("e", "d", LEGACY, "2020-02-10", false),
            ("d", "e", LEGACY, "2021-08-06", true),
            ("e", "d", "", "2023-08-03", true),
            ("d/f", "old", LEGACY, "2025-11-05", true),
            ("old", "new", "", "2020-02-10", false),
        ] {
            let before = identity(from).await;
            let headers = [("x-ms-rename-source", &*format!("/box/{from}")), ("x-ms-version", version)];
            let renamed = one.put(&format!("box/{to}{mode}"), &headers).await;
            assert_eq!(renamed.status, 201, "{choice} {from} {to}");
            let told = ["etag", "last-modified"].map(|header| renamed.header(header).to_owned());
            let tells = tells && choice.ends_with("by-version");
            let expected = if tells { [before[0].clone(), before[1].clone()] } else { Default::default() };
            assert_eq!(told, expected, "{choice} {version}");
            assert_eq!(identity(to).await, before, "{from}");
            assert_eq!(one.head(&format!("box/{from}")).await.status, 404);
        }
    }
}

#[tokio::test]
async fn what_is_half_deleted_is_not_renamed() {
    // S199
    let (server, one) = server().await;
    for name in ["d/1", "d/2", "d/3", "f", "dd/x"] {
        one.upload(&format!("box/{name}"), name).await;
    }
    server.change_policy(PolicyChange { delete_part: Some(2), ..Default::default() });
    let delete = async |rest: &str| one.delete(&format!("box/d?recursive=true{rest}")).await;
    let rest = delete("").await.header("x-ms-continuation").to_owned();
    assert!(!rest.is_empty());
    for (from, to, outcome) in [
        ("d", "e", "409 SourcePathIsBeingDeleted"),
        ("d/3", "three", "409 SourcePathIsBeingDeleted"),
        ("f", "d/f", "409 DestinationPathIsBeingDeleted"),
        ("dd", "d", "409 DestinationPathIsBeingDeleted"),
    ] {
        let refused = rename(&one, from, to, LEGACY).await;
        assert_eq!(refused.outcome(), outcome, "{from} {to}");
        assert_eq!(refused.json()["error"]["code"].as_str(), outcome.split(' ').nth(1));
    }
    assert_eq!(delete(&format!("&continuation={rest}")).await.header("x-ms-continuation"), "");
    assert_eq!(rename(&one, "dd", "d", LEGACY).await.status, 201);
    assert_eq!(names(&one).await, ["d", "d/x", "f"]);
}

#[tokio::test]
async fn a_lease_on_what_is_replaced_is_a_question() {
    for (answer, outcome) in [("broken", "201"), ("refuses", "412 LeaseIdMissing")] {
        let answers = [format!("lease-on-replaced={answer}").parse().unwrap()].into_iter().collect();
        let server = super::client::server(Config { hns: true, answers, ..Config::default() }).await;
        let one = Client::new(&server, ONE);
        one.upload("box/new", "new").await;
        one.upload("box/old", "old").await;
        let acquire = [("x-ms-lease-action", "acquire"), ("x-ms-lease-duration", "-1")];
        let id = one.put("box/old?comp=lease", &acquire).await.header("x-ms-lease-id").to_owned();
        assert_eq!(rename(&one, "new", "old", LEGACY).await.outcome(), outcome, "{answer}");
        if answer == "refuses" {
            assert_eq!(one.get("box/old").await.text(), "old");
            let held = [("x-ms-rename-source", "/box/new"), ("x-ms-lease-id", &*id)];
            assert_eq!(one.put("box/old?mode=legacy", &held).await.status, 201);
        }
        let now = one.get("box/old").await;
        assert_eq!((now.text().as_str(), now.header("x-ms-lease-state")), ("new", "available"), "{answer}");
    }
}

#[tokio::test]
async fn there_are_no_snapshots() {
    // S192
    let (server, one) = server().await;
    one.upload("box/f", "text").await;
    let outcome = "409 FeatureNotYetSupportedForHierarchicalNamespaceAccounts";
    assert_eq!(one.put("box/f?comp=snapshot", &[]).await.outcome(), outcome);
    drop(server);
}

#[tokio::test]
async fn names_are_folded_and_not_too_deep() {
    // S195, S203, S204
    let (_server, one) = server().await;
    for name in ["d//x", "d%5C%5Cy", "/d./z/"] {
        assert_eq!(one.upload(&format!("box/{name}"), "").await.status, 201, "{name}");
    }
    assert_eq!(names(&one).await, ["d", "d/x", "d/y", "d/z"]);
    assert_eq!(rename(&one, "d%5Cx", "d//w.", LEGACY).await.status, 201);
    assert_eq!(names(&one).await, ["d", "d/w", "d/y", "d/z"]);
    assert_eq!(one.upload(&format!("box/{}x", "s/".repeat(60)), "").await.status, 201);
    assert_eq!(one.upload(&format!("box/{}x", "s/".repeat(61)), "").await.status, 400);
}

#[tokio::test]
async fn an_account_may_keep_its_kind_to_itself() {
    // S148
    let question = "?restype=account&comp=properties";
    for (answer, outcome, kind) in [
        ("account-information=everybody", "200", "true"),
        ("account-information=not-found", "404 ResourceNotFound", ""),
    ] {
        let answers = [answer.parse().unwrap()].into_iter().collect();
        let server = super::client::server(Config { hns: true, answers, ..Config::default() }).await;
        let answer = Client::new(&server, ONE).get(question).await;
        assert_eq!((answer.outcome().as_str(), answer.header("x-ms-is-hns-enabled")), (outcome, kind));
    }
}

#[tokio::test]
async fn the_new_name_and_its_directory_must_be_what_they_are_meant_to_be() {
    // S122, S125, S126, S197, S199
    let (_server, one) = server().await;
    for name in ["d/sub/x", "f", "g"] {
        one.upload(&format!("box/{name}"), name).await;
    }
    for mode in ["", "?mode=posix", LEGACY] {
        for (from, to, outcome) in [
            ("f", "none/f", "404 RenameDestinationParentPathNotFound"),
            ("none", "f", "404 SourcePathNotFound"),
            ("d", "d", "409 InvalidRenameSourcePath"),
            ("d", "d/sub/d", "409 InvalidRenameSourcePath"),
            ("f", "d", "409 InvalidSourceOrDestinationResourceType"),
            ("d", "f", "409 InvalidSourceOrDestinationResourceType"),
        ] {
            let answer = rename(&one, from, to, mode).await;
            assert_eq!(answer.outcome(), outcome, "{from} {to} {mode}");
            assert_eq!(answer.json()["error"]["code"].as_str(), outcome.split(' ').nth(1));
        }
    }
    let missing = [("x-ms-rename-source", "/box/f"), ("if-none-match", "*")];
    assert_eq!(one.put("box/none/f", &missing).await.outcome(), "404 RenameDestinationParentPathNotFound");
    for (condition, outcome) in
        [("x-ms-source-if-match", "412 SourceConditionNotMet"), ("if-match", "412 ConditionNotMet")]
    {
        let headers = [("x-ms-rename-source", "/box/f"), (condition, "\"0x1\"")];
        assert_eq!(one.put("box/g?mode=legacy", &headers).await.outcome(), outcome);
    }
    assert_eq!(names(&one).await, ["d", "d/sub", "d/sub/x", "f", "g"]);
}
