//! Block blobs (§9): written whole, or in blocks that a block list puts together or rearranges.

use std::collections::HashSet;

use bytes::Bytes;
use reqwest::Method;

use crate::error::{OptionalExtension, Result};
use crate::store::blob::BlobClient;
use crate::store::body::{MOST_OF_A_BLOCK_LIST, crc64_text};
use crate::store::headers;
use crate::store::options::{DeleteOptions, WriteOptions};
use crate::store::payload::Payload;
use crate::store::pipeline::Checksums;
use crate::store::request::{Request, Response};
use crate::store::resolve::modified_since;
use crate::store::types::*;
use crate::store::xml::Element;

/// Metadata of an empty blob that is made to be deleted at once, and shown as deleted to nobody.
pub(super) const NOTHING: &str = "blobcp_nothing";

/// Largest source of Put Blob From URL, bytes (§15).
pub const LARGEST_BLOB_FROM_URL: u64 = 5000 << 20;
/// Largest range of Put Block From URL, bytes (§15).
pub const LARGEST_BLOCK_FROM_URL: u64 = 4000 << 20;

/// Client of one block blob.
#[derive(Clone, Copy)]
pub struct BlockBlobClient<'a>(BlobClient<'a>);

impl<'a> BlobClient<'a> {
    /// Client of the blob as a block blob.
    pub fn block_blob(self) -> BlockBlobClient<'a> {
        BlockBlobClient(self)
    }
}

