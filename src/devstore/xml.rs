//! The little XML the service speaks.
//!
//! Answers are written by [`Writer`], which knows escaping and nesting and nothing of blobs. The two request bodies
//! that are XML, block lists and tags, are read with `quick-xml` into plain pairs; anything else in them is refused as
//! the service does, with `InvalidXmlDocument`.

use std::collections::BTreeMap;

use quick_xml::events::Event;

use super::error::{Code, ServiceError};

/// Builds a document front to back.
#[derive(Debug)]
pub(super) struct Writer(String);

impl Writer {
    pub(super) fn new() -> Writer {
        // The service begins with a byte order mark (S152).
        Writer(String::from("\u{FEFF}<?xml version=\"1.0\" encoding=\"utf-8\"?>"))
    }

    /// `<name attribute="value"…>`.
    pub(super) fn open(&mut self, name: &str, attributes: &[(&str, &str)]) {
        self.0 += &format!("<{name}");
        for (attribute, value) in attributes {
            self.0 += &format!(" {attribute}=\"");
            self.escape(value);
            self.0.push('"');
        }
        self.0.push('>');
    }

    pub(super) fn close(&mut self, name: &str) {
        self.0 += &format!("</{name}>");
    }

    /// `<name>text</name>`, `<name/>` for empty text.
    pub(super) fn element(&mut self, name: &str, text: impl AsRef<str>) {
        let text = text.as_ref();
        if text.is_empty() {
            self.0 += &format!("<{name}/>");
            return;
        }
        self.open(name, &[]);
        self.escape(text);
        self.close(name);
    }

    /// The same when there is a text at all.
    pub(super) fn optional(&mut self, name: &str, text: Option<impl AsRef<str>>) {
        if let Some(text) = text {
            self.element(name, text);
        }
    }

    /// `<name>` around whatever `inside` writes.
    pub(super) fn nest(&mut self, name: &str, inside: impl FnOnce(&mut Writer)) {
        self.open(name, &[]);
        inside(self);
        self.close(name);
    }

    /// Text between two tags.
    pub(super) fn escape(&mut self, text: &str) {
        for character in text.chars() {
            match character {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                // A parser would turn it into a line feed.
                '\r' => self.0.push_str("&#xD;"),
                other => self.0.push(other),
            }
        }
    }

    pub(super) fn finish(self) -> String {
        self.0
    }
}

/// Whether an XML 1.0 document can hold this text as it is (§7: names that cannot are percent-encoded).
pub(super) fn representable(text: &str) -> bool {
    !text.chars().any(|c| c < ' ' || matches!(c, '\u{FFFE}' | '\u{FFFF}'))
}

/// The list that a Put Block List entry names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Listed {
    Latest,
    Committed,
    Uncommitted,
}

/// Reads `<BlockList><Latest>ID</Latest>…</BlockList>` in order.
pub(super) fn read_block_list(body: &[u8]) -> Result<Vec<(Listed, String)>, ServiceError> {
    read_leaves(body, "BlockList")?
        .into_iter()
        .map(|(path, text)| {
            let listed = match path.as_str() {
                "BlockList/Latest" => Listed::Latest,
                "BlockList/Committed" => Listed::Committed,
                "BlockList/Uncommitted" => Listed::Uncommitted,
                _ => return Err(Code::InvalidXmlDocument.into()),
            };
            Ok((listed, text.trim().to_owned()))
        })
        .collect()
}

/// Reads `<Tags><TagSet><Tag><Key>k</Key><Value>v</Value></Tag>…</TagSet></Tags>`.
pub(super) fn read_tags(body: &[u8]) -> Result<BTreeMap<String, String>, ServiceError> {
    let mut tags = BTreeMap::new();
    let mut key = None;
    for (path, text) in read_leaves(body, "Tags")? {
        match path.as_str() {
            "Tags/TagSet/Tag/Key" => key = Some(text),
            "Tags/TagSet/Tag/Value" => {
                tags.insert(key.take().ok_or(Code::InvalidXmlDocument)?, text);
            }
            _ => return Err(Code::InvalidXmlDocument.into()),
        }
    }
    Ok(tags)
}

