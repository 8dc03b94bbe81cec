//! One container (§6) and what is in it (§7).

use reqwest::Method;

use crate::error::Result;
use crate::path::{BlobName, ContainerName};
use crate::store::block::NOTHING;
use crate::store::body::MOST_OF_A_LISTING;
use crate::store::endpoint::Resource;
use crate::store::headers;
use crate::store::listing;
use crate::store::options::ListBlobs;
use crate::store::pipeline::Pipeline;
use crate::store::request::Request;
use crate::store::resolve::modified_since;
use crate::store::types::*;

/// Client of one container.
#[derive(Clone, Copy)]
pub struct ContainerClient<'a> {
    pub(super) pipeline: &'a Pipeline,
    pub(super) name: &'a ContainerName,
}

impl ContainerClient<'_> {
    /// Get Container Properties.
    pub async fn properties(self) -> Result<ContainerItem> {
        let request = self.request("GetContainerProperties", Method::HEAD);
        let response = self.pipeline.send(&request).await?;
        let written = response.written(&request)?;
        Ok(ContainerItem {
            name: self.name.clone(),
            last_modified: written.last_modified,
            etag: written.etag,
            metadata: headers::metadata(&response.headers),
            keeping: headers::keeping(&response.headers),
        })
    }

    /// Create Container; 409 ContainerAlreadyExists if it is there.
    pub async fn create(self, metadata: &Metadata) -> Result<Written> {
        let request = self.request("CreateContainer", Method::PUT).metadata(metadata);
        let sent = self.pipeline.send_tracked(&request).await;
        let error = match sent.result {
            Ok(response) => return response.written(&request),
            Err(error) => error,
        };
        if sent.lost && error.code() == "ContainerAlreadyExists" {
            let look = self.request("GetContainerProperties", Method::HEAD);
            if let Ok(found) = self.pipeline.send(&look).await {
                let modified = headers::date(&found.headers, "last-modified");
                if modified.is_some_and(|modified| modified_since(sent.began, found.date(), modified)) {
                    return found.written(&look);
                }
            }
        }
        Err(error)
    }

    /// Delete Container, with everything in it. Its name stays unusable for half a minute or more.
    pub async fn delete(self) -> Result<()> {
        let request = self.request("DeleteContainer", Method::DELETE);
        let sent = self.pipeline.send_tracked(&request).await;
        match sent.result {
            Err(error) if sent.lost && (error.is_not_found() || error.code() == "ContainerBeingDeleted") => Ok(()),
            result => result.map(drop),
        }
    }

    /// Set Container Metadata: exactly these.
    pub async fn set_metadata(self, metadata: &Metadata) -> Result<Written> {
        let request = self.request("SetContainerMetadata", Method::PUT).query("comp", "metadata").metadata(metadata);
        self.pipeline.send(&request).await?.written(&request)
    }

    /// List Blobs: one page. It may be empty and yet have a successor; only an empty `next` is the end.
    pub async fn list_blobs(self, list: &ListBlobs<'_>) -> Result<Page<BlobItem>> {
        let mut include = "copy,metadata".to_owned();
        for (wanted, name) in [
            (list.snapshots, ",snapshots"),
            (list.versions, ",versions"),
            (list.uncommitted, ",uncommittedblobs"),
            (list.owners && self.pipeline.has_directories(), ",permissions"),
            (list.protection, ",immutabilitypolicy,legalhold"),
        ] {
            if wanted {
                include.push_str(name);
            }
        }
        let request = self
            .request("ListBlobs", Method::GET)
            .takes(MOST_OF_A_LISTING)
            .query("comp", "list")
            .query("include", include)
            .optional_query("prefix", Some(list.prefix).filter(|prefix| !prefix.is_empty()))
            .optional_query("delimiter", list.hierarchical.then_some("/"))
            .optional_query("marker", list.marker)
            .optional_query("maxresults", list.max_results.map(|most| most.to_string()));
        let response = self.pipeline.send(&request).await?;
        let document = response.xml(&request)?;
        if !self.pipeline.has_directories()
            && let Some(is_directory) = listing::shows_directories(&document)
        {
            self.pipeline.listed_prefix(is_directory);
        }
        listing::blobs(&document, list).map_err(|detail| request.misunderstood(detail))
    }

    /// List Blobs of what was deleted softly: one page, in the order of names and, under one name, of time. Of a flat
    /// namespace those are the blobs of one level; of a hierarchical one, for which it is asked in another way (S206), all
    /// whose names begin so.
    pub async fn list_deleted(self, prefix: &str, marker: Option<&str>) -> Result<Page<DeletedBlob>> {
        self.deleted_page(prefix, marker, None).await
    }

    /// The same of one name: no next page once the listing has come past it, whatever else begins so.
    pub async fn list_deleted_of(self, name: &BlobName, marker: Option<&str>) -> Result<Page<DeletedBlob>> {
        self.deleted_page(name.as_str(), marker, Some(name)).await
    }

    async fn deleted_page(
        self,
        prefix: &str,
        marker: Option<&str>,
        only: Option<&BlobName>,
    ) -> Result<Page<DeletedBlob>> {
        let has_directories = self.has_directories().await?;
        let request = self.deleted_request(prefix, marker, has_directories);
        let response = self.pipeline.send(&request).await?;
        let document = response.xml(&request)?;
        let shown = if has_directories { None } else { listing::shows_directories(&document) };
        if let Some(is_directory) = shown {
            self.pipeline.listed_prefix(is_directory);
        }
        let page = if shown == Some(true) {
            // Nobody had told before, and such a namespace is asked in another way.
            let request = self.deleted_request(prefix, None, true);
            let response = self.pipeline.send(&request).await?;
            listing::deleted_blobs(&response.xml(&request)?, only)
        } else {
            listing::deleted_blobs(&document, only)
        };
        let mut page = page.map_err(|detail| request.misunderstood(detail))?;
        // What was made to be deleted at once was never anybody's file.
        page.items.retain(|item| item.properties.metadata.get(NOTHING).is_none());
        Ok(page)
    }

    fn deleted_request(self, prefix: &str, marker: Option<&str>, has_directories: bool) -> Request {
        let request = self
            .request("ListBlobs", Method::GET)
            .query("comp", "list")
            .optional_query("prefix", Some(prefix).filter(|prefix| !prefix.is_empty()))
            .optional_query("marker", marker)
            .takes(MOST_OF_A_LISTING);
        match has_directories {
            true => request.query("include", "metadata").query("showonly", "deleted"),
            false => request.query("include", "copy,metadata,deleted").query("delimiter", "/"),
        }
    }

    pub(super) fn request(self, operation: &'static str, method: Method) -> Request {
        self.pipeline.request(operation, method, Resource::Container(self.name)).query("restype", "container")
    }
}