impl BlockBlobClient<'_> {
    /// Put Blob: a block blob with this content, these properties and metadata and no others.
    pub async fn upload(
        self,
        body: impl Into<Payload>,
        settings: &BlobSettings,
        options: &WriteOptions,
    ) -> Result<Written> {
        self.upload_as(body.into(), settings, options, |_| true).await
    }

    /// The same; `is_it`: what a blob that it has made is known by besides.
    async fn upload_as(
        self,
        body: Payload,
        settings: &BlobSettings,
        options: &WriteOptions,
        is_it: impl Fn(&BlobProperties) -> bool,
    ) -> Result<Written> {
        let mut request = self
            .0
            .request("PutBlob", Method::PUT)
            .header("x-ms-blob-type", BlobType::Block.as_str())
            .settings(settings)
            .write_options(options)
            .body(body.clone());
        // Only a guarded write has to recognise itself, so only there is the hash worth its time.
        let md5 = options.is_guarded().then(|| body.md5());
        if let Some(md5) = &md5 {
            request = request.header("content-md5", md5);
        }
        let stored_md5 = settings.headers.content_md5.as_ref().or(md5.as_ref());
        let is_ours = |found: &BlobProperties| {
            found.size == body.len() as u64 && found.headers.content_md5.as_ref() == stored_md5 && is_it(found)
        };
        self.0.write(&request, options.is_guarded(), is_ours).await
    }

    /// Put Blob From URL (§13.8): a block blob with the content of the source, its content headers unless `settings`
    /// has some, and the metadata of `settings`; the source's if that has none (S45).
    pub async fn upload_from_url(
        self,
        source: &WholeSource<'_>,
        settings: &BlobSettings,
        options: &WriteOptions,
    ) -> Result<Written> {
        let request = self
            .0
            .request("PutBlobFromURL", Method::PUT)
            .header("x-ms-blob-type", BlobType::Block.as_str())
            .source(source.source)
            .optional("x-ms-source-if-match", source.if_match.map(ETag::quoted).as_deref())
            .settings(settings)
            .write_options(options)
            .work(source.size.unwrap_or(LARGEST_BLOB_FROM_URL));
        let guarded = options.is_guarded() && source.size.is_some();
        self.0.write(&request, guarded, |found| Some(found.size) == source.size).await
    }

    /// Put Block.
    pub async fn stage_block(self, id: &BlockId, body: impl Into<Payload>) -> Result<()> {
        self.heeded(&self.stage_request("PutBlock", id).body(body)).await
    }

    /// Ids of the blocks that are staged under a name that has no blob; none where there is one.
    pub async fn staged_alone(self) -> Result<Vec<BlockId>> {
        let request = self.0.component("GetBlockList", Method::GET, "blocklist").query("blocklisttype", "uncommitted");
        let request = request.takes(MOST_OF_A_BLOCK_LIST);
        let Some(response) = self.0.pipeline.send(&request).await.optional()? else { return Ok(Vec::new()) };
        if headers::text(&response.headers, "etag").is_some() {
            return Ok(Vec::new());
        }
        let staged = parse_staged(&response.xml(&request)?);
        response.required(&request, "names of blocks", staged)
    }

    /// Drops blocks that were staged under a name that has no blob: Put Blob does so (S169), and the empty one that it makes
    /// is deleted. False, and nothing is done, if one of them is not `ours`. A blob that somebody makes meanwhile stays,
    /// and is an error.
    pub async fn drop_blocks(self, ours: impl Fn(&BlockId) -> bool) -> Result<bool> {
        let staged = self.staged_alone().await?;
        if staged.is_empty() || !staged.iter().all(ours) {
            return Ok(staged.is_empty());
        }
        let options = WriteOptions::from(Precondition::IfAbsent);
        // Also where the answer is lost it is known from an empty one that somebody else has made.
        let mut settings = BlobSettings::default();
        settings.metadata.set(NOTHING, uuid::Uuid::new_v4().to_string());
        let made = self
            .upload_as(Bytes::new().into(), &settings, &options, |found| found.metadata == settings.metadata)
            .await?;
        let precondition = Precondition::IfMatch(made.etag);
        self.0.delete(&DeleteOptions { precondition, ..DeleteOptions::default() }).await?;
        Ok(true)
    }

    /// Put Block From URL (§13.9): the service fetches the source. `lease`: the caller's, of the blob.
    pub async fn stage_block_from_url(
        self,
        id: &BlockId,
        source: &SourceRange<'_>,
        lease: Option<&LeaseId>,
    ) -> Result<()> {
        let request = self.stage_request("PutBlockFromURL", id).source_range(source).lease(lease);
        self.heeded(&request).await
    }

    /// Put Block From URL (§13.9) of a range that has these bytes: the service refuses if it has others. Its answer is not
    /// believed if it is about others. Tried once, and a second time only if the connection was broken: whoever asks has
    /// the bytes.
    pub async fn stage_known_block(self, id: &BlockId, source: &SourceRange<'_>, content: &Payload) -> Result<()> {
        let (name, told, sum) = match self.0.pipeline.checksums() {
            Checksums::Crc64 => ("x-ms-source-content-crc64", "x-ms-content-crc64", crc64_text(content.crc64())),
            Checksums::Md5 | Checksums::OfAzurite => ("x-ms-source-content-md5", "content-md5", content.md5()),
        };
        let request = self.stage_request("PutBlockFromURL", id).source_range(source).header(name, &sum).hasty();
        let sent = self.0.pipeline.send(&request).await;
        let response = sent.inspect_err(|error| self.0.pipeline.heed_refusal(error))?;
        match headers::text(&response.headers, told) {
            Some(told) if told != sum => Err(request.misunderstood("the block has other bytes than were named")),
            _ => Ok(()),
        }
    }

    /// That a blob takes no blocks tells of what kind its account is (S131).
    async fn heeded(self, request: &Request) -> Result<()> {
        let sent = self.0.pipeline.send(request).await;
        sent.map(drop).inspect_err(|error| self.0.pipeline.heed_refusal(error))
    }

    fn stage_request(self, operation: &'static str, id: &BlockId) -> Request {
        self.0.component(operation, Method::PUT, "block").query("blockid", id.as_str())
    }

    /// Put Block List: the blob becomes these blocks in this order, with these properties and metadata and no others.
    ///
    /// A lost answer is recognised by the committed ids, so ids must not repeat between writers.
    pub async fn commit_block_list(
        self,
        blocks: &[BlockRef],
        settings: &BlobSettings,
        options: &WriteOptions,
    ) -> Result<Written> {
        let request = self
            .0
            .component("PutBlockList", Method::PUT, "blocklist")
            .settings(settings)
            .write_options(options)
            .body(block_list_body(blocks));
        let sent = self.0.pipeline.send_tracked(&request).await;
        let began = sent.began;
        // Without a precondition too: blocks named as uncommitted are committed now, and so unknown to a second try.
        let look = async {
            let (response, committed) = self.committed_blocks().await.ok()?;
            let found = headers::written(&response.headers)?;
            let same = blocks.iter().map(BlockRef::id).eq(committed.iter().map(|block| &block.id));
            (same && modified_since(began, response.date(), found.last_modified)).then_some(found)
        };
        sent.or_found(|response| response.written(&request), look).await
    }

    /// Get Block List: committed blocks in order, with the ETag of the blob they belong to.
    pub async fn block_list(self) -> Result<(Vec<Block>, Option<ETag>)> {
        let (response, blocks) = self.committed_blocks().await?;
        Ok((blocks, headers::text(&response.headers, "etag").map(ETag::new)))
    }

    /// Nothing in the answer says that it came as it was sent. A damaged id makes a commit fail, unless it is that of
    /// another block: then one is in the list twice, and it is asked for again.
    async fn committed_blocks(self) -> Result<(Response, Vec<Block>)> {
        let (response, blocks) = self.told_blocks().await?;
        let mut met = HashSet::new();
        if self.0.pipeline.endpoint().is_encrypted() || blocks.iter().all(|block| met.insert(&block.id)) {
            return Ok((response, blocks));
        }
        let (again, told) = self.told_blocks().await?;
        let same = headers::text(&again.headers, "etag") != headers::text(&response.headers, "etag") || told == blocks;
        again.required(&self.list_request(), "the blocks that were told before", same.then_some(()))?;
        Ok((again, told))
    }

    fn list_request(self) -> Request {
        let request = self.0.component("GetBlockList", Method::GET, "blocklist").query("blocklisttype", "committed");
        request.takes(MOST_OF_A_BLOCK_LIST)
    }

    async fn told_blocks(self) -> Result<(Response, Vec<Block>)> {
        let request = self.list_request();
        let response = self.0.pipeline.send(&request).await?;
        let blocks = parse_blocks(&response.xml(&request)?);
        let blocks = response.required(&request, "names and sizes of blocks", blocks)?;
        // A blob that was not written by blocks has none.
        let told = headers::text(&response.headers, "x-ms-blob-content-length").filter(|_| !blocks.is_empty());
        let sum = blocks.iter().try_fold(0_u64, |sum, block| sum.checked_add(block.size));
        if told.is_some_and(|told| headers::size(told) != sum) {
            return Err(request.misunderstood("its blocks are not as long as the blob"));
        }
        Ok((response, blocks))
    }
}

