//! Questions about the real service that nobody can answer yet, or that it answers in two ways, and how this server
//! answers them.
//!
//! A client must be safe under every answer that is possible (`docs/service-facts.md`), so this server can give each of
//! them: one row of the table below is one question, with its key on the command line and the answers there are. The
//! first is the one that is given unless another is chosen: the one that is more likely, or seen more often.
//!
//! [`Answers`] is what a server goes by; a [`Choice`] is one answer, as somebody chooses it by `KEY=VALUE`.

use std::fmt;
use std::str::FromStr;

macro_rules! answers {
    ($(
        $(#[doc = $about:literal])+
        $field:ident: $question:ident = $key:literal {
            $($(#[doc = $meaning:literal])+ $answer:ident = $value:literal,)+
        }
    )*) => {
        $(
            $(#[doc = $about])+
            #[derive(Debug, Clone, Copy, PartialEq, Eq)]
            pub enum $question { $($(#[doc = $meaning])+ $answer,)+ }

            impl Default for $question {
                fn default() -> $question {
                    [$($question::$answer,)+][0]
                }
            }

            impl $question {
                fn value(self) -> &'static str {
                    match self { $($question::$answer => $value,)+ }
                }
            }
        )*

        /// The answer to each question.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub struct Answers { $($(#[doc = $about])+ pub $field: $question,)* }

        /// The answer to one question. `Display` and `FromStr` are `KEY=VALUE`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Choice { $($(#[doc = $about])+ $question($question),)* }

        impl Answers {
            /// Answers one question otherwise.
            pub fn choose(&mut self, choice: Choice) {
                match choice { $(Choice::$question(answer) => self.$field = answer,)* }
            }
        }

        impl Choice {
            /// All answers to all questions, question by question, the usual one first.
            pub fn all() -> Vec<Choice> {
                vec![$($(Choice::$question($question::$answer),)+)*]
            }

            /// The name of the question.
            pub fn key(self) -> &'static str {
                match self { $(Choice::$question(_) => $key,)* }
            }

            /// The name of the answer.
            pub fn value(self) -> &'static str {
                match self { $(Choice::$question(answer) => answer.value(),)* }
            }

            /// The question.
            pub fn about(self) -> &'static str {
                match self { $(Choice::$question(_) => concat!($($about),+).trim(),)* }
            }
        }
    };
}

answers! {
    /// To whom and where the kind of the account is told (S148, S149).
    account_information: AccountInformation = "account-information" {
        /// To tokens at containers only: at the account itself they get 404.
        TokensAtContainers = "tokens-at-containers",
        /// To everybody, at the account and at containers.
        Everybody = "everybody",
        /// To tokens nowhere: 404 at the account, and 403 at containers, for want of a role.
        KeysOnly = "keys-only",
        /// To nobody.
        NotFound = "not-found",
    }
    /// What Set Blob Metadata does to the state of the last copy (S157).
    copy_state: CopyStateAfterMetadata = "copy-state-after-set-metadata" {
        /// All of it is gone.
        Removed = "removed",
        /// It stays.
        Kept = "kept",
    }
    /// What of a source's signature is in `x-ms-copy-source` (S6).
    copy_source_signature: CopySourceSignature = "copy-source-signature" {
        /// All of it after Copy Blob From URL, and after Copy Blob all but the signature proper.
        ByOperation = "by-operation",
        /// All but the signature proper.
        Stripped = "stripped",
        /// All of it.
        Kept = "kept",
    }
    /// Creation time of an append or page blob that a copy overwrites (S29).
    creation_time: CreationTimeOfOverwritten = "creation-time-of-overwritten" {
        /// That of what was there.
        Kept = "kept",
        /// That of the copy.
        New = "new",
    }
    /// The code where Put Block From URL finds its source modified since `x-ms-source-if-unmodified-since`.
    modified_source: CodeOfModifiedSource = "code-of-modified-source" {
        /// CannotVerifyCopySource, as Put Blob From URL (S160).
        Unverified = "CannotVerifyCopySource",
        /// SourceConditionNotMet, as for an ETag (S158).
        Condition = "SourceConditionNotMet",
    }
    /// The metadata of Put Blob From URL where properties are sent and no metadata, as if it were those alone.
    metadata_beside_properties: MetadataBesideProperties = "metadata-beside-sent-properties" {
        /// The source's.
        Source = "source",
        /// None.
        Nothing = "none",
    }
    /// The same where `x-ms-copy-source-blob-properties: false` is sent (S46).
    metadata_without_properties: MetadataWithoutProperties = "metadata-without-source-properties" {
        /// None.
        Nothing = "none",
        /// The source's.
        Source = "source",
    }
    /// How a source is refused that is named without credential (S18, S47, S48): as the account's settings have it.
    public_access: PublicAccess = "public-access" {
        /// 401: the account allows it, the container does not.
        Allowed = "allowed",
        /// 409 from operations that read the source, 401 from Copy Blob: the account does not allow it.
        Forbidden = "forbidden",
        /// 409 from Copy Blob as well.
        ForbiddenToCopies = "forbidden-to-copies",
    }
    /// The code with which an archived source is refused (S52).
    archived_source: CodeOfArchivedSource = "code-of-archived-source" {
        /// CannotVerifyCopySource, with BlobArchived as the source's own.
        Unverified = "CannotVerifyCopySource",
        /// BlobArchived.
        Archived = "BlobArchived",
        /// CannotVerifyCopySource, with the text that the source was modified, and no code of its own.
        Modified = "modified",
    }
    /// Whether Copy Blob From URL reads a blob of the account that the request itself may read (S163).
    own_source: OwnSource = "own-source-of-copy-from-url" {
        /// Only with a signature or token of its own.
        Refused = "refused",
        /// Without.
        Allowed = "allowed",
    }
    /// What operations do that are to read more of a source than there is.
    range_beyond_end: RangeBeyondEnd = "source-range-beyond-end" {
        /// 416.
        Refused = "refused",
        /// They read what there is.
        Cut = "cut",
    }
    /// `Last-Modified` of the destination of a pending copy that has succeeded.
    copied_at: LastModifiedAfterCopy = "last-modified-after-copy" {
        /// The end of the copy.
        Ended = "end",
        /// Its start.
        Started = "start",
    }
    /// Which code says that a condition is not met on a destination which a copy is pending onto.
    pending_or_condition: PendingOrCondition = "unmet-condition-on-pending" {
        /// PendingCopyOperation.
        Pending = "PendingCopyOperation",
        /// TargetConditionNotMet.
        Condition = "TargetConditionNotMet",
    }
    /// What Set Blob Tier, Set Blob Tags, Get Block List, Delete Blob and leases do with a destination of a pending copy.
    pending_destination: PendingDestination = "pending-destination" {
        /// 409.
        Refuses = "refuses",
        /// What they always do.
        Takes = "takes",
    }
    /// Put Blob of another type than what is there.
    other_type: OtherType = "put-blob-of-another-type" {
        /// 409.
        Refused = "refused",
        /// Done.
        Taken = "taken",
    }
    /// Which operations keep a tier that was chosen (S102, S103) if they name none.
    chosen_tier: ChosenTier = "chosen-tier-stays" {
        /// All.
        Always = "always",
        /// Put Blob and Copy Blob, in an account with versions.
        AsSeen = "as-seen",
    }
    /// How often a prefix is listed whose names go on in the next page (S83).
    repeated_prefix: RepeatedPrefix = "repeated-prefix" {
        /// Once.
        Never = "never",
        /// Again at the beginning of the next page.
        NextPage = "next-page",
        /// Again at the beginning of the last page.
        LastPage = "last-page",
    }
    /// Whether GET tells the tier, which HEAD tells (S69).
    tier_on_get: TierOnGet = "tier-on-get" {
        /// No.
        Absent = "absent",
        /// As HEAD does: so perhaps from 2026-10-06.
        Present = "present",
    }
    /// Whether the account keeps track of accesses, so that reads and lists tell of the last one (S74).
    access_tracking: AccessTracking = "access-tracking" {
        /// No.
        Off = "off",
        /// Yes.
        On = "on",
    }
    /// The code for the id of a lease that was broken, with a write.
    broken_lease: CodeOfBrokenLease = "code-of-broken-lease" {
        /// LeaseLost (S95).
        Lost = "LeaseLost",
        /// LeaseNotPresentWithBlobOperation.
        NotPresent = "LeaseNotPresentWithBlobOperation",
    }
    /// Whether a filesystem tells of the kind of its account (S149).
    filesystem_properties: FilesystemProperties = "filesystem-properties" {
        /// It does.
        Told = "told",
        /// 403.
        Forbidden = "forbidden",
    }
    /// Whether Set Blob Tier is known where the namespace is hierarchical (S194).
    tiers_of_paths: TiersOfPaths = "tiers-in-hns" {
        /// It is.
        Known = "known",
        /// 400, like a `comp` that there is none.
        Unknown = "unknown",
    }
    /// Whether tier, tags and lease of a blob that its container keeps can be changed (S110, S188).
    immutable_attributes: ImmutableAttributes = "attributes-of-immutable" {
        /// They can.
        Allowed = "allowed",
        /// They cannot.
        Refused = "refused",
    }
    /// Whether Copy Blob may make a new name in a container that keeps its blobs (S110).
    immutable_copy: ImmutableCopy = "copy-into-immutable" {
        /// It may.
        Allowed = "allowed",
        /// It may not.
        Refused = "refused",
    }
    /// The code by which metadata and snapshots of an archived blob are refused (S106).
    archived_changes: ArchivedChanges = "changes-of-archived" {
        /// The one that is known.
        Known = "blob-archived",
        /// One that no client knows.
        Unknown = "unknown-code",
    }
    /// Copy Blob of an archived blob to the tier Cold (S107).
    archived_to_cold: ArchivedToCold = "archived-to-cold" {
        /// 400.
        Refused = "refused",
        /// Done, as to other tiers.
        Taken = "taken",
    }
    /// A second Set Blob Tier while the first is still bringing the blob back (S100, S182).
    tier_again: TierAgain = "tier-again-while-rehydrating" {
        /// A higher priority is taken, another tier is not.
        Priority = "priority",
        /// 409.
        Refused = "refused",
        /// Taken.
        Taken = "taken",
    }
    /// Which writes of whom has the lease are done though `If-None-Match: *` is not met (S58).
    lease_guard: LeaseGuard = "lease-overrules-if-none-match" {
        /// Put Blob of a blob with a finite lease.
        FinitePutBlob = "finite-put-blob",
        /// Put Blob, whatever the lease.
        PutBlob = "put-blob",
        /// Every write, whatever the lease.
        EveryWrite = "every-write",
    }
    /// Whether the answer to a rename has `ETag` and `Last-Modified` (S117).
    rename_stamp: RenameStamp = "stamp-of-rename" {
        /// In newer versions of the protocol.
        ByVersion = "by-version",
        /// In none.
        Never = "never",
    }
    /// What becomes of a rename onto a file that somebody else has a lease on.
    replaced_lease: ReplacedLease = "lease-on-replaced" {
        /// It is done, and the lease is gone with the file.
        Broken = "broken",
        /// 412.
        Refuses = "refuses",
    }
    /// The code for metadata of a directory that say it is one (S136).
    marked_metadata: CodeOfMarkedMetadata = "code-of-marked-metadata" {
        /// The one that others take for it.
        Invalid = "InvalidMetadata",
        /// One that no client knows.
        Unknown = "unknown-code",
    }
    /// The code, at the Blob endpoint, for a blob below a file or onto a directory; the text is known (S141).
    wrong_type: CodeOfWrongType = "code-of-wrong-type" {
        /// That of the endpoint of hierarchical namespaces.
        Conflict = "PathConflict",
        /// That of Azure Files.
        Mismatch = "ResourceTypeMismatch",
        /// One that no client knows.
        Unknown = "unknown-code",
    }
    /// What Undelete Blob does where the namespace is hierarchical and something else has the name by now.
    undelete_onto: UndeleteOnto = "undelete-onto-existing" {
        /// 409.
        Refused = "refused",
        /// That is replaced.
        Replaces = "replaces",
    }
    /// Whether metadata of a version that has a policy or a hold of its own can be set (S190).
    protected_metadata: ProtectedMetadata = "metadata-of-protected-version" {
        /// They can: that makes a new version.
        Allowed = "allowed",
        /// They cannot.
        Refused = "refused",
    }
}

/// A text that is no answer to any question.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is none of these: {}", all().map(|(key, values, _)| format!("{key}={values}")).collect::<Vec<_>>().join(", "))]
pub struct InvalidChoice {
    text: String,
}

impl FromStr for Choice {
    type Err = InvalidChoice;

    fn from_str(text: &str) -> Result<Choice, InvalidChoice> {
        let found = Choice::all().into_iter().find(|choice| choice.to_string() == text);
        found.ok_or_else(|| InvalidChoice { text: text.to_owned() })
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.key(), self.value())
    }
}

impl FromIterator<Choice> for Answers {
    fn from_iter<T: IntoIterator<Item = Choice>>(choices: T) -> Answers {
        let mut answers = Answers::default();
        choices.into_iter().for_each(|choice| answers.choose(choice));
        answers
    }
}

/// Key, answers with the usual one first, and text of each question.
fn all() -> impl Iterator<Item = (&'static str, String, &'static str)> {
    let all = Choice::all();
    let questions: Vec<_> = all
        .chunk_by(|a, b| a.key() == b.key())
        .map(|answers| {
            let values: Vec<_> = answers.iter().map(|answer| answer.value()).collect();
            (answers[0].key(), values.join("|"), answers[0].about())
        })
        .collect();
    questions.into_iter()
}

/// The questions and their answers, as a list for people.
pub fn questions() -> String {
    all().map(|(key, values, about)| format!("  {key}={values}\n          {about}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_answer_is_chosen_by_its_name() {
        for choice in Choice::all() {
            assert_eq!(choice.to_string().parse(), Ok(choice));
            let chosen: Answers = [choice].into_iter().collect();
            let usual: Vec<_> = Choice::all().into_iter().filter(|other| other.key() == choice.key()).collect();
            assert_eq!(chosen == Answers::default(), usual[0] == choice, "{choice}");
        }
    }

    #[test]
    fn what_is_no_answer_is_told_the_answers() {
        for wrong in ["", "copy-source-signature", "copy-source-signature=", "copy-source-signature=gone", "x=kept"] {
            let error = wrong.parse::<Choice>().unwrap_err().to_string();
            assert!(error.contains("copy-source-signature=by-operation|stripped|kept"), "{error}");
        }
    }
}
