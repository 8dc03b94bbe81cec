//! Credentials: the proof that a client may do what it asks for, and how long it is one.
//!
//! A [`Credential`] does not change. That of an account does: a SAS ends, a key is replaced, and a mount is to live on.
//! So an account may have a [`CredentialSource`], the place that its credential came from: [`source`] asks there again,
//! before a credential ends ([`crate::store::life`]) and after a refusal that another one may mend. What a SAS says of
//! itself, when it ends and what it is good for, is read here; whether it is genuine only the service knows.

mod notice;
mod source;

use std::fmt;
use std::time::{Duration, SystemTime};

use percent_encoding::percent_decode_str;

pub use notice::Nearing;
pub use source::{CredentialSource, Found, ReadCredential, Reread};
pub(super) use source::{Want, notice};

use crate::store::entra::Tokens;
use crate::store::sas::iso8601;
use crate::store::secret::{AccountKey, Secret};

/// Authorization of an account's requests (§3).
#[derive(Debug, Clone)]
pub enum Credential {
    /// Each request is signed with the account's key.
    SharedKey(AccountKey),
    /// Each URL carries this token, without a leading `?`.
    Sas(Secret),
    /// Containers with public access.
    Anonymous,
    /// Each request carries a token of an Entra ID identity (§3.4).
    Entra(Tokens),
}

impl Credential {
    /// A SAS as users paste it: with or without `?`.
    pub(crate) fn sas(token: &Secret) -> Option<Self> {
        let token = token.expose().trim().trim_start_matches('?').trim_end_matches('&');
        let signed = token.split('&').any(|pair| pair.starts_with("sig=") && pair.len() > 4);
        signed.then(|| Self::Sas(Secret::new(token)))
    }

    /// A key or a SAS, alone or at the end of a URL: whatever a tool prints.
    pub(crate) fn printed(text: &str) -> Option<Self> {
        let text = text.trim();
        if text.contains("sig=") {
            let token = text.rsplit_once('?').map_or(text, |(_, token)| token);
            let one_line = !token.contains(char::is_whitespace);
            return one_line.then(|| Self::sas(&token.into())).flatten();
        }
        AccountKey::parse(text).map(Self::SharedKey)
    }

    /// The moment from which on the service refuses it; `None` if it has no end, or one that is not told: a stored
    /// policy may have it.
    pub fn ends(&self) -> Option<SystemTime> {
        let Self::Sas(token) = self else { return None };
        // It is not good for longer than the key that signed it in an identity's name.
        ["se", "ske"].into_iter().filter_map(|name| moment(&field(token, name)?)).min()
    }

    /// That its time is over or has not come, with both moments; `None` if it is good now, as far as that is told.
    pub(crate) fn out_of_time(&self, now: SystemTime) -> Option<String> {
        let Self::Sas(token) = self else { return None };
        let begins = ["st", "skt"].into_iter().filter_map(|name| moment(&field(token, name)?)).max();
        match (self.ends(), begins) {
            (Some(end), _) if end <= now => Some(format!("ended at {}, and it is {}", shown(end), shown(now))),
            (_, Some(begin)) if begin > now => {
                Some(format!("is not valid before {}, and it is {}", shown(begin), shown(now)))
            }
            _ => None,
        }
    }

    /// The permission letters of a SAS; `None` if what it is good for is not told.
    pub fn permissions(&self) -> Option<String> {
        let Self::Sas(token) = self else { return None };
        field(token, "sp").filter(|letters| !letters.is_empty())
    }

    /// The services that the SAS of an account is good for, if it says so and blobs are not among them.
    pub fn other_services(&self) -> Option<String> {
        let Self::Sas(token) = self else { return None };
        field(token, "ss").filter(|services| !services.contains('b'))
    }

    /// The same proof, so that nothing is gained by asking with it.
    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::SharedKey(one), Self::SharedKey(other)) => one.sign("") == other.sign(""),
            (Self::Sas(one), Self::Sas(other)) => one == other,
            (Self::Anonymous, Self::Anonymous) => true,
            (Self::Entra(one), Self::Entra(other)) => one.identity() == other.identity(),
            _ => false,
        }
    }
}