impl BlockRef {
    /// Id of the block, wherever it is.
    pub fn id(&self) -> &BlockId {
        match self {
            Self::Committed(id) | Self::Uncommitted(id) | Self::Latest(id) => id,
        }
    }
}

/// Ids are Base64 and need no escaping.
fn block_list_body(blocks: &[BlockRef]) -> String {
    let mut body = String::from("<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList>");
    for block in blocks {
        let element = match block {
            BlockRef::Committed(_) => "Committed",
            BlockRef::Uncommitted(_) => "Uncommitted",
            BlockRef::Latest(_) => "Latest",
        };
        body.push_str(&format!("<{element}>{}</{element}>", block.id()));
    }
    body.push_str("</BlockList>");
    body
}

pub(super) fn parse_blocks(root: &Element<'_>) -> Option<Vec<Block>> {
    let blocks = root.children_of("CommittedBlocks").iter();
    blocks.map(|block| Some(Block { id: BlockId::new(&block.value("Name")?), size: block.size("Size")? })).collect()
}

fn parse_staged(root: &Element<'_>) -> Option<Vec<BlockId>> {
    root.children_of("UncommittedBlocks").iter().map(|block| Some(BlockId::new(&block.value("Name")?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_list_is_written_in_order() {
        let blocks = [BlockRef::Committed(BlockId::new("MQ==")), BlockRef::Uncommitted(BlockId::new("MA=="))];
        assert_eq!(
            block_list_body(&blocks),
            "<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList><Committed>MQ==</Committed><Uncommitted>MA==</Uncommitted></BlockList>"
        );
    }

    #[test]
    fn a_block_list_is_read() {
        let document =
            b"<BlockList><UncommittedBlocks><Block><Name>Mg==</Name><Size>9</Size></Block></UncommittedBlocks>\
            <CommittedBlocks><Block><Size>3</Size><Name>MQ==</Name></Block></CommittedBlocks></BlockList>";
        let blocks = parse_blocks(&Element::parse(document).unwrap());
        assert_eq!(blocks, Some(vec![Block { id: BlockId::new("MQ=="), size: 3 }]));
        assert_eq!(parse_staged(&Element::parse(document).unwrap()), Some(vec![BlockId::new("Mg==")]));
        let empty = Element::parse(b"<BlockList><CommittedBlocks/></BlockList>").unwrap();
        assert_eq!(parse_blocks(&empty), Some(vec![]));
    }
}
