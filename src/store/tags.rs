//! Index tags (§10): case-sensitive names, at most ten, no part of the ETag.

use quick_xml::escape::escape;
use reqwest::Method;

use crate::error::Result;
use crate::path::BlobPath;
use crate::store::client::Client;
use crate::store::endpoint::Place;
use crate::store::types::{Revision, Tags};
use crate::store::xml::Element;

impl Client {
    /// Get Blob Tags, in the service's order.
    pub async fn tags(&self, blob: &BlobPath) -> Result<Tags> {
        self.tags_at(blob, None).await
    }

    /// [`Client::tags`] of the blob as it is or was.
    pub async fn tags_at(&self, blob: &BlobPath, revision: Option<&Revision>) -> Result<Tags> {
        let request =
            self.request("GetBlobTags", Method::GET, Place::Blob(blob)).query("comp", "tags").revision(revision);
        let response = self.send(&request).await?;
        Ok(parse_tags(&response.xml(&request)?))
    }

    /// Set Blob Tags: exactly these.
    pub async fn set_tags(&self, blob: &BlobPath, tags: &[(String, String)]) -> Result<()> {
        let request = self
            .request("SetBlobTags", Method::PUT, Place::Blob(blob))
            .query("comp", "tags")
            .header("content-type", "application/xml; charset=UTF-8")
            .body(tags_body(tags));
        self.send(&request).await.map(drop)
    }
}

fn tags_body(tags: &[(String, String)]) -> String {
    let rows = tags.iter().map(|(key, value)| {
        format!("<Tag><Key>{}</Key><Value>{}</Value></Tag>", escape(key.as_str()), escape(value.as_str()))
    });
    let rows: String = rows.collect();
    format!("<?xml version=\"1.0\" encoding=\"utf-8\"?><Tags><TagSet>{rows}</TagSet></Tags>")
}

fn parse_tags(root: &Element<'_>) -> Tags {
    let text = |tag: &Element<'_>, name| tag.value(name).unwrap_or_default().into_owned();
    root.children_of("TagSet").iter().map(|tag| (text(tag, "Key"), text(tag, "Value"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_can_be_read() {
        let tags = vec![("b".to_owned(), "<&>".to_owned()), ("A".to_owned(), String::new())];
        assert_eq!(parse_tags(&Element::parse(tags_body(&tags).as_bytes()).unwrap()), tags);
        assert_eq!(parse_tags(&Element::parse(b"<Tags><TagSet/></Tags>").unwrap()), vec![]);
    }
}
