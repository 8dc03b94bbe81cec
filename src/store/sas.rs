//! Shared access signatures made from an account key, or from one that an identity has borrowed (§3.3).
//!
//! The client needs one kind: read access to one blob or file, so that the service can read a copy source in another
//! account or on behalf of a From-URL operation. The account SAS is here for programs and tests that hand out wider
//! access.

use std::time::{Duration, SystemTime};

use crate::path::AccountName;
use crate::path::BlobPath;
use crate::store::endpoint::encode_query;
use crate::store::secret::{AccountKey, Secret};
use crate::store::types::Revision;

/// A user delegation key, and the words that go with it.
#[derive(Clone)]
pub(super) struct DelegationKey {
    pub key: AccountKey,
    pub object_id: String,
    pub tenant_id: String,
    pub start: String,
    pub expiry: String,
    pub service: String,
    pub version: String,
}

/// Time before now at which a SAS begins, for servers whose clocks are behind.
const CLOCK_SKEW: Duration = Duration::from_secs(15 * 60);

/// The first version whose strings to sign have the encryption scope (`ses`).
const WITH_ENCRYPTION_SCOPE: &str = "2020-12-06";

/// The first versions whose user delegation SAS can name an agent, a delegated user, and headers of the request.
const WITH_AGENTS: &str = "2020-02-10";
const WITH_DELEGATED_USERS: &str = "2025-07-05";
const WITH_SIGNED_REQUESTS: &str = "2026-04-06";

/// Period in which a SAS is good, in the service's notation.
#[derive(Debug, Clone)]
pub struct Validity {
    /// `st`; absent: from now on.
    pub start: Option<String>,
    /// `se`.
    pub expiry: String,
}

impl Validity {
    /// The period from a quarter of an hour ago until `lifetime` from now.
    pub fn for_the_next(lifetime: Duration) -> Self {
        let now = SystemTime::now();
        Self { start: Some(iso8601(now - CLOCK_SKEW)), expiry: iso8601(now + lifetime) }
    }

    fn start(&self) -> &str {
        self.start.as_deref().unwrap_or_default()
    }

    /// The parameters `st`, unless it is absent, and `se`.
    fn query(&self) -> impl Iterator<Item = (&str, &str)> {
        let start = self.start.as_deref().map(|start| ("st", start));
        start.into_iter().chain([("se", self.expiry.as_str())])
    }
}

/// A service SAS with `sp=r` for a blob (`sr=b`), one of its snapshots (`sr=bs`) or of its versions (`sr=bv`).
/// `version` is its `sv`, which fixes the layout of the string to sign.
pub fn read_blob(
    key: &AccountKey,
    account: &AccountName,
    blob: &BlobPath,
    revision: Option<&Revision>,
    validity: &Validity,
    version: &str,
) -> Secret {
    let read = ReadBlob { path: format!("/blob/{account}/{blob}"), revision, validity, version };
    // No stored policy (si).
    read.signed(key, &[""], 0, &[])
}

/// [`read_blob`] in the name of an identity.
pub(super) fn delegated_read_blob(
    by: &DelegationKey,
    account: &AccountName,
    blob: &BlobPath,
    revision: Option<&Revision>,
    validity: &Validity,
    version: &str,
) -> Secret {
    let signer: [(&str, &str); 6] = [
        ("skoid", &by.object_id),
        ("sktid", &by.tenant_id),
        ("skt", &by.start),
        ("ske", &by.expiry),
        ("sks", &by.service),
        ("skv", &by.version),
    ];
    // skoid … skv [, saoid, suoid, scid [, skdutid, sduoid]]
    let mut who: Vec<&str> = signer.iter().map(|(_, value)| *value).collect();
    who.resize(who.len() + if version >= WITH_AGENTS { 3 } else { 0 }, "");
    who.resize(who.len() + if version >= WITH_DELEGATED_USERS { 2 } else { 0 }, "");
    // srh, srq
    let requests = if version >= WITH_SIGNED_REQUESTS { 2 } else { 0 };
    let read = ReadBlob { path: format!("/blob/{account}/{blob}"), revision, validity, version };
    read.signed(&by.key, &who, requests, &signer)
}

