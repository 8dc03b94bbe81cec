//! The service's XML as a tree.
//!
//! Elements come in any order, unknown ones among them, lists interleave (§7), and metadata names are element names; so
//! a document becomes a tree whose owner asks for what it knows. Names and most texts borrow from the document.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;
use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesStart, Event};

use crate::store::headers;

/// Deepest nesting that is followed: the service needs five.
const MAX_DEPTH: usize = 32;

/// Elements of a document: each takes some hundred bytes, however short it is. 5000 rows of 200 are not that many, nor are
/// 50 000 blocks.
const MAX_ELEMENTS: usize = 1 << 20;

/// An element with its text and children.
#[derive(Debug, Default)]
pub(super) struct Element<'a> {
    pub name: Cow<'a, str>,
    pub text: Cow<'a, str>,
    pub children: Vec<Element<'a>>,
    /// `Encoded="true"`: the text is percent-encoded because XML cannot hold it.
    encoded: bool,
}

impl<'a> Element<'a> {
    /// Reads a document; the root element.
    pub(super) fn parse(document: &'a [u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(document).map_err(|e| format!("XML is not UTF-8: {e}"))?;
        let text = text.trim_start_matches('\u{feff}');
        let mut reader = Reader::from_str(text);
        // The elements that are open, below a nameless one that collects the root.
        let mut open = vec![Element::default()];
        let mut elements = 0;
        loop {
            let event = reader.read_event().map_err(|e| format!("XML: {e}"))?;
            elements += usize::from(matches!(event, Event::Start(_) | Event::Empty(_)));
            if elements > MAX_ELEMENTS {
                return Err(format!("XML has more than {MAX_ELEMENTS} elements"));
            }
            match event {
                Event::Start(_) if open.len() > MAX_DEPTH => return Err("XML is nested too deeply".into()),
                Event::Start(start) => open.push(Self::named(&start)),
                Event::Empty(start) => {
                    let element = Self::named(&start);
                    if let Some(parent) = open.last_mut() {
                        parent.children.push(element);
                    }
                }
                Event::End(_) => {
                    if let (Some(element), Some(parent)) = (open.pop(), open.last_mut()) {
                        parent.children.push(element);
                    }
                }
                Event::Text(text) => Self::append(&mut open, text.xml10_content()),
                Event::CData(text) => Self::append(&mut open, text.xml10_content()),
                Event::GeneralRef(reference) => {
                    let name = reference.xml10_content();
                    let text = match reference.resolve_char_ref() {
                        Ok(Some(c)) => c.to_string(),
                        // Of what is no character. No name can have it, and a row without name is no end of a listing.
                        _ if name.starts_with('#') => "\0".to_owned(),
                        _ => resolve_predefined_entity(&name)
                            .ok_or_else(|| format!("XML: unknown entity {name:?}"))?
                            .to_owned(),
                    };
                    Self::append(&mut open, Cow::Owned(text));
                }
                Event::Eof => break,
                _ => {}
            }
        }
        let mut roots = match open.pop() {
            Some(outermost) if open.is_empty() => outermost.children,
            _ => return Err("XML ends inside an element".into()),
        };
        roots.pop().ok_or_else(|| "XML has no element".into())
    }

    fn named(start: &BytesStart<'a>) -> Self {
        let encoded = matches!(start.try_get_attribute("Encoded"), Ok(Some(value)) if value.value.as_ref() == "true");
        Self { name: Cow::Owned(start.local_name().as_ref().to_owned()), encoded, ..Self::default() }
    }

    fn append(open: &mut [Self], text: Cow<'a, str>) {
        if let Some(element) = open.last_mut() {
            if element.text.is_empty() {
                element.text = text;
            } else {
                element.text.to_mut().push_str(&text);
            }
        }
    }

    pub(super) fn child(&self, name: &str) -> Option<&Element<'a>> {
        self.children.iter().find(|child| child.name == name)
    }

    /// The children of child `name`: the items of a list.
    pub(super) fn children_of(&self, name: &str) -> &[Element<'a>] {
        self.child(name).map_or(&[], |child| child.children.as_slice())
    }

    /// The text of child `name`; absent and empty are the same (§7).
    pub(super) fn value(&self, name: &str) -> Option<Cow<'_, str>> {
        self.child(name).map(Element::decoded).filter(|text| !text.is_empty())
    }

    /// [`Element::value`] as a number or whatever else parses.
    pub(super) fn parsed<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        self.value(name)?.trim().parse().ok()
    }

    /// [`Element::value`] as a number of bytes that a file can have.
    pub(super) fn size(&self, name: &str) -> Option<u64> {
        headers::size(&self.value(name)?)
    }

    fn decoded(&self) -> Cow<'_, str> {
        if self.encoded { percent_decode_str(&self.text).decode_utf8_lossy() } else { Cow::Borrowed(&self.text) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_with_text_entities_and_attributes() {
        let document = b"\xef\xbb\xbf<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<A x=\"1\"><B>a &amp; b&#x41;&#66;<![CDATA[<c>]]></B><C/><D>\n  <E>1</E><E>2</E></D>\
            <Name Encoded=\"true\">a%EF%BF%BEb</Name></A>";
        let root = Element::parse(document).unwrap();
        assert_eq!(root.name, "A");
        assert_eq!(root.value("B").unwrap(), "a & bAB<c>");
        assert_eq!(root.value("C"), None);
        assert_eq!(root.value("Missing"), None);
        assert_eq!(root.children_of("D").iter().map(|e| e.text.as_ref()).collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(root.child("D").unwrap().parsed::<u32>("E"), Some(1));
        assert_eq!(root.value("Name").unwrap(), "a\u{fffe}b");
        let root = Element::parse(b"<A><B>a&#0;b&#xD800;</B></A>").unwrap();
        assert_eq!(root.value("B").unwrap(), "a\0b\0");
    }

    #[test]
    fn white_space_in_names_is_kept() {
        let root = Element::parse(b"<Blob><Name> a  b </Name></Blob>").unwrap();
        assert_eq!(root.value("Name").unwrap(), " a  b ");
    }

    #[test]
    fn damaged_documents_are_refused() {
        for bad in ["", "text", "<A><B></A>", "<A>", "<A>&nbsp;</A>", &"<A>".repeat(100)] {
            assert!(Element::parse(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(Element::parse(b"<A>\xff</A>").is_err());
        let crowded = format!("<A>{}</A>", "<b/>".repeat(MAX_ELEMENTS));
        assert!(Element::parse(crowded.as_bytes()).unwrap_err().contains("elements"));
    }
}
