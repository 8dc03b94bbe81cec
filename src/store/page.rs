//! Page blobs (§9): pages of 512 bytes that are written where they are.
//!
//! A page write is repeated without harm, but not under `If-Match`: a try whose answer was lost has changed the ETag.
//! Then the pages tell whose they are. Under a lease there is no such question, because nobody else can have written.

use std::ops::Range;

use bytes::Bytes;
use reqwest::Method;

use crate::error::Result;
use crate::store::blob::{BlobClient, DEFAULT_CONTENT_TYPE};
use crate::store::body::MOST_OF_A_LISTING;
use crate::store::headers;
use crate::store::listing::next_marker;
use crate::store::options::WriteOptions;
use crate::store::request::Request;
use crate::store::types::*;
use crate::store::xml::Element;

/// Bytes of a page: ranges begin and end at multiples of it, and so does the blob.
pub const PAGE: u64 = 512;
/// Bytes of one Put Page (§15). Clearing has no such limit.
pub const LARGEST_PAGE_WRITE: u64 = 4 << 20;
/// Ranges of a page blob that are asked for: they stay in memory while it is open.
const MOST_RANGES: usize = 1 << 20;
/// Bytes of a page blob (§15).
pub const LARGEST_PAGE_BLOB: u64 = 8 << 40;

/// Client of one page blob.
#[derive(Clone, Copy)]
pub struct PageBlobClient<'a>(BlobClient<'a>);

impl<'a> BlobClient<'a> {
    /// Client of the blob as a page blob.
    pub fn page_blob(self) -> PageBlobClient<'a> {
        PageBlobClient(self)
    }
}

