//! Leases (§12). They never change ETag or Last-Modified.

use reqwest::Method;

use crate::error::{Error, Result};
use crate::store::blob::BlobClient;
use crate::store::endpoint::Resource;
use crate::store::headers;
use crate::store::options::LeaseOptions;
use crate::store::request::{Request, in_time};
use crate::store::types::*;

impl BlobClient<'_> {
    /// Acquires a lease. The id is proposed from here, so that a repeated request acquires the same lease.
    pub async fn acquire_lease(self, options: &LeaseOptions) -> Result<LeaseId> {
        let seconds = match options.duration.map(|duration| duration.as_secs()) {
            None => "-1".to_owned(),
            Some(seconds @ 15..=60) => seconds.to_string(),
            Some(seconds) => {
                return Err(Error::fs(libc::EINVAL, format!("a lease lasts 15 to 60 seconds, not {seconds}")));
            }
        };
        let proposed = options.id.clone().unwrap_or_else(|| LeaseId::new(&uuid::Uuid::new_v4().to_string()));
        let request = self
            .lease_request("acquire")
            .header("x-ms-lease-duration", &seconds)
            .header("x-ms-proposed-lease-id", proposed.as_str())
            .precondition(&options.precondition);
        let sent = self.pipeline.send_tracked(&request).await;
        let response = match sent.result {
            Ok(response) => response,
            Err(error) => {
                if sent.lost {
                    // It may be held for all that is known, and nobody would give it back. If this is lost, too, it is most
                    // likely done.
                    let release = self.lease_request("release").lease(Some(&proposed));
                    let mut tries = self.pipeline.tries(&release);
                    in_time(sent.look, async { self.pipeline.attempt(&release, &mut tries).await.ok() }).await;
                }
                return Err(error);
            }
        };
        let id = headers::text(&response.headers, "x-ms-lease-id").map(LeaseId::new);
        response.required(&request, "x-ms-lease-id", id)
    }

    /// Starts the lease's time anew.
    pub async fn renew_lease(self, id: &LeaseId) -> Result<()> {
        self.pipeline.send(&self.lease_request("renew").lease(Some(id))).await.map(drop)
    }

    /// Gives the lease back.
    pub async fn release_lease(self, id: &LeaseId) -> Result<()> {
        let sent = self.pipeline.send_tracked(&self.lease_request("release").lease(Some(id))).await;
        match sent.result {
            // Whoever holds a lease now, it is not this id.
            Err(error)
                if sent.lost
                    && ["LeaseIdMismatchWithLeaseOperation", "LeaseNotPresentWithLeaseOperation"]
                        .contains(&error.code()) =>
            {
                Ok(())
            }
            result => result.map(drop),
        }
    }

    /// Breaks any lease at once; the seconds that remain.
    pub async fn break_lease(self) -> Result<u64> {
        let request = self.lease_request("break").header("x-ms-lease-break-period", "0");
        let response = self.pipeline.send(&request).await?;
        let seconds = headers::text(&response.headers, "x-ms-lease-time").and_then(|seconds| seconds.parse().ok());
        response.required(&request, "x-ms-lease-time", seconds)
    }

    fn lease_request(self, action: &str) -> Request {
        self.component("LeaseBlob", Method::PUT, "lease").header("x-ms-lease-action", action)
    }

    /// Sends writes to the blob with this lease from now on, unless they name another or turn out not to need it.
    pub fn use_lease(self, id: LeaseId) {
        let path = self.pipeline.endpoint().path(Resource::Blob(self.path));
        self.pipeline.leases().insert(path, id);
    }

    /// Ends [`BlobClient::use_lease`], because the lease has ended.
    pub fn forget_lease(self) {
        let path = self.pipeline.endpoint().path(Resource::Blob(self.path));
        self.pipeline.leases().remove(&path);
    }
}