/// Read access to a blob.
struct ReadBlob<'a> {
    path: String,
    revision: Option<&'a Revision>,
    validity: &'a Validity,
    version: &'a str,
}

impl ReadBlob<'_> {
    /// `who` is signed between the path and the address. `requests` empty fields stand for what the SAS demands of
    /// requests. `signer` is added to the query.
    fn signed(&self, key: &AccountKey, who: &[&str], requests: usize, signer: &[(&str, &str)]) -> Secret {
        let Self { path, revision, validity, version } = self;
        // Both kinds of moment are signed in the field of the snapshot.
        let (resource, moment) = match revision {
            None => ("b", ""),
            Some(Revision::Snapshot(moment)) => ("bs", moment.as_str()),
            Some(Revision::Version(moment)) => ("bv", moment.as_str()),
        };
        // sp, st, se, resource, who, sip, spr, sv, sr, snapshot [, ses] [, requests], rscc, rscd, rsce, rscl, rsct
        let mut fields = vec!["r", validity.start(), &validity.expiry, path];
        fields.extend(who);
        fields.extend(["", "", version, resource, moment]);
        let scope = if *version >= WITH_ENCRYPTION_SCOPE { 1 } else { 0 };
        fields.resize(fields.len() + scope + requests + 5, "");
        let mut query = vec![("sv", *version), ("sr", resource)];
        query.extend(validity.query().chain([("sp", "r")]));
        query.extend(signer);
        signed(key, &fields.join("\n"), query)
    }
}

/// A service SAS with `sp=r` for a file of Azure Files (`sr=f`), whose string to sign has kept the older layout.
pub fn read_file(
    key: &AccountKey,
    account: &AccountName,
    share: &str,
    path: &str,
    validity: &Validity,
    version: &str,
) -> Secret {
    let path = format!("/file/{account}/{share}/{path}");
    // sp, st, se, resource, si, sip, spr, sv, rscc, rscd, rsce, rscl, rsct
    let fields = ["r", validity.start(), &validity.expiry, &path, "", "", "", version, "", "", "", "", ""];
    let mut query = vec![("sv", version), ("sr", "f")];
    query.extend(validity.query().chain([("sp", "r")]));
    signed(key, &fields.join("\n"), query)
}

/// An account SAS for the Blob service. `resource_types` is out of `sco`, `permissions` in the order `racwdxyltmeopi`.
pub fn account(
    key: &AccountKey,
    account: &AccountName,
    permissions: &str,
    resource_types: &str,
    validity: &Validity,
    version: &str,
) -> Secret {
    // account, sp, ss, srt, st, se, sip, spr, sv [, ses], each with its newline
    let mut fields =
        vec![account.as_str(), permissions, "b", resource_types, validity.start(), &validity.expiry, "", "", version];
    fields.extend(vec![""; if version >= WITH_ENCRYPTION_SCOPE { 2 } else { 1 }]);
    let mut query = vec![("sv", version), ("ss", "b"), ("srt", resource_types), ("sp", permissions)];
    query.extend(validity.query());
    signed(key, &fields.join("\n"), query)
}

fn signed(key: &AccountKey, text: &str, query: Vec<(&str, &str)>) -> Secret {
    Secret::new(format!("{}&{}", encode_query(&query), encode_query(&[("sig", key.sign(text))])))
}

