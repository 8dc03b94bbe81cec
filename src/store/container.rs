//! Containers (§6) and what is in them (§7).

use reqwest::Method;

use crate::error::Result;
use crate::path::ContainerName;
use crate::store::client::Client;
use crate::store::endpoint::Place;
use crate::store::headers;
use crate::store::listing;
use crate::store::request::Request;
use crate::store::resolve::modified_since;
use crate::store::types::*;

impl Client {
    /// List Containers: one page; `marker` is the previous page's `next`.
    pub async fn list_containers(&self, marker: Option<&str>) -> Result<Page<ContainerItem>> {
        let mut request = self
            .request("ListContainers", Method::GET, Place::Account)
            .query("comp", "list")
            .query("include", "metadata");
        if let Some(marker) = marker {
            request = request.query("marker", marker);
        }
        let response = self.send(&request).await?;
        let page = listing::containers(&response.xml(&request)?).map_err(|detail| request.misunderstood(detail))?;
        Ok(page)
    }

    /// Get Container Properties.
    pub async fn container_properties(&self, container: &ContainerName) -> Result<ContainerItem> {
        let request = self.container_request("GetContainerProperties", Method::HEAD, container);
        let response = self.send(&request).await?;
        let written = response.required(&request, "ETag", headers::written(&response.headers))?;
        Ok(ContainerItem {
            name: container.clone(),
            last_modified: written.last_modified,
            etag: written.etag,
            metadata: headers::metadata(&response.headers),
        })
    }

    /// [`Client::create_container_with`] no metadata.
    pub async fn create_container(&self, container: &ContainerName) -> Result<()> {
        self.create_container_with(container, &Metadata::default()).await.map(drop)
    }

    /// Create Container; 409 ContainerAlreadyExists if it is there.
    pub async fn create_container_with(&self, container: &ContainerName, metadata: &Metadata) -> Result<Written> {
        let request = self.container_request("CreateContainer", Method::PUT, container).metadata(metadata);
        let sent = self.persist(&request).await;
        let error = match sent.result {
            Ok(response) => return response.required(&request, "ETag", headers::written(&response.headers)),
            Err(error) => error,
        };
        if sent.lost && error.code() == "ContainerAlreadyExists" {
            let look = self.container_request("GetContainerProperties", Method::HEAD, container);
            if let Ok(found) = self.send(&look).await {
                let modified = headers::date(&found.headers, "last-modified");
                if modified.is_some_and(|modified| modified_since(sent.began, found.date(), modified)) {
                    return found.required(&look, "ETag", headers::written(&found.headers));
                }
            }
        }
        Err(error)
    }

    /// Delete Container, with everything in it. Its name stays unusable for half a minute or more.
    pub async fn delete_container(&self, container: &ContainerName) -> Result<()> {
        let request = self.container_request("DeleteContainer", Method::DELETE, container);
        let sent = self.persist(&request).await;
        match sent.result {
            Err(error) if sent.lost && (error.is_not_found() || error.code() == "ContainerBeingDeleted") => Ok(()),
            result => result.map(drop),
        }
    }

    /// Set Container Metadata: exactly these.
    pub async fn set_container_metadata(&self, container: &ContainerName, metadata: &Metadata) -> Result<Written> {
        let request = self
            .container_request("SetContainerMetadata", Method::PUT, container)
            .query("comp", "metadata")
            .metadata(metadata);
        let response = self.send(&request).await?;
        response.required(&request, "ETag", headers::written(&response.headers))
    }

    /// List Blobs: one page. It may be empty and yet have a successor; only an empty `next` is the end.
    pub async fn list_blobs(&self, container: &ContainerName, list: &ListBlobs<'_>) -> Result<Page<BlobItem>> {
        let mut include = "copy,metadata".to_owned();
        for (wanted, name) in
            [(list.snapshots, ",snapshots"), (list.versions, ",versions"), (list.uncommitted, ",uncommittedblobs")]
        {
            if wanted {
                include.push_str(name);
            }
        }
        let mut request =
            self.container_request("ListBlobs", Method::GET, container).query("comp", "list").query("include", include);
        if !list.prefix.is_empty() {
            request = request.query("prefix", list.prefix);
        }
        if list.hierarchical {
            request = request.query("delimiter", "/");
        }
        if let Some(marker) = list.marker {
            request = request.query("marker", marker);
        }
        if let Some(most) = list.max_results {
            request = request.query("maxresults", most.to_string());
        }
        let response = self.send(&request).await?;
        let page =
            listing::blobs(&response.xml(&request)?, list.versions).map_err(|detail| request.misunderstood(detail))?;
        Ok(page)
    }

    fn container_request(&self, operation: &'static str, method: Method, container: &ContainerName) -> Request {
        self.request(operation, method, Place::Container(container)).query("restype", "container")
    }
}
