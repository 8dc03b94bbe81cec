//! The lease of a file, shown and broken; and the end of the mount, which leaves none behind.

use std::time::Duration;

use tracing::{info, warn};

use crate::error::{Error, Result};
use crate::fs::Fs;
use crate::fs::copies::lease::LeaseReport;
use crate::fs::names::access::{Credentials, WRITE};
use crate::fs::names::attr::Ino;
use crate::fs::names::tree::Blob;

impl Fs {
    pub(in crate::fs) async fn lease_of(&self, blob: &Blob) -> Result<LeaseReport> {
        let lease = self.blob(blob).properties().await?.lease;
        let holder = match lease.state.as_deref() {
            Some("leased" | "breaking") => self.leases.holder(blob).unwrap_or_else(|| "another client".to_owned()),
            _ => String::new(),
        };
        Ok(LeaseReport {
            state: lease.state.unwrap_or_else(|| "available".to_owned()),
            duration: lease.duration.unwrap_or_default(),
            holder,
        })
    }

    /// The lease of a file, asked from the service (C42).
    pub async fn lease(&self, ino: Ino) -> Result<LeaseReport> {
        self.lease_of(&self.tree.blob(ino)?).await
    }

    /// Breaks whatever lease a file has, at once (C45, C48). Whoever may write to the file may do that; one of this mount's own is
    /// given up, and the copies that it protected go on.
    pub async fn break_lease(&self, ino: Ino, who: &Credentials) -> Result<()> {
        self.check_access(&self.tree.view(ino)?, WRITE, who)?;
        let blob = self.tree.blob(ino)?;
        let broken = match self.leases.give_up(&blob).await {
            true => Ok(()),
            false => self.blob(&blob).break_lease().await.map(drop),
        };
        match broken {
            Err(error) if error.code() == "LeaseNotPresentWithLeaseOperation" => {
                return Err(Error::fs(libc::ENODATA, format!("{}: it is not leased", blob.path)));
            }
            broken => broken?,
        }
        info!(blob = %blob.path, "lease broken");
        self.tree.doubt(ino);
        Ok(())
    }

    /// At the end of the mount: what is still to be done at the service is done, as far as that takes no longer than `bound`, and no lease
    /// stays behind (M9). Copies that are pending go on without.
    pub async fn wind_down(&self, bound: Duration) {
        if !self.chores.done(bound).await {
            warn!("what was left to do at the service has taken too long");
        }
        if tokio::time::timeout(bound, self.leases.release_all()).await.is_err() {
            warn!("leases were not given back in time; they end by themselves within a minute");
        }
    }
}
