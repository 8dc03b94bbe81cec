//! Index tags (§10): case-sensitive names, at most ten, no part of the ETag.

use quick_xml::escape::escape;
use reqwest::Method;

use crate::error::Result;
use crate::store::blob::BlobClient;
use crate::store::types::Tags;
use crate::store::xml::Element;

impl BlobClient<'_> {
    /// Get Blob Tags, in the service's order.
    pub async fn tags(self) -> Result<Tags> {
        let request = self.component("GetBlobTags", Method::GET, "tags");
        let response = self.pipeline.send(&request).await?;
        Ok(parse_tags(&response.xml(&request)?))
    }

    /// Set Blob Tags: exactly these.
    pub async fn set_tags(self, tags: &[(String, String)]) -> Result<()> {
        let request = self
            .component("SetBlobTags", Method::PUT, "tags")
            .header("content-type", "application/xml; charset=UTF-8")
            .body(tags_body(tags));
        self.pipeline.send(&request).await.map(drop)
    }
}

fn tags_body(tags: &[(String, String)]) -> String {
    let rows = tags.iter().map(|(key, value)| {
        format!("<Tag><Key>{}</Key><Value>{}</Value></Tag>", escape(key.as_str()), escape(value.as_str()))
    });
    let rows: String = rows.collect();
    format!("<?xml version=\"1.0\" encoding=\"utf-8\"?><Tags><TagSet>{rows}</TagSet></Tags>")
}

pub(super) fn parse_tags(root: &Element<'_>) -> Tags {
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
