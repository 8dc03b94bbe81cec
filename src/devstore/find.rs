//! Find Blobs by Tags, in an account or in a container (§6), without the delay of the real index.
//!
//! Blobs come in the order of their containers and names, in pages like those of [`list`](super::list); of its tags a
//! found blob shows those that were searched for.

use super::error::Code;
use super::list::{page_size, write_name};
use super::marker::Marker;
use super::predicate::{CONTAINER, Predicate};
use super::reply::{Outcome, Reply};
use super::request::Call;
use super::server::Server;
use super::tags::Tags;
use super::xml::{Writer, write_tag_set};

/// Find Blobs by Tags, and Find Blobs by Tags in Container.
pub(super) fn by_tags(server: &Server, call: &Call) -> Outcome {
    let asked = call.query.nonempty("where").ok_or(Code::MissingRequiredQueryParameter)?;
    let search = Predicate::of_search(asked)?;
    let marker = call.query.nonempty("marker").map(Marker::decode).transpose()?;
    let from = marker.as_ref().and_then(|marker| marker.name.split_once('/')).unwrap_or_default();
    let endpoint = server.endpoint(&call.account);
    let mut state = server.state(call.now);
    let limit = page_size(call, state.policy.list_page)?;
    let only = call.container().ok();
    if let Some(only) = only {
        state.container(&call.account, only)?;
    }
    let containers = state.containers(&call.account)?.iter();
    let blobs = containers.filter(|(name, _)| only.is_none_or(|only| *name == only)).flat_map(|(name, container)| {
        let blobs = container.blobs.iter().filter_map(|(blob, entry)| Some((blob, &entry.base.as_ref()?.tags)));
        blobs.map(move |(blob, tags)| (name, blob, tags))
    });
    let mut found = blobs.filter(|(container, name, tags)| {
        let value_of = |key: &str| if key == CONTAINER { Some(*container) } else { tags.get(key) };
        let is_searched = !tags.is_empty() && search.holds(|key| value_of(key).map(String::as_str));
        is_searched && (container.as_str(), name.as_str()) >= from
    });

    let mut document = Writer::new();
    document.open("EnumerationResults", &[("ServiceEndpoint", &format!("{endpoint}/"))]);
    document.element("Where", asked);
    document.nest("Blobs", |document| {
        for (container, name, tags) in found.by_ref().take(limit) {
            let shown: Tags = tags.clone().into_iter().filter(|(key, _)| search.names(key)).collect();
            document.nest("Blob", |document| {
                write_name(document, name);
                document.element("ContainerName", container);
                document.nest("Tags", |document| write_tag_set(document, &shown));
            });
        }
    });
    let next = found.next().map(|(container, name, _)| Marker::at(&format!("{container}/{name}")).encode());
    document.element("NextMarker", next.unwrap_or_default());
    document.close("EnumerationResults");
    Ok(Reply::xml(document.finish()))
}