/// What it is, as a person knows it. No secret is in it.
impl fmt::Display for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SharedKey(_) => write!(f, "key"),
            Self::Sas(_) => write!(f, "SAS"),
            Self::Anonymous => write!(f, "anonymous access"),
            Self::Entra(tokens) => write!(f, "token of the {}", tokens.identity()),
        }
    }
}

/// A parameter of a SAS, decoded.
fn field(token: &Secret, name: &str) -> Option<String> {
    Some(percent_decode_str(token.field(name)?).decode_utf8().ok()?.into_owned())
}

/// A time of a SAS (§3.3): a date, or a date and a time of UTC, down to minutes or further.
fn moment(text: &str) -> Option<SystemTime> {
    let text = if text.contains('T') { text.to_owned() } else { format!("{text}T00:00:00Z") };
    let seconds = text.parse::<jiff::Timestamp>().ok()?.as_second();
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(u64::try_from(seconds).ok()?))
}

/// A moment as messages name it.
pub(super) fn shown(moment: SystemTime) -> String {
    iso8601(moment)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[test]
    fn secrets_do_not_show() {
        let key = AccountKey::parse("c2VjcmV0").unwrap();
        let sas = Credential::sas(&"?sv=1&sig=abc".into()).unwrap();
        let shown = format!("{:?} {} {key:?} {sas:?}", Secret::new("abc"), Secret::new("abc"));
        assert_eq!(shown, "*** *** *** Sas(***)");
    }

    #[test]
    fn a_sas_needs_a_signature() {
        assert!(
            matches!(Credential::sas(&"?sv=1&sig=a%3D&".into()), Some(Credential::Sas(s)) if s.expose() == "sv=1&sig=a%3D")
        );
        assert!(Credential::sas(&"sv=1&sp=r".into()).is_none());
        assert!(Credential::sas(&"sig=".into()).is_none());
    }

    #[test]
    fn what_a_tool_prints_is_a_key_or_a_sas() {
        let sas = |text: &str| match Credential::printed(text) {
            Some(Credential::Sas(token)) => token.expose().to_owned(),
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(sas("sv=1&sig=a%3D\n"), "sv=1&sig=a%3D");
        assert_eq!(sas("https://acct.blob.core.windows.net/c?sv=1&sig=a\r\n"), "sv=1&sig=a");
        assert!(matches!(Credential::printed(" c2VjcmV0\n"), Some(Credential::SharedKey(_))));
        for nothing in ["", "\n", "no such secret", "a warning\nsv=1&sig=a"] {
            assert!(Credential::printed(nothing).is_none(), "{nothing}");
        }
    }

    #[rstest]
    #[case("se=2029-12-31", Some("ended at 2029-12-31T00:00:00Z, and it is 2030-01-01T00:00:00Z"))]
    #[case(
        "st=2030-01-02&se=2031-01-01",
        Some("is not valid before 2030-01-02T00:00:00Z, and it is 2030-01-01T00:00:00Z")
    )]
    #[case("st=2029-01-01&se=2031-01-01", None)]
    #[case("si=policy", None)]
    fn a_sas_says_when_it_is_good(#[case] text: &str, #[case] expected: Option<&str>) {
        let sas = Credential::sas(&format!("sv=1&{text}&sig=x").as_str().into()).unwrap();
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_893_456_000);
        assert_eq!(sas.out_of_time(now).as_deref(), expected);
    }

    #[rstest]
    #[case("se=2030-01-01T00%3A00%3A00Z", Some(1_893_456_000))]
    #[case("se=2030-01-01T00:00Z", Some(1_893_456_000))]
    #[case("se=2030-01-01", Some(1_893_456_000))]
    #[case("se=2030-01-01T00:00:00.0000000Z", Some(1_893_456_000))]
    #[case("se=2030-01-02&ske=2030-01-01T00:00:00Z", Some(1_893_456_000))]
    #[case("si=policy", None)]
    #[case("se=soon", None)]
    fn the_end_of_a_sas_is_known(#[case] text: &str, #[case] expected: Option<u64>) {
        let sas = Credential::sas(&format!("sv=1&{text}&sig=x").as_str().into()).unwrap();
        let seconds = |end: SystemTime| end.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        assert_eq!(sas.ends().map(seconds), expected);
    }
}
