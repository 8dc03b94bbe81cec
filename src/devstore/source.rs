//! Copy sources: from a URL to a blob of this server that the caller may read (§13.13).
//!
//! Blobs and files of this server can be sources, of any of its accounts and in either addressing style, and what
//! [`web`](super::web) reads from other servers. Copy Blob by the account's owner or an identity reads the same account
//! without further proof; everything else (another account, a request that came with a SAS, the From-URL operations)
//! needs a SAS in the source URL or a public container, or for the From-URL operations a bearer token. Refusals that
//! the service would get from the source are passed on as `CannotVerifyCopySource` with the source's status and code.

use std::time::SystemTime;

use super::address::{BlobAddress, Query, Revision, Service, Target, split_account, target};
use super::answers::PublicAccess;
use super::copies::SourceName;
use super::error::{Code, ServiceError, cannot_verify};
use super::model::Blob;
use super::operation::Operation;
use super::request::Call;
use super::sas::Sas;
use super::server::{Server, is_public};
use super::state::State;

/// Longest source URL in bytes (§15).
const URL_BYTES: usize = 2048;

/// Marks the host of a file's URL, as `.blob.` marks a blob's.
const FILE_HOST: &str = ".file.";

/// A source the caller may read.
#[derive(Debug)]
pub(super) struct CopySource {
    pub name: SourceName,
    pub url: String,
    /// When the right to read ends.
    pub expiry: Option<SystemTime>,
    /// Read by right of ownership: errors are then the service's own and not the source's.
    owned: bool,
    /// Another server's.
    fetched: Option<Blob>,
}

impl CopySource {
    /// Resolves `x-ms-copy-source`. `owner_may_read`: the operation lets the owner's signature stand for a same-account
    /// source.
    pub(super) fn of(server: &Server, call: &Call, owner_may_read: bool) -> Result<CopySource, ServiceError> {
        let url = call.required("x-ms-copy-source")?;
        let invalid = || ServiceError::invalid_header("x-ms-copy-source", &super::address::redact(url));
        if url.len() > URL_BYTES {
            return Err(invalid());
        }
        let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://")).ok_or_else(invalid)?;
        let (authority, path_and_query) = rest.split_at(rest.find('/').ok_or_else(invalid)?);
        let (path, query) = path_and_query.split_once('?').unwrap_or((path_and_query, ""));
        if let Some(fetched) = &call.fetched {
            let address = BlobAddress::new("", "", &super::address::redact(url));
            let name = SourceName { service: Service::Web, address, revision: Revision::Current };
            return Ok(CopySource {
                name,
                url: url.to_owned(),
                expiry: None,
                owned: false,
                fetched: Some(fetched.clone()),
            });
        }
        if !is_here(server, call, authority) {
            return Err(cannot_verify(ServiceError::from(Code::ResourceNotFound)));
        }
        let query = Query::parse(query);
        let service = match authority.contains(FILE_HOST) {
            true => Service::File,
            false => Service::Blob,
        };
        let (account, rest) = split_account(&authority.replace(FILE_HOST, ".blob."), path)?;
        let target = target(server.namespace, &account, rest, None, None).map_err(cannot_verify)?;
        let Target::Blob(address) = &target else {
            return Err(invalid());
        };
        let revision = Revision::of(&query);
        let owned = owner_may_read
            && service == Service::Blob
            && call.sas.is_none()
            && account == call.account
            && query.get("sig").is_none();
        let mut expiry = None;
        if let Some(authorization) = call.header("x-ms-copy-source-authorization") {
            // Copy Blob goes on after the request, and a token is not kept for it.
            if owner_may_read {
                return Err(ServiceError::from(Code::UnsupportedHeader)
                    .with_detail("HeaderName", "x-ms-copy-source-authorization"));
            }
            if service == Service::File && call.header("x-ms-file-request-intent") != Some("backup") {
                return Err(cannot_verify(Code::AuthorizationPermissionMismatch.into()));
            }
            let grant = server.tokens.verify(authorization, &account, call.header("x-ms-version"));
            grant.and_then(|grant| grant.check(Some(&address.container))).map_err(cannot_verify)?;
        } else if !owned {
            expiry = readable_until(server, call, service, &account, &target, &query)
                .map_err(|error| refused_source(call, error, owner_may_read))?;
        }
        let name = SourceName { service, address: address.clone(), revision };
        Ok(CopySource { name, url: url.to_owned(), expiry, owned, fetched: None })
    }

    /// The blob, snapshot or version as it is now.
    pub(super) fn read<'a>(&'a self, state: &'a mut State) -> Result<&'a Blob, ServiceError> {
        if let Some(fetched) = &self.fetched {
            return Ok(fetched);
        }
        // Asked first, for it tells a missing container from a missing blob.
        let place = match self.name.service {
            Service::Blob => state.entry(&self.name.address).map(drop),
            Service::File | Service::Web => Ok(()),
        };
        let found = place.and_then(|()| state.source(&self.name).ok_or_else(|| Code::BlobNotFound.into()));
        let found = found.and_then(|blob| match blob.encryption.key {
            Some(_) => Err(Code::BlobUsesCustomerSpecifiedEncryption.into()),
            None => Ok(blob),
        });
        found.map_err(|error| if self.owned { error } else { cannot_verify(error) })
    }
}

/// Whether a URL's host and port are this server: by a loopback name and our port, or as the client calls us.
pub(super) fn is_here(server: &Server, call: &Call, authority: &str) -> bool {
    let (host, port) = authority.rsplit_once(':').unwrap_or((authority, "80"));
    let loopback = matches!(host, "127.0.0.1" | "localhost" | "[::1]") || host.ends_with(".localhost");
    let ours = server.address.port().to_string() == port;
    (loopback && ours) || call.header("host") == Some(authority)
}

/// Checks a source that is read on its own credentials; the end of a SAS, or `None` for a public source.
fn readable_until(
    server: &Server,
    call: &Call,
    service: Service,
    account: &str,
    target: &Target,
    query: &Query,
) -> Result<Option<SystemTime>, ServiceError> {
    let key = server.key(account).ok_or(Code::ResourceNotFound)?;
    if query.get("sig").is_some() {
        let sas = Sas::parse(query, service)?;
        sas.verify(account, target, &Revision::of(query), &key.0, call.now)?;
        sas.allows(Operation::GetBlob, Operation::GetBlob.sas_permissions())?;
        return Ok(sas.expiry());
    }
    let Target::Blob(address) = target else {
        return Err(Code::InvalidUri.into());
    };
    if service == Service::File {
        return Err(Code::NoAuthenticationInformation.into());
    }
    let access = server.state(call.now).container(account, &address.container).map(|container| container.access);
    if access.is_ok_and(|access| is_public(Operation::GetBlob, access)) {
        return Ok(None);
    }
    Err(Code::NoAuthenticationInformation.into())
}

/// The refusal of a source that nobody may read on these terms. `asynchronous`: by Copy Blob.
fn refused_source(call: &Call, error: ServiceError, asynchronous: bool) -> ServiceError {
    let closed = match call.answers.public_access {
        PublicAccess::Allowed => false,
        PublicAccess::Forbidden => !asynchronous,
        PublicAccess::ForbiddenToCopies => true,
    };
    if error.code != "NoAuthenticationInformation" {
        cannot_verify(error)
    } else if closed {
        // S47
        cannot_verify(Code::PublicAccessNotPermitted.into())
    } else if asynchronous {
        // S18
        cannot_verify(error)
    } else {
        // S48, S50
        cannot_verify(error).with_message("Could not verify the copy source within the specified time.")
    }
}