/// `2030-01-01T00:00:00Z`.
pub(super) fn iso8601(time: SystemTime) -> String {
    // Nothing can be good for longer than jiff can count, to the year 9999.
    let stamp = jiff::Timestamp::try_from(time).unwrap_or(jiff::Timestamp::MAX);
    format!("{stamp:.0}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::path::{BlobName, ContainerName};
    use crate::store::types::Moment;

    const KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

    fn fixture() -> (AccountKey, AccountName, BlobPath) {
        let blob = BlobPath::new(ContainerName::parse("spec").unwrap(), BlobName::parse("dir/a.txt").unwrap());
        (AccountKey::parse(KEY).unwrap(), AccountName::parse("devstoreaccount1").unwrap(), blob)
    }

    fn until_2030() -> Validity {
        Validity { start: None, expiry: "2030-01-01T00:00:00Z".into() }
    }

    #[test]
    fn worked_string_7_service_sas() {
        let (key, account, blob) = fixture();
        let sas = read_blob(&key, &account, &blob, None, &until_2030(), "2025-11-05");
        assert_eq!(
            sas.expose(),
            "sv=2025-11-05&sr=b&se=2030-01-01T00%3A00%3A00Z&sp=r&sig=YHMaHTAwgP7Mgtuv435VH6A5Ug0rw99bdJwpsgjTx6k%3D"
        );
    }

    #[test]
    fn worked_string_8_account_sas() {
        let (key, name, _) = fixture();
        let sas = account(&key, &name, "rl", "co", &until_2030(), "2025-11-05");
        assert_eq!(
            sas.expose(),
            "sv=2025-11-05&ss=b&srt=co&sp=rl&se=2030-01-01T00%3A00%3A00Z&sig=%2B5FmdHL0zh%2FZ4w0e%2BdA%2FWtCHgaYGVv%2BSOIm6LIy4vQg%3D"
        );
    }

    /// §3.3: the layouts of a user delegation SAS.
    #[test]
    fn strings_to_sign_of_a_user_delegation_sas() {
        let (key, account, blob) = fixture();
        let word = str::to_owned;
        let by = DelegationKey {
            key,
            object_id: word("oid"),
            tenant_id: word("tid"),
            start: word("2029-12-31T00:00:00Z"),
            expiry: word("2030-01-02T00:00:00Z"),
            service: word("b"),
            version: word("2025-11-05"),
        };
        let before = "r\n\n2030-01-01T00:00:00Z\n/blob/devstoreaccount1/spec/dir/a.txt\noid\ntid\n2029-12-31T00:00:00Z\n2030-01-02T00:00:00Z\nb\n2025-11-05";
        for (version, middle, after) in [
            ("2018-11-09", "", ""),
            ("2020-02-10", "\n\n\n", ""),
            ("2020-12-06", "\n\n\n", "\n"),
            ("2025-07-05", "\n\n\n\n\n", "\n"),
            ("2025-11-05", "\n\n\n\n\n", "\n"),
            ("2026-04-06", "\n\n\n\n\n", "\n\n\n"),
        ] {
            let sas = delegated_read_blob(&by, &account, &blob, None, &until_2030(), version);
            let text = format!("{before}{middle}\n\n\n{version}\nb\n{after}\n\n\n\n\n");
            let signature = encode_query(&[("sig", by.key.sign(&text))]);
            let expected = format!(
                "sv={version}&sr=b&se=2030-01-01T00%3A00%3A00Z&sp=r&skoid=oid&sktid=tid&skt=2029-12-31T00%3A00%3A00Z&ske=2030-01-02T00%3A00%3A00Z&sks=b&skv=2025-11-05&{signature}"
            );
            assert_eq!(sas.expose(), expected, "{version}");
        }
    }

    #[test]
    fn a_snapshot_is_named_in_the_signature() {
        let (key, account, blob) = fixture();
        let taken = Revision::Snapshot(Moment::parse("2026-11-22T10:26:38.5720000Z").unwrap());
        let sas = read_blob(&key, &account, &blob, Some(&taken), &until_2030(), "2025-11-05");
        assert!(sas.expose().starts_with("sv=2025-11-05&sr=bs&"), "{}", sas.expose());
        let expected = key.sign(
            "r\n\n2030-01-01T00:00:00Z\n/blob/devstoreaccount1/spec/dir/a.txt\n\n\n\n2025-11-05\nbs\n2026-11-22T10:26:38.5720000Z\n\n\n\n\n\n",
        );
        assert!(sas.expose().ends_with(&encode_query(&[("sig", expected)])));
    }

    #[test]
    fn times_are_written_as_the_service_wants_them() {
        assert_eq!(iso8601(SystemTime::UNIX_EPOCH + Duration::from_secs(1_893_456_000)), "2030-01-01T00:00:00Z");
        assert_eq!(iso8601(SystemTime::UNIX_EPOCH + Duration::from_secs(951_827_696)), "2000-02-29T12:34:56Z");
        // Whole seconds, and none that has not come yet.
        assert_eq!(iso8601(SystemTime::UNIX_EPOCH + Duration::from_millis(951_827_696_999)), "2000-02-29T12:34:56Z");
    }
}