/// A write to pages makes sure that nobody else has written: by the ETag, which each write changes, or by a lease,
/// under which any number of them may go out in any order.
impl PageBlobClient<'_> {
    /// Put Blob: a page blob of `size` bytes, all zeros, with these properties and metadata and no others.
    pub async fn create(self, size: u64, settings: &BlobSettings, options: &WriteOptions) -> Result<Written> {
        let request = self
            .0
            .request("PutBlob", Method::PUT)
            .header("x-ms-blob-type", BlobType::Page.as_str())
            .header("x-ms-blob-content-length", &size.to_string())
            .settings(settings)
            .write_options(options);
        let is_ours = |found: &BlobProperties| {
            found.blob_type == BlobType::Page && found.size == size && found.metadata == settings.metadata
        };
        self.0.write(&request, options.is_guarded(), is_ours).await
    }

    /// Put Page: whole pages from `offset` on, at most [`LARGEST_PAGE_WRITE`] bytes.
    pub async fn upload_pages(self, offset: u64, body: Bytes, options: &WriteOptions) -> Result<Written> {
        let range = offset..offset + body.len() as u64;
        let request = self.page_request("PutPage", "update", &range, options).body(body.clone());
        let look = async {
            let found = self.0.download(range).await.ok()?;
            (found.bytes == body).then(|| found.properties.written())
        };
        let sent = self.0.pipeline.send_tracked(&request).await;
        sent.or_found(|response| response.written(&request), look).await
    }

    /// Put Page in its clearing form: whole pages become zeros, and holes.
    pub async fn clear_pages(self, range: Range<u64>, options: &WriteOptions) -> Result<Written> {
        let request = self.page_request("PutPage", "clear", &range, options);
        let look = async {
            let request = self.ranges_request().header("x-ms-range", &headers::bytes(&range));
            let response = self.0.pipeline.send(&request).await.ok()?;
            let left = parse_ranges(&response.xml(&request).ok()?)?;
            headers::written(&response.headers).filter(|_| left.is_empty())
        };
        let sent = self.0.pipeline.send_tracked(&request).await;
        sent.or_found(|response| response.written(&request), look).await
    }

    /// Put Page From URL (§13.11): whole pages from `offset` on become the source.
    ///
    /// After a lost answer under a precondition the error stays: to compare the pages would move them here.
    pub async fn upload_pages_from_url(
        self,
        offset: u64,
        source: &SourceRange<'_>,
        options: &WriteOptions,
    ) -> Result<Written> {
        let target = offset..offset + (source.range.end - source.range.start);
        let request = self.page_request("PutPageFromURL", "update", &target, options).source_range(source);
        self.0.pipeline.send(&request).await?.written(&request)
    }

    /// Get Page Ranges of a version: what has been written, in order. All else is zeros. Of more than [`MOST_RANGES`] the
    /// last one goes on to the end of the blob, whatever is there.
    pub async fn page_ranges(self, of: &BlobProperties) -> Result<Vec<Range<u64>>> {
        let mut ranges: Vec<Range<u64>> = Vec::new();
        let mut marker: Option<String> = None;
        loop {
            let request = self
                .ranges_request()
                .header("if-match", &of.etag.quoted())
                .takes(MOST_OF_A_LISTING)
                .optional_query("marker", marker.take());
            let response = self.0.pipeline.send(&request).await?;
            let document = response.xml(&request)?;
            let page = response.required(&request, "starts and ends of page ranges", parse_ranges(&document))?;
            if headers::text(&response.headers, "etag").is_some_and(|told| ETag::new(told) != of.etag) {
                return Err(request.misunderstood("it is about another version than was asked for"));
            }
            let next = next_marker(&document).map_err(|what| request.misunderstood(what))?;
            if next.is_some() && page.is_empty() {
                return Err(request.misunderstood("a page of it is empty and not the last"));
            }
            for range in page {
                // So it comes to an end.
                let end = ranges.last().map_or(0, |last| last.end);
                if range.is_empty() || range.start < end || range.end > of.size {
                    return Err(request.misunderstood(format!("{range:?} cannot follow on {end} of {}", of.size)));
                }
                ranges.push(range);
            }
            if ranges.len() > MOST_RANGES
                && let Some(last) = ranges.last_mut()
            {
                last.end = of.size;
                return Ok(ranges);
            }
            marker = next;
            if marker.is_none() {
                return Ok(ranges);
            }
        }
    }

    /// Set Blob Properties with a new size, bytes: the blob is cut there, or gets zeros up to there. Headers that are
    /// not given are cleared.
    pub async fn resize(self, size: u64, headers: &ContentHeaders, options: &WriteOptions) -> Result<Written> {
        let content_type = headers.content_type.as_deref().unwrap_or(DEFAULT_CONTENT_TYPE);
        let headers = ContentHeaders { content_type: Some(content_type.to_owned()), ..headers.clone() };
        let request = self
            .0
            .component("SetBlobProperties", Method::PUT, "properties")
            .header("x-ms-blob-content-length", &size.to_string())
            .content_headers(&headers)
            .write_options(options);
        self.0.write(&request, options.is_guarded(), |found| found.size == size && found.headers == headers).await
    }

    fn page_request(self, operation: &'static str, write: &str, range: &Range<u64>, options: &WriteOptions) -> Request {
        self.0
            .component(operation, Method::PUT, "page")
            .header("x-ms-page-write", write)
            .header("x-ms-range", &headers::bytes(range))
            .write_options(options)
    }

    fn ranges_request(self) -> Request {
        self.0.component("GetPageRanges", Method::GET, "pagelist")
    }
}

pub(super) fn parse_ranges(root: &Element<'_>) -> Option<Vec<Range<u64>>> {
    let ranges = root.children.iter().filter(|child| child.name == "PageRange");
    ranges.map(|range| Some(range.size("Start")?..range.size("End")? + 1)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_ranges_are_read_and_cleared_ones_left_out() {
        let document = b"<PageList><PageRange><Start>0</Start><End>511</End></PageRange>\
            <ClearRange><Start>512</Start><End>1023</End></ClearRange>\
            <PageRange><End>2047</End><Start>1024</Start></PageRange><NextMarker/></PageList>";
        assert_eq!(parse_ranges(&Element::parse(document).unwrap()), Some(vec![0..512, 1024..2048]));
        assert_eq!(parse_ranges(&Element::parse(b"<PageList/>").unwrap()), Some(vec![]));
        assert_eq!(parse_ranges(&Element::parse(b"<PageList><PageRange/></PageList>").unwrap()), None);
    }
}
