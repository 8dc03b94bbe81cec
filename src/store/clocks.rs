//! Clocks that differ: a cause of refusals that nobody thinks of, because a signature that is right is refused like one
//! that is wrong.

use std::time::{Duration, SystemTime};

/// Clocks that differ by less are no reason to refuse a request: the service takes dates that are a quarter of an hour
/// off (§2).
const CLOCKS_DIFFER: Duration = Duration::from_secs(5 * 60);

/// Both clocks, if they differ so much that signatures and tokens do not fit the service's.
pub(super) fn clocks(service: Option<SystemTime>, own: SystemTime) -> Option<String> {
    let service = service?;
    let (by, way) = match own.duration_since(service) {
        Ok(ahead) => (ahead, "ahead of"),
        Err(behind) => (behind.duration(), "behind"),
    };
    let [own, theirs] = [own, service].map(httpdate::fmt_http_date);
    let minutes = by.as_secs() / 60;
    (by >= CLOCKS_DIFFER).then(|| {
        format!("this machine's clock is {minutes} min {way} the service's: it says {own}, the service {theirs}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_that_differ_are_named() {
        let service = httpdate::parse_http_date("Mon, 01 Jan 2024 12:00:00 GMT").unwrap();
        let at = |own: SystemTime| clocks(Some(service), own);
        assert_eq!(at(service + Duration::from_secs(299)), None);
        assert_eq!(clocks(None, service), None);
        let behind = "this machine's clock is 20 min behind the service's: it says Mon, 01 Jan 2024 11:40:00 GMT, \
                      the service Mon, 01 Jan 2024 12:00:00 GMT";
        assert_eq!(at(service - Duration::from_secs(1200)).unwrap(), behind);
        assert!(
            at(service + Duration::from_secs(7200)).unwrap().starts_with("this machine's clock is 120 min ahead of")
        );
    }
}
