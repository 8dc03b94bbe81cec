//! Markers: where the next page of a listing begins, in an encoding that clients have no business reading.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::error::{Code, ServiceError};

/// Begins a marker.
const MARKER: &str = "2!";

/// The place where a listing goes on: the name of its first item, and the moment if that is a snapshot or an earlier
/// version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Marker {
    pub name: String,
    /// Of a deletion its id.
    pub moment: Option<String>,
    /// A prefix that was listed and is listed again (S83).
    pub again: Option<String>,
}

impl Marker {
    pub(super) fn at(name: &str) -> Marker {
        Marker { name: name.to_owned(), moment: None, again: None }
    }

    pub(super) fn of_deletion(name: &str, id: u64) -> Marker {
        Marker { moment: Some(id.to_string()), ..Marker::at(name) }
    }

    /// Name and id of a deletion.
    pub(super) fn place(&self) -> (&str, u64) {
        (&self.name, self.moment.as_deref().and_then(|id| id.parse().ok()).unwrap_or(0))
    }

    /// Says how long it is, as those of the service do.
    pub(super) fn encode(&self) -> String {
        let [moment, again] = [&self.moment, &self.again].map(|text| text.as_deref().unwrap_or(""));
        let text = URL_SAFE_NO_PAD.encode(format!("{moment}\n{again}\n{}", self.name));
        format!("{MARKER}{}!{text}", text.len())
    }

    /// One that was made up is another error than one that was cut off (S175).
    pub(super) fn decode(sent: &str) -> Result<Marker, ServiceError> {
        let invented = || ServiceError::invalid_query("marker", sent);
        let (length, text) = sent.strip_prefix(MARKER).and_then(|sent| sent.split_once('!')).ok_or_else(invented)?;
        if length.parse() != Ok(text.len()) {
            return Err(Code::InvalidInput.into());
        }
        let decoded = URL_SAFE_NO_PAD.decode(text).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let decoded = decoded.ok_or_else(invented)?;
        let [moment, again, name] = decoded.splitn(3, '\n').collect::<Vec<_>>().try_into().map_err(|_| invented())?;
        let [moment, again] = [moment, again].map(|text| (!text.is_empty()).then(|| text.to_owned()));
        Ok(Marker { name: name.to_owned(), moment, again })
    }
}
