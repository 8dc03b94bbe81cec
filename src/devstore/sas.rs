//! Shared access signatures: service SAS, user delegation SAS and account SAS (§3.3).
//!
//! A [`Sas`] is read from a query string, either the request's own or that of a copy source URL, and answers two
//! questions: is it genuine and in force for this resource ([`Sas::verify`]), and does it allow this operation
//! ([`Sas::allows`]). A user delegation SAS is one whose key is derived by [`bearer`](super::bearer). An address range
//! (`sip`) is signed but not looked at, since every client is on this machine.

use std::time::SystemTime;

use super::address::{Query, Revision, Service, Target};
use super::bearer::Delegation;
use super::clock::{parse_iso, rfc1123};
use super::error::{Code, ServiceError};
use super::operation::Operation;
use super::signature::signature_matches;

/// The one order in which the permission letters of a service SAS may be written. In that of an account the vendor's own
/// clients write them in orders of their own (Python `rwdxylacupfti`, JavaScript `rwdxftlacupiy`), and all are taken.
const LETTERS: &str = "racwdxyltfmeopi";
/// What an account SAS may have besides: update and process messages of queues.
const QUEUES: &str = "up";
/// A parsed signature with the fields that go into its string to sign.
#[derive(Debug)]
pub(super) struct Sas<'a> {
    query: &'a Query,
    service: Service,
    permissions: &'a str,
    version: &'a str,
    kind: Kind<'a>,
}

