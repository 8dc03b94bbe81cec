//! What keeps a version of a blob, as attributes: its policy and its legal hold (S114).
//!
//! They are not among the names that are listed: `cp -a`, `rsync -X` and `tar --xattrs` would give the copy a policy
//! that nobody can take away again.

use std::time::SystemTime;

use crate::error::{Error, Result};
use crate::store::{BlobClient, BlobProperties, ProtectionClient};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeptName {
    Until,
    Mode,
    Hold,
}

impl KeptName {
    /// By what comes after `user.blob.`.
    pub(super) fn parse(name: &str) -> Option<Self> {
        match name {
            "immutability_until" => Some(Self::Until),
            "immutability_mode" => Some(Self::Mode),
            "legal_hold" => Some(Self::Hold),
            _ => None,
        }
    }

    pub(super) fn value(self, blob: &BlobProperties) -> Option<String> {
        let protection = &blob.protection;
        match self {
            Self::Until => protection.until.map(httpdate::fmt_http_date),
            Self::Mode => protection.mode.clone(),
            Self::Hold => protection.legal_hold.map(|hold| hold.to_string()),
        }
    }

    /// Sets or, without a value, removes. Neither makes another version of the blob (S185, S186).
    pub(super) async fn change(self, client: BlobClient<'_>, blob: &BlobProperties, value: Option<&str>) -> Result<()> {
        let invalid = |text: &str, why: &str| Error::fs(libc::EINVAL, format!("{text:?} is {why}"));
        let now = &blob.protection;
        let client = ProtectionClient::from(client);
        let locked = now.mode.as_deref() == Some("locked");
        match (self, value) {
            (_, Some(value)) if self.value(blob).as_deref() == Some(value) => Ok(()),
            (Self::Until, Some(text)) => {
                let until = parse_time(text).ok_or_else(|| invalid(text, "no time, such as 2030-01-02T03:04:05Z"))?;
                client.set_policy(until, locked).await
            }
            (Self::Mode, Some(mode @ ("locked" | "unlocked"))) => match now.until {
                Some(until) => client.set_policy(until, mode == "locked").await,
                None => Err(Error::fs(libc::EINVAL, "there is no policy yet: set immutability_until first")),
            },
            (Self::Mode, Some(text)) => Err(invalid(text, "neither locked nor unlocked")),
            (Self::Until | Self::Mode, None) => client.delete_policy().await,
            (Self::Hold, Some("true")) => client.set_hold(true).await,
            (Self::Hold, Some("false") | None) => client.set_hold(false).await,
            (Self::Hold, Some(text)) => Err(invalid(text, "neither true nor false")),
        }
    }
}

/// As the attribute shows it, or RFC 3339.
fn parse_time(text: &str) -> Option<SystemTime> {
    let stamp = |text: &str| text.parse::<jiff::Timestamp>().ok().and_then(|stamp| SystemTime::try_from(stamp).ok());
    httpdate::parse_http_date(text).ok().or_else(|| stamp(text))
}
