//! What a program sees when the service refuses: the errno of the table, where it happened, and a line in the log.

use crate::common::*;

// C58, C59: what the service refuses is told apart, and from what never reached it (`an_outage_…`).
/// Rows of the errno table as a program meets them: operation that is refused, with what, the command that asks for it, what it prints.
const ROWS: &[(&str, u16, &str, &str, &str)] = &[
    ("GetBlob", 403, "AuthorizationPermissionMismatch", "cat a", "Permission denied"),
    ("GetBlob", 403, "AuthenticationFailed", "cat a", "Permission denied"),
    ("GetBlob", 401, "NoAuthenticationInformation", "cat a", "Permission denied"),
    ("GetBlob", 409, "BlobArchived", "cat a", "No data available"),
    ("GetBlob", 412, "ConditionNotMet", "cat a", "Stale file handle"),
    ("GetBlob", 404, "BlobNotFound", "cat a", "Stale file handle"),
    ("GetBlob", 400, "InvalidHeaderValue", "cat a", "Input/output error"),
    ("GetBlob", 501, "NotImplemented", "cat a", "Operation not supported"),
    ("PutBlob", 409, "BlobImmutableDueToPolicy", "echo x | dd of=new status=none", "Operation not permitted"),
    ("PutBlob", 412, "LeaseIdMissing", "echo x | dd of=a status=none", "busy"),
    ("PutBlob", 413, "RequestBodyTooLarge", "echo x | dd of=new status=none", "File too large"),
    ("PutBlob", 409, "BlobAlreadyExists", "echo x | dd of=new status=none", "File exists"),
    ("PutBlob", 412, "ConditionNotMet", "echo x | dd of=a status=none", "Stale file handle"),
    ("PutBlob", 403, "AccountIsDisabled", "mkdir dir", "Permission denied"),
    ("PutBlob", 409, "ContainerBeingDeleted", "ln -s a link", "busy"),
    ("DeleteBlob", 409, "PendingCopyOperation", "rm a", "busy"),
    ("DeleteBlob", 409, "SnapshotsPresent", "rm a", "busy"),
    ("DeleteBlob", 412, "LeaseIdMissing", "rm a", "busy"),
    // Nobody knows what that would be of a request without a condition; that the file is gone it is not.
    ("DeleteBlob", 412, "ConditionNotMet", "rm a", "Stale file handle"),
    ("DeleteBlob", 409, "BlobImmutableDueToPolicy", "rm a", "Operation not permitted"),
    ("SetBlobMetadata", 400, "MetadataTooLarge", "setfattr -n user.blob.meta.x -v 1 a", "No space left on device"),
    ("SetBlobMetadata", 400, "InvalidMetadata", "setfattr -n user.blob.meta.x -v 1 a", "Invalid argument"),
    ("SetBlobTier", 409, "BlobBeingRehydrated", "setfattr -n user.blob.tier -v Cool a", "busy"),
    ("SetBlobTier", 400, "InvalidBlobTier", "setfattr -n user.blob.tier -v Cool a", "Invalid argument"),
    ("CopyBlob", 404, "CannotVerifyCopySource", "cp a b", "Stale file handle"),
    ("CopyBlob", 403, "CannotVerifyCopySource", "cp a b", "Permission denied"),
    ("CopyBlob", 412, "SourceConditionNotMet", "cp a b", "Stale file handle"),
    // S36, S38: the same as another code; S13: one code of a condition is as good as another.
    ("CopyBlob", 412, "CannotVerifyCopySource", "cp a b", "Stale file handle"),
    ("PutBlob", 412, "TargetConditionNotMet", "echo x | dd of=a status=none", "Stale file handle"),
    ("CopyBlob", 409, "PendingCopyOperation", "cp a b", "busy"),
    ("CopyBlob", 409, "BlobArchived", "cp a b", "No data available"),
    ("CopyBlob", 412, "InfiniteLeaseDurationRequired", "cp a b", "busy"),
    ("CopyBlob", 412, "LeaseLost", "cp a b", "No locks available"),
    // What cp would take as an invitation to move the data itself is an input/output error there.
    ("CopyBlob", 409, "BlobIsSealed", "cp a b", "Input/output error"),
    ("CopyBlob", 400, "CopyAcrossAccountsNotSupported", "cp a b", "Input/output error"),
    ("ListBlobs", 403, "AuthorizationFailure", "ls", "Permission denied"),
    // glibc takes ENOENT from readdir for the end of the directory.
    ("ListBlobs", 404, "ContainerNotFound", "ls", "Stale file handle"),
    ("GetBlobProperties", 403, "AuthorizationFailure", "stat a", "Permission denied"),
    ("GetBlobTags", 403, "AuthorizationPermissionMismatch", "getfattr -n user.blob.tag.x a", "Permission denied"),
];