#[derive(Debug)]
enum Kind<'a> {
    /// `sr`: `b` blob, `bs` snapshot, `bv` version, `c` container; `f` file, `s` share.
    Service { resource: &'a str },
    /// The same, signed with the key of an identity.
    Delegated { resource: &'a str, delegation: Delegation<'a> },
    /// `srt`: letters of `sco`.
    Account { resource_types: &'a str },
}

impl<'a> Sas<'a> {
    /// Reads the fields; missing mandatory ones and unordered letters are 403 like any broken signature.
    pub(super) fn parse(query: &'a Query, service: Service) -> Result<Sas<'a>, ServiceError> {
        let required = |name: &'static str| {
            query
                .nonempty(name)
                .ok_or_else(|| ServiceError::unauthentic(format!("{name} is mandatory. Cannot be empty")))
        };
        if query.get("si").is_some() {
            return Err(ServiceError::unauthentic("Stored access policies are not supported by this server."));
        }
        let permissions = required("sp")?;
        let mut rest = LETTERS.chars();
        let known = match query.nonempty("srt") {
            Some(_) => permissions.chars().all(|letter| LETTERS.contains(letter) || QUEUES.contains(letter)),
            None => permissions.chars().all(|letter| rest.any(|known| known == letter)),
        };
        if !known {
            return Err(ServiceError::unauthentic(format!("sp {permissions} is not in the order {LETTERS}")));
        }
        let kind = match query.nonempty("srt") {
            Some(resource_types) => Kind::Account { resource_types },
            None if query.get("skoid").is_some() => Kind::Delegated {
                resource: required("sr")?,
                delegation: Delegation {
                    object_id: required("skoid")?,
                    tenant_id: required("sktid")?,
                    start: required("skt")?,
                    expiry: required("ske")?,
                    service: required("sks")?,
                    version: required("skv")?,
                },
            },
            None => Kind::Service { resource: required("sr")? },
        };
        Ok(Sas { query, service, permissions, version: required("sv")?, kind })
    }

    /// The permission letters.
    pub(super) fn permissions(&self) -> &str {
        self.permissions
    }

    /// When the signature ends, for copies that outlive it (§13.3).
    pub(super) fn expiry(&self) -> Option<SystemTime> {
        let own = self.query.get("se").and_then(parse_iso);
        match self.kind {
            // It is not good for longer than the key.
            Kind::Delegated { delegation, .. } => own.zip(parse_iso(delegation.expiry)).map(|(own, key)| own.min(key)),
            _ => own,
        }
    }

    /// Checks signature, times, protocol and scope for a resource of `account`.
    pub(super) fn verify(
        &self,
        account: &str,
        target: &Target,
        revision: &Revision,
        key: &[u8],
        now: SystemTime,
    ) -> Result<(), ServiceError> {
        let text = match self.kind {
            Kind::Account { resource_types } => self.account_string_to_sign(account, resource_types),
            Kind::Service { resource } | Kind::Delegated { resource, .. } => {
                self.service_string_to_sign(account, resource, target, revision)?
            }
        };
        let delegated = match self.kind {
            Kind::Delegated { delegation, .. } if !delegation.is_in_force(now) => {
                return Err(ServiceError::unauthentic(
                    "The user delegation key is not valid in the specified time frame",
                ));
            }
            Kind::Delegated { delegation, .. } => Some(delegation.key(key)),
            _ => None,
        };
        let key = delegated.as_deref().unwrap_or(key);
        let signature = self.query.get("sig").unwrap_or("");
        if !signature_matches(key, &text, signature) {
            return Err(ServiceError::unauthentic(format!("Signature did not match. String to sign used was {text}")));
        }
        let expiry = self
            .expiry()
            .ok_or_else(|| ServiceError::unauthentic("Signature not valid in the specified time frame: no se"))?;
        let start = match self.query.nonempty("st") {
            Some(start) => Some(parse_iso(start).ok_or_else(|| ServiceError::unauthentic("st is not a time"))?),
            None => None,
        };
        if now >= expiry || start.is_some_and(|start| now < start) {
            return Err(out_of_time(start, expiry, now));
        }
        if self.query.nonempty("spr").is_some_and(|protocols| protocols == "https") {
            return Err(Code::AuthorizationProtocolMismatch.into());
        }
        Ok(())
    }

    /// Checks that it has one of the permission letters and, for an account SAS, service and resource type.
    pub(super) fn allows(&self, operation: Operation, letters: &str) -> Result<(), ServiceError> {
        match self.kind {
            Kind::Account { resource_types } => {
                if !self.query.get("ss").is_some_and(|services| services.contains(self.service.letter())) {
                    return Err(Code::AuthorizationServiceMismatch.into());
                }
                let is_batch = operation == Operation::BlobBatch;
                if !is_batch && !resource_types.contains(operation.sas_resource_type()) {
                    return Err(Code::AuthorizationResourceTypeMismatch.into());
                }
            }
            // A service SAS reaches blobs and lists or searches its container; it never manages containers.
            Kind::Service { resource } | Kind::Delegated { resource, .. } => {
                let of_container = matches!(
                    operation,
                    Operation::ListBlobs | Operation::BlobBatch | Operation::FindBlobsByTagsInContainer
                ) && resource == "c";
                if operation.sas_resource_type() != 'o' && !of_container {
                    return Err(Code::AuthorizationPermissionMismatch.into());
                }
            }
        }
        if self.permissions.chars().any(|letter| letters.contains(letter)) {
            Ok(())
        } else {
            Err(Code::AuthorizationPermissionMismatch.into())
        }
    }

    fn field(&self, name: &str) -> &str {
        self.query.get(name).unwrap_or("")
    }

    fn service_string_to_sign(
        &self,
        account: &str,
        resource: &str,
        target: &Target,
        revision: &Revision,
    ) -> Result<String, ServiceError> {
        let service = self.service.name();
        let canonical = match (resource, target) {
            ("c" | "s", Target::Container { container }) => {
                format!("/{service}/{account}/{container}")
            }
            ("c" | "s", Target::Blob(address)) => {
                format!("/{service}/{account}/{}", address.container)
            }
            ("b" | "bs" | "bv" | "f", Target::Blob(address)) => {
                format!("/{service}/{account}/{}/{}", address.container, address.blob)
            }
            _ => return Err(Code::AuthorizationPermissionMismatch.into()),
        };
        let moment = match (resource, revision) {
            ("bs", Revision::Snapshot(id)) | ("bv", Revision::Version(id)) => id,
            _ => "",
        };
        if let Kind::Delegated { .. } = self.kind {
            return Ok(self.delegated_string_to_sign(&canonical, resource, moment));
        }
        let mut fields: Vec<&str> =
            vec![self.permissions, self.field("st"), self.field("se"), &canonical, self.field("si")];
        if self.version >= "2015-04-05" {
            fields.extend([self.field("sip"), self.field("spr")]);
        }
        fields.push(self.version);
        // The string of the file service never got the later fields.
        if self.version >= "2018-11-09" && self.service == Service::Blob {
            fields.extend([resource, moment]);
            if self.version >= "2020-12-06" {
                fields.push(self.field("ses"));
            }
        }
        fields.extend(["rscc", "rscd", "rsce", "rscl", "rsct"].map(|name| self.field(name)));
        Ok(fields.join("\n"))
    }

    /// The layouts of a user delegation SAS, which has grown by a few fields every few years.
    fn delegated_string_to_sign(&self, canonical: &str, resource: &str, moment: &str) -> String {
        let since = |version: &str, names: &[&'static str]| -> Vec<&str> {
            names.iter().filter(|_| self.version >= version).map(|name| self.field(name)).collect()
        };
        let mut fields = vec![self.permissions, self.field("st"), self.field("se"), canonical];
        fields.extend(since("", &["skoid", "sktid", "skt", "ske", "sks", "skv"]));
        fields.extend(since("2020-02-10", &["saoid", "suoid", "scid"]));
        fields.extend(since("2025-07-05", &["skdutid", "sduoid"]));
        fields.extend(since("", &["sip", "spr"]));
        fields.extend([self.version, resource, moment]);
        fields.extend(since("2020-12-06", &["ses"]));
        fields.extend(since("2026-04-06", &["srh", "srq"]));
        fields.extend(since("", &["rscc", "rscd", "rsce", "rscl", "rsct"]));
        fields.join("\n")
    }

    fn account_string_to_sign(&self, account: &str, resource_types: &str) -> String {
        let mut fields = vec![
            account,
            self.permissions,
            self.field("ss"),
            resource_types,
            self.field("st"),
            self.field("se"),
            self.field("sip"),
            self.field("spr"),
            self.version,
        ];
        if self.version >= "2020-12-06" {
            fields.push(self.field("ses"));
        }
        fields.join("\n") + "\n"
    }
}

/// The refusal of a signature before or after its time, which says the times (S145).
fn out_of_time(start: Option<SystemTime>, expiry: SystemTime, now: SystemTime) -> ServiceError {
    let (expiry, now) = (rfc1123(expiry), rfc1123(now));
    ServiceError::unauthentic(match start.map(rfc1123) {
        Some(start) => format!(
            "Signature not valid in the specified time frame: Start [{start}] - Expiry [{expiry}] - Current [{now}]"
        ),
        None => format!("Signed expiry time [{expiry}] has to be after signed start time [{now}]"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::devstore::address::BlobAddress;
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    const WELL_KNOWN: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
    /// Example 7 of §3.2.
    const BLOB: &str =
        "sv=2025-11-05&sr=b&se=2030-01-01T00%3A00%3A00Z&sp=r&sig=YHMaHTAwgP7Mgtuv435VH6A5Ug0rw99bdJwpsgjTx6k%3D";
    /// Example 8 of §3.2.
    const ACCOUNT: &str = "sv=2025-11-05&ss=b&srt=co&se=2030-01-01T00%3A00%3A00Z&sp=rl&sig=%2B5FmdHL0zh%2FZ4w0e%2BdA%2FWtCHgaYGVv%2BSOIm6LIy4vQg%3D";

    fn verify(query: &str, blob: &str, now: &str, operation: Operation) -> Result<(), ServiceError> {
        let query = Query::parse(query);
        let sas = Sas::parse(&query, Service::Blob)?;
        let key = STANDARD.decode(WELL_KNOWN).unwrap();
        let address = BlobAddress { account: "devstoreaccount1".into(), container: "spec".into(), blob: blob.into() };
        let target = match operation {
            Operation::ListBlobs => Target::Container { container: "spec".into() },
            _ => Target::Blob(address),
        };
        sas.verify("devstoreaccount1", &target, &Revision::Current, &key, parse_iso(now).unwrap())?;
        sas.allows(operation, operation.sas_permissions())
    }

    #[test]
    fn worked_examples() {
        assert!(verify(BLOB, "dir/a.txt", "2026-01-01", Operation::GetBlob).is_ok());
        assert!(verify(ACCOUNT, "dir/a.txt", "2026-01-01", Operation::ListBlobs).is_ok());
        assert!(verify(ACCOUNT, "any", "2026-01-01", Operation::GetBlob).is_ok());
    }

    #[test]
    fn limits_hold() {
        for (query, blob, now, operation, code) in [
            (BLOB, "dir/b.txt", "2026-01-01", Operation::GetBlob, "AuthenticationFailed"),
            (BLOB, "dir/a.txt", "2030-01-01", Operation::GetBlob, "AuthenticationFailed"),
            (BLOB, "dir/a.txt", "2026-01-01", Operation::DeleteBlob, "AuthorizationPermissionMismatch"),
            (BLOB, "dir/a.txt", "2026-01-01", Operation::ListBlobs, "AuthorizationPermissionMismatch"),
            (ACCOUNT, "a", "2026-01-01", Operation::PutBlob, "AuthorizationPermissionMismatch"),
            (ACCOUNT, "a", "2026-01-01", Operation::ListContainers, "AuthorizationResourceTypeMismatch"),
        ] {
            let error = verify(query, blob, now, operation).unwrap_err();
            assert_eq!(error.code, code, "{operation:?} of {blob} at {now}");
        }
    }

    #[test]
    fn letters_must_be_ordered() {
        let query = Query::parse("sv=2025-11-05&sr=b&se=2030-01-01&sp=wr&sig=x");
        assert_eq!(Sas::parse(&query, Service::Blob).unwrap_err().code, "AuthenticationFailed");
        // Those of an account SAS are in an order of their own.
        for (letters, taken) in [("rwdlac", true), ("rwdxftlacupiy", true), ("racwdl", true), ("rwz", false)] {
            let query = Query::parse(&format!("sv=2025-11-05&ss=b&srt=co&se=2030-01-01&sp={letters}&sig=x"));
            assert_eq!(Sas::parse(&query, Service::Blob).is_ok(), taken, "{letters}");
        }
    }
}
