//! Operations on an account itself: its kind, and a key to delegate with (§6, §3.4).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::StatusCode;

use super::address::{Namespace, Target};
use super::answers::AccountInformation;
use super::bearer::{Delegation, LONGEST_DELEGATION};
use super::clock::{iso, parse_iso};
use super::error::{Code, ServiceError};
use super::reply::{Outcome, Reply};
use super::request::{Call, Upload};
use super::server::Server;
use super::xml::{self, Writer};

/// Get Account Information (§6): a general-purpose account. Whoever has a token is not told everywhere (S148, S149).
pub(super) fn information(server: &Server, call: &Call) -> Outcome {
    use AccountInformation::*;
    let (at_root, token) = (call.target == Target::Account, call.bearer.is_some());
    match server.answers.account_information {
        NotFound => return Err(Code::ResourceNotFound.into()),
        TokensAtContainers | KeysOnly if token && at_root => return Err(Code::ResourceNotFound.into()),
        KeysOnly if token => return Err(Code::AuthorizationPermissionMismatch.into()),
        TokensAtContainers | KeysOnly | Everybody => {}
    }
    let hierarchical = server.namespace == Namespace::Hierarchical;
    Ok(Reply::new(StatusCode::OK)
        .header("x-ms-sku-name", "Standard_LRS")
        .header("x-ms-account-kind", "StorageV2")
        .header("x-ms-is-hns-enabled", if hierarchical { "true" } else { "false" }))
}

/// Get User Delegation Key, for a token: the account's key, and what is signed with it, were refused before.
pub(super) fn delegation_key(server: &Server, call: &Call, upload: &Upload) -> Outcome {
    let grant = call.bearer.as_ref().filter(|grant| grant.delegates).ok_or(Code::AuthorizationPermissionMismatch)?;
    let leaves = xml::read_leaves(&upload.bytes, "KeyInfo")?;
    let text = |path: &str| leaves.iter().find(|(found, _)| found == path).map(|(_, text)| text.trim().to_owned());
    let start = text("KeyInfo/Start").unwrap_or_else(|| iso(call.now));
    let expiry = text("KeyInfo/Expiry").ok_or(Code::InvalidXmlDocument)?;
    let (from, until) = (parse_iso(&start), parse_iso(&expiry));
    let (from, until) = from.zip(until).ok_or(Code::InvalidXmlDocument)?;
    if until <= call.now
        || until.duration_since(from).is_err()
        || until > call.now + LONGEST_DELEGATION
        || until > from + LONGEST_DELEGATION
    {
        return Err(ServiceError::from(Code::InvalidInput).with_detail("Reason", "Expiry"));
    }
    let version = call.header("x-ms-version").unwrap_or_default();
    let delegation = Delegation {
        object_id: &grant.object_id,
        tenant_id: &grant.tenant_id,
        start: &start,
        expiry: &expiry,
        service: "b",
        version,
    };
    let key = delegation.key(&server.key(&call.account).ok_or(Code::ResourceNotFound)?.0);
    let mut document = Writer::new();
    document.nest("UserDelegationKey", |document| {
        document.element("SignedOid", &grant.object_id);
        document.element("SignedTid", &grant.tenant_id);
        document.element("SignedStart", &start);
        document.element("SignedExpiry", &expiry);
        document.element("SignedService", "b");
        document.element("SignedVersion", version);
        document.element("Value", STANDARD.encode(key));
    });
    Ok(Reply::document("application/xml", document.finish()))
}
