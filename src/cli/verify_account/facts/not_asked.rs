//! Facts that no run looks at, and why.

/// Ids, and the reason for all of them.
pub(super) const NOT_ASKED: &[(&[&str], &str)] = &[
    (
        &["S13", "S123", "S124", "S142", "S153", "S164", "S202"],
        "comes now and then; nobody knows how to bring it about",
    ),
    (&["S51"], "needs a source that changes within one request"),
    (&["S56"], "needs an encryption scope, which only the resource manager makes"),
    (&["S83"], "comes in large listings, and not in all of them"),
    (
        &["S109", "S110", "S111", "S112", "S113", "S188", "S189"],
        "needs a container with a policy or a legal hold, which only the resource manager sets, and leaves blobs that stay",
    ),
    (
        &["S114", "S185", "S186", "S187", "S190"],
        "needs a container with version-level immutability, which only the resource manager makes",
    ),
    (&["S150"], "needs $web, and would make it where there is none"),
    (&["S179"], "a deleted container cannot be restored before half a minute or more is over"),
    (&["S184"], "needs a premium account for page blobs, which takes no block blobs"),
];
