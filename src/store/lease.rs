//! Leases (§12). They never change ETag or Last-Modified.

use std::time::Duration;

use reqwest::Method;

use crate::error::{Error, Result};
use crate::path::BlobPath;
use crate::store::client::Client;
use crate::store::endpoint::Place;
use crate::store::headers;
use crate::store::request::Request;
use crate::store::types::*;

impl Client {
    /// Acquires a lease of 15 to 60 seconds, or an infinite one (`None`). The id is proposed from here, so that a repeated
    /// request acquires the same lease.
    pub async fn acquire_lease(&self, blob: &BlobPath, duration: Option<Duration>) -> Result<LeaseId> {
        self.acquire_lease_if(blob, duration, &Precondition::None).await
    }

    /// [`Client::acquire_lease`] of a version: who has it knows that the blob stays that version but for what they do.
    pub async fn acquire_lease_if(
        &self,
        blob: &BlobPath,
        duration: Option<Duration>,
        precondition: &Precondition,
    ) -> Result<LeaseId> {
        let seconds = match duration.map(|duration| duration.as_secs()) {
            None => "-1".to_owned(),
            Some(seconds @ 15..=60) => seconds.to_string(),
            Some(seconds) => {
                return Err(Error::fs(libc::EINVAL, format!("a lease lasts 15 to 60 seconds, not {seconds}")));
            }
        };
        let request = self
            .lease_request(blob, "acquire")
            .header("x-ms-lease-duration", &seconds)
            .header("x-ms-proposed-lease-id", &uuid::Uuid::new_v4().to_string())
            .precondition(precondition);
        let response = self.send(&request).await?;
        let id = headers::text(&response.headers, "x-ms-lease-id").map(LeaseId::new);
        response.required(&request, "x-ms-lease-id", id)
    }

    /// Starts the lease's time anew.
    pub async fn renew_lease(&self, blob: &BlobPath, id: &LeaseId) -> Result<()> {
        self.send(&self.lease_request(blob, "renew").lease(Some(id))).await.map(drop)
    }

    /// Gives the lease back.
    pub async fn release_lease(&self, blob: &BlobPath, id: &LeaseId) -> Result<()> {
        let sent = self.persist(&self.lease_request(blob, "release").lease(Some(id))).await;
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
    pub async fn break_lease(&self, blob: &BlobPath) -> Result<u64> {
        let request = self.lease_request(blob, "break").header("x-ms-lease-break-period", "0");
        let response = self.send(&request).await?;
        let seconds = headers::text(&response.headers, "x-ms-lease-time").and_then(|seconds| seconds.parse().ok());
        response.required(&request, "x-ms-lease-time", seconds)
    }

    fn lease_request(&self, blob: &BlobPath, action: &str) -> Request {
        self.request("LeaseBlob", Method::PUT, Place::Blob(blob))
            .query("comp", "lease")
            .header("x-ms-lease-action", action)
    }
}
