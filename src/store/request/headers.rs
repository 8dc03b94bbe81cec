//! Properties, metadata, sources and conditions as headers of a request.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::store::headers::bytes;
use crate::store::options::WriteOptions;
use crate::store::request::Request;
use crate::store::request::attempt::SourceHeader;
use crate::store::spelling::METADATA;
use crate::store::types::*;

/// The groups of headers that several operations send.
impl Request {
    pub(crate) fn metadata(mut self, metadata: &Metadata) -> Self {
        for (name, value) in metadata.iter() {
            self = self.header(&format!("{METADATA}{name}"), value);
            self.names.add(name);
        }
        self
    }

    pub(crate) fn content_headers(self, headers: &ContentHeaders) -> Self {
        self.optional("x-ms-blob-content-type", headers.content_type.as_deref())
            .optional("x-ms-blob-content-encoding", headers.content_encoding.as_deref())
            .optional("x-ms-blob-content-language", headers.content_language.as_deref())
            .optional("x-ms-blob-content-disposition", headers.content_disposition.as_deref())
            .optional("x-ms-blob-cache-control", headers.cache_control.as_deref())
            .optional("x-ms-blob-content-md5", headers.content_md5.as_deref())
    }

    pub(crate) fn settings(self, settings: &BlobSettings) -> Self {
        self.content_headers(&settings.headers)
            .metadata(&settings.metadata)
            .optional("x-ms-access-tier", settings.tier.as_deref())
            .tags(&settings.tags)
    }

    /// `x-ms-tags`: URL-encoded pairs. None are sent as no header.
    pub(crate) fn tags(self, tags: &Tags) -> Self {
        let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let pairs: Vec<_> = tags.iter().map(|(key, value)| format!("{}={}", encode(key), encode(value))).collect();
        self.optional("x-ms-tags", (!pairs.is_empty()).then(|| pairs.join("&")).as_deref())
    }

    pub(crate) fn precondition(self, precondition: &Precondition) -> Self {
        match precondition {
            Precondition::None => self,
            Precondition::IfMatch(etag) => self.header("if-match", &etag.quoted()),
            Precondition::IfAbsent => self.header("if-none-match", "*"),
        }
    }

    pub(crate) fn write_options(self, options: &WriteOptions) -> Self {
        self.precondition(&options.precondition).lease(options.lease.as_ref())
    }

    /// The source that the service is to read.
    pub(crate) fn source(self, source: &CopySource) -> Self {
        let token = source.token().map(|token| format!("Bearer {}", token.expose()));
        self.named_source("x-ms-copy-source", source).optional("x-ms-copy-source-authorization", token.as_deref())
    }

    /// A source in that header, which is signed anew when its credential has become another one.
    pub(crate) fn named_source(self, name: &'static str, source: &CopySource) -> Self {
        let mut request = self.header(name, source.expose());
        request.source = source.signer().map(|signer| SourceHeader { name, signer: signer.clone() });
        request
    }

    /// A range that the service reads from another blob, in that version of it.
    pub(crate) fn source_range(self, source: &SourceRange<'_>) -> Self {
        self.source(source.source)
            .header("x-ms-source-range", &bytes(&source.range))
            .optional("x-ms-source-if-match", source.if_match.map(ETag::quoted).as_deref())
            .work(source.range.end.saturating_sub(source.range.start))
    }

    pub(crate) fn lease(self, lease: Option<&LeaseId>) -> Self {
        self.optional("x-ms-lease-id", lease.map(LeaseId::as_str))
    }

    pub(crate) fn revision(self, revision: Option<&Revision>) -> Self {
        match revision.map(Revision::parameter) {
            Some((name, moment)) => self.query(name, moment),
            None => self,
        }
    }
}