#[test]
fn every_refusal_reaches_the_program_as_its_errno() {
    // The blob is put anew for each row, behind the mount's back: nothing may be believed of the one before.
    let world = World::with(Setup { attr_ttl: std::time::Duration::ZERO, ..Default::default() });
    for (operation, status, code, command, says) in ROWS {
        world.put("a", "some text");
        world.ok("touch .; rm -f b new");
        let order = format!(r#"{{"operation":"{operation}","status":{status},"code":"{code}","count":1000}}"#);
        world.store.add_fault(fault(&order));
        let ran = world.sh(command);
        world.store.clear_faults();
        assert!(ran.code != Some(0) && ran.stderr.contains(says), "{operation} {status} {code}: {command}: {ran:?}");
        assert!(world.is_stored("a"), "{code}");
    }
    assert_eq!(world.stats().body_bytes_out, 0, "no refusal made a program read what it copies");
}

/// Refusals of a request for the source that it copies: operation, the source's own status and code, what a program prints.
const OF_SOURCES: &[(&str, u16, &str, &str)] = &[
    // S47: the status alone would say that the service does not do it, and cp would move the content itself.
    ("CopyBlob", 409, "PublicAccessNotPermitted", "Permission denied"),
    ("PutBlockFromURL", 409, "PublicAccessNotPermitted", "Permission denied"),
    // S48, S49
    ("CopyBlob", 401, "NoAuthenticationInformation", "Permission denied"),
    ("PutBlockFromURL", 401, "NoAuthenticationInformation", "Permission denied"),
    ("PutBlockFromURL", 403, "AuthorizationPermissionMismatch", "Permission denied"),
    // S17
    ("PutBlockFromURL", 404, "BlobNotFound", "Stale file handle"),
    // S36, S158
    ("PutBlockFromURL", 412, "ConditionNotMet", "Stale file handle"),
    ("CopyBlob", 409, "PendingCopyOperation", "busy"),
    ("PutBlockFromURL", 409, "PendingCopyOperation", "busy"),
];

#[test]
fn what_fails_for_its_source_says_why_and_moves_nothing() {
    let world = World::with(Setup { attr_ttl: std::time::Duration::ZERO, ..Default::default() });
    for (operation, status, code, says) in OF_SOURCES {
        world.put("a", "some ");
        world.put("b", "text");
        world.ok("rm -f new");
        world.reset_stats();
        let order =
            format!(r#"{{"operation":"{operation}","status":{status},"code":"{code}","of_source":true,"count":1000}}"#);
        world.store.add_fault(fault(&order));
        // One is a whole copy, the other puts ranges together.
        let command = if *operation == "CopyBlob" { "cp a new" } else { "cat a b > new" };
        let ran = world.sh(command);
        world.store.clear_faults();
        assert!(ran.code != Some(0) && ran.stderr.contains(says), "{operation} {status} {code}: {ran:?}");
        assert!(world.stats().requests(operation) > 0, "{operation} {code}");
        assert_no_payload(&world.stats());
        // Nothing of it passes for the whole; that may be there if it was stored when the last of its users left.
        let whole = ["", "some ", "some text"];
        assert!(!world.is_stored("new") || whole.contains(&&*world.ok("cat new")), "{operation} {code}");
    }
    world.ok("cat a b > new");
    assert_eq!(world.stored("new"), "some text");
}

// S15, S36 to S40, S158 to S161
#[test]
fn a_condition_on_the_source_that_is_not_met_is_one_whatever_says_so() {
    let world = World::new();
    for (operation, status, code) in [
        ("CopyBlob", 412, "SourceConditionNotMet"),
        ("CopyBlob", 412, "CannotVerifyCopySource"),
        ("CopyBlob", 304, "CannotVerifyCopySource"),
        ("PutBlockFromURL", 412, "SourceConditionNotMet"),
        ("PutBlockFromURL", 412, "CannotVerifyCopySource"),
        ("PutBlockFromURL", 304, "CannotVerifyCopySource"),
    ] {
        world.put("a", "some ");
        world.put("b", "text");
        world.ok("rm -f new");
        world.expire(&["a", "b"]);
        world.ok("ls -l; cat a b > old");
        let changed = if operation == "CopyBlob" { "a" } else { "b" };
        world.put(changed, "other");
        world.reset_stats();
        let refusal = format!(r#"{{"operation":"{operation}","status":{status},"code":"{code}","count":1000}}"#);
        world.store.add_fault(fault(&refusal));
        let command = if operation == "CopyBlob" { "cp a new" } else { "cat a b > new" };
        let ran = world.sh(command);
        world.store.clear_faults();
        assert!(
            ran.code == Some(1) && ran.stderr.contains("Stale file handle"),
            "{operation} {status} {code}: {ran:?}"
        );
        assert_no_payload(&world.stats());
        // What was known of the source is not believed any more: it is looked at anew, and then it is copied.
        world.ok(command);
        assert_eq!(
            world.stored("new"),
            if operation == "CopyBlob" { "other" } else { "some other" },
            "{status} {code}"
        );
    }
}

#[test]
fn an_outage_is_an_error_that_names_itself_and_passes() {
    // §4.4, S153: retried although no answer says when, then EIO; 408 and silence are time-outs.
    let world = World::new();
    world.put("a", "text");
    for (status, code, says) in [
        (500, "InternalError", "Input/output error"),
        (503, "ServerBusy", "Input/output error"),
        (500, "OperationTimedOut", "timed out"),
    ] {
        world
            .store
            .add_fault(fault(&format!(r#"{{"operation":"GetBlob","status":{status},"code":"{code}","count":1000}}"#)));
        let ran = world.sh("cat a");
        assert!(ran.code == Some(1) && ran.stderr.contains(says), "{code}: {ran:?}");
        assert!(world.stats().requests("GetBlob") >= 3, "it was tried again");
        world.store.clear_faults();
        world.reset_stats();
    }
    assert_eq!(world.ok("cat a"), "text");
}

#[test]
fn a_short_outage_is_not_noticed() {
    // S153: also where the answer does not say when to come again, and after what may have been done.
    for outage in [
        r#""status":503,"code":"ServerBusy","retry_after":0"#,
        r#""status":503,"code":"ServerBusy""#,
        r#""status":500,"code":"InternalError""#,
        r#""status":500,"code":"OperationTimedOut""#,
        r#""status":500,"code":"OperationTimedOut","after":true"#,
    ] {
        let world = World::new();
        world.put("a", "text");
        for operation in ["GetBlob", "GetBlobProperties", "ListBlobs", "PutBlob", "CopyBlob", "DeleteBlob"] {
            world.store.add_fault(fault(&format!(r#"{{"operation":"{operation}",{outage}}}"#)));
        }
        world.ok("cat a; echo new > b; cp a c; mv b d; rm d");
        assert_eq!(world.ok("ls"), "a\nc\n", "{outage}");
        assert_eq!((world.stored("a"), world.stored("c")), ("text".into(), "text".into()), "{outage}");
    }
}

#[test]
fn a_container_that_is_gone_is_a_device_that_is_gone() {
    // §4.2: ENODEV where the mount is that container; elsewhere ENOENT (above).
    use blobcp::fs::{AccountId, BlobDir, Place};
    let container = blobcp::path::ContainerName::parse(BOX).unwrap();
    let root = Place::Directory(BlobDir { account: AccountId(0), container, prefix: String::new() });
    let world = World::with(Setup { root, ..Default::default() });
    world.put("a", "text");
    let order = r#"{"operation":"*","status":404,"code":"ContainerNotFound","count":1000}"#;
    world.store.add_fault(fault(order));
    let ran = world.sh(&format!("ls {0}; cat {0}/a", world.root().display()));
    assert!(ran.stderr.matches("No such device").count() >= 2, "{ran:?}");
}
