//! What a new file gets beside its content, where somebody chooses it before the file is stored: properties, metadata,
//! tags and tier travel with the first commit, and cost no request of their own.
//!
//! | then | it is |
//! |---|---|
//! | the content is committed | sent along |
//! | the service refuses it so | sent without, so that no content is lost for it, and whoever closes the file hears why |
//! | a whole blob is copied into the file | nothing, if all of it is the source's as well; or else the blob is copied in blocks, and gets the source's with what was chosen over it |

use std::sync::Arc;

use crate::error::Error;
use crate::fs::content::handle::FileState;
use crate::store::{BlobProperties, BlobSettings, ContentHeaders, Tags};

/// All but the hash, which nobody chooses.
fn fields(headers: &mut ContentHeaders) -> [&mut Option<String>; 5] {
    let ContentHeaders {
        content_type,
        cache_control,
        content_encoding,
        content_language,
        content_disposition,
        content_md5: _,
    } = headers;
    [content_type, cache_control, content_encoding, content_language, content_disposition]
}

/// What of `chosen` was chosen: all that differs from what the file would have `anew`.
pub(in crate::fs) fn lay_over(settings: &mut BlobSettings, chosen: &BlobSettings, anew: &BlobSettings) {
    let (mut of_chosen, mut of_anew) = (chosen.headers.clone(), anew.headers.clone());
    let headers = fields(&mut settings.headers).into_iter().zip(fields(&mut of_chosen)).zip(fields(&mut of_anew));
    for ((header, chosen), anew) in headers {
        if chosen != anew {
            *header = chosen.take();
        }
    }
    for (name, value) in chosen.metadata.iter() {
        settings.metadata.set(name, value);
    }
    settings.tags = tags_over(&settings.tags, &chosen.tags);
    if chosen.tier.is_some() {
        settings.tier.clone_from(&chosen.tier);
    }
}

/// Tags, and others that are instead of those with their names.
pub(in crate::fs) fn tags_over(tags: &Tags, others: &Tags) -> Tags {
    let stays = |(name, _): &&(String, String)| !others.iter().any(|(other, _)| other == name);
    tags.iter().filter(stays).chain(others).cloned().collect()
}

/// The service does not want it so; the content may be welcome without.
pub(in crate::fs) fn may_be_of_what_was_chosen(error: &Error) -> bool {
    let is_of_the_request = !matches!(error.status(), 401 | 404 | 408 | 409 | 412 | 429);
    (400..500).contains(&error.status()) && is_of_the_request || error.is_of_a_hierarchical_namespace()
}

impl FileState {
    /// A whole blob is to be copied into the new file, which would be as `anew` if nothing was chosen. True if a Copy Blob
    /// does it: nothing was chosen that this would not bring along. What was chosen is over the source's from now on.
    pub(in crate::fs) fn comes_along(&mut self, anew: &BlobSettings, source: &BlobProperties, tags: Tags) -> bool {
        let Some(chosen) = self.chosen.clone() else { return true };
        let copied = Self::settings_after(source, tags);
        let mut wanted = copied.clone();
        lay_over(&mut wanted, &chosen, anew);
        let sorted = |settings: &BlobSettings| {
            let mut settings = settings.clone();
            settings.tags.sort();
            // The copy is told.
            settings.tier = None;
            settings
        };
        let same = sorted(&wanted) == sorted(&copied);
        // Until the copy has begun: it may come to nothing, and be made otherwise.
        self.chosen = Some(Arc::new(wanted));
        same
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(content_type: &str, tier: Option<&str>) -> BlobSettings {
        let headers = ContentHeaders { content_type: Some(content_type.into()), ..Default::default() };
        BlobSettings { headers, tier: tier.map(str::to_owned), ..Default::default() }
    }

    #[test]
    fn what_a_name_stands_for_is_not_chosen() {
        let anew = settings("text/plain", None);
        let mut copied = settings("image/png", None);
        copied.tags = vec![("a".into(), "1".into()), ("b".into(), "2".into())];
        copied.metadata.set("color", "blue");
        let mut chosen = settings("text/plain", Some("Cool"));
        chosen.headers.cache_control = Some("no-store".into());
        chosen.metadata.set("Color", "red");
        chosen.tags = vec![("a".into(), "3".into())];
        lay_over(&mut copied, &chosen, &anew);
        assert_eq!(copied.headers.content_type.as_deref(), Some("image/png"));
        assert_eq!(copied.headers.cache_control.as_deref(), Some("no-store"));
        assert_eq!(copied.metadata.get("color"), Some("red"));
        assert_eq!(copied.tags, [("b".into(), "2".into()), ("a".into(), "3".into())]);
        assert_eq!(copied.tier.as_deref(), Some("Cool"));
    }
}
