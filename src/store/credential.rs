//! Credentials: the proof that a client may do what it asks for.

use crate::store::entra::Tokens;
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
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