/// The `TagSet` element of Get Blob Tags and of listings.
pub(super) fn write_tag_set(document: &mut Writer, tags: &BTreeMap<String, String>) {
    document.nest("TagSet", |document| {
        for (key, value) in tags {
            document.nest("Tag", |document| {
                document.element("Key", key);
                document.element("Value", value);
            });
        }
    });
}

/// Elements without children that are not the root, as (path, text) in document order.
pub(super) fn read_leaves(body: &[u8], root: &str) -> Result<Vec<(String, String)>, ServiceError> {
    let invalid = || ServiceError::from(Code::InvalidXmlDocument);
    let text = std::str::from_utf8(body).map_err(|_| invalid())?.trim_start_matches('\u{FEFF}');
    let mut reader = quick_xml::Reader::from_str(text);
    reader.config_mut().expand_empty_elements = true;
    let mut path: Vec<String> = Vec::new();
    let mut found = Vec::new();
    let mut text = String::new();
    let mut leaf = false;
    let mut seen_root = false;
    loop {
        match reader.read_event().map_err(|_| invalid())? {
            Event::Start(start) => {
                path.push(start.name().as_ref().to_owned());
                seen_root |= path.len() == 1 && path[0] == root;
                text.clear();
                leaf = true;
            }
            Event::End(_) => {
                if leaf && path.len() > 1 && !(path.len() == 2 && path[1] == "TagSet") {
                    found.push((path.join("/"), std::mem::take(&mut text)));
                }
                path.pop();
                leaf = false;
            }
            Event::Text(more) => text.push_str(&more),
            Event::GeneralRef(reference) => match reference.resolve_char_ref().map_err(|_| invalid())? {
                Some(character) => text.push(character),
                None => {
                    text.push_str(quick_xml::escape::resolve_predefined_entity(&reference).ok_or_else(invalid)?);
                }
            },
            Event::CData(more) => text.push_str(&more),
            Event::Eof => break,
            _ => {}
        }
    }
    if seen_root && path.is_empty() { Ok(found) } else { Err(invalid()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn block_list_keeps_order_and_kind() {
        let body = br#"<?xml version="1.0" encoding="utf-8"?>
            <BlockList><Latest>QQ==</Latest> <Committed>Qg==</Committed><Uncommitted>Qw==</Uncommitted></BlockList>"#;
        let list = read_block_list(body).unwrap();
        assert_eq!(
            list,
            [
                (Listed::Latest, "QQ==".to_owned()),
                (Listed::Committed, "Qg==".to_owned()),
                (Listed::Uncommitted, "Qw==".to_owned())
            ]
        );
        assert!(read_block_list(b"<BlockList/>").unwrap().is_empty());
    }

    #[test]
    fn broken_documents_are_refused() {
        for body in ["", "<BlockList>", "<Tags></Tags>", "<BlockList><Other>x</Other></BlockList>", "not xml"] {
            assert!(read_block_list(body.as_bytes()).is_err(), "{body}");
        }
    }

    #[test]
    fn tags_are_unescaped() {
        let body = b"<Tags><TagSet><Tag><Key>a</Key><Value>x &amp; &#x79;</Value></Tag><Tag><Key>b</Key><Value/></Tag></TagSet></Tags>";
        let tags = read_tags(body).unwrap();
        assert_eq!(tags["a"], "x & y");
        assert_eq!(tags["b"], "");
        assert!(read_tags(b"<Tags><TagSet/></Tags>").unwrap().is_empty());
    }

    #[test]
    fn writer_escapes() {
        let mut writer = Writer::new();
        writer.open("A", &[("b", "\"<")]);
        writer.element("C", "1 & 2");
        writer.element("D", "");
        writer.close("A");
        assert!(writer.finish().ends_with("<A b=\"&quot;&lt;\"><C>1 &amp; 2</C><D/></A>"));
    }
}
