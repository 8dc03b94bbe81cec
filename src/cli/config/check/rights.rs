//! What a SAS allows, in the words of who uses a mount.

use url::form_urlencoded;

/// The parameters of a SAS that say what it is good for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Sas {
    letters: String,
    /// Of a SAS of the account: services and kinds of resources.
    services: Option<String>,
    kinds: Option<String>,
    /// Of a SAS of a container or less: what.
    resource: Option<String>,
    /// A stored policy says what is not here.
    policy: bool,
}

/// Letters of which one is enough, and what they are for.
const RIGHTS: [(&str, &str); 8] = [
    ("l", "list (ls)"),
    ("r", "read, and copy from here"),
    ("cw", "create files (cp to here)"),
    ("w", "replace files"),
    ("aw", "append"),
    ("d", "delete (rm, mv)"),
    ("t", "tags"),
    ("x", "delete versions"),
];

impl Sas {
    /// Of a token without its question mark.
    pub(super) fn of(token: &str) -> Self {
        let mut sas = Self::default();
        for (name, value) in form_urlencoded::parse(token.as_bytes()) {
            match &*name {
                "sp" => sas.letters = value.into_owned(),
                "ss" => sas.services = Some(value.into_owned()),
                "srt" => sas.kinds = Some(value.into_owned()),
                "sr" => sas.resource = Some(value.into_owned()),
                "si" => sas.policy = true,
                _ => {}
            }
        }
        sas
    }

    /// What it allows and what not, each with the letter that is missing. Nothing where a stored policy says it.
    pub(super) fn rights(&self) -> Option<(Vec<String>, Vec<String>)> {
        if self.letters.is_empty() && self.policy {
            return None;
        }
        let (mut may, mut may_not) = (Vec::new(), Vec::new());
        for (letters, what) in RIGHTS {
            if self.letters.contains(|letter| letters.contains(letter)) {
                may.push(what.to_owned());
            } else {
                let missing: Vec<String> = letters.chars().map(String::from).collect();
                may_not.push(format!("{what}: sp has no {}", missing.join(" or ")));
            }
        }
        Some((may, may_not))
    }

    /// What keeps a mount by it from working.
    pub(super) fn troubles(&self, names_container: bool) -> Vec<String> {
        let mut troubles = Vec::new();
        if self.services.as_ref().is_some_and(|services| !services.contains('b')) {
            troubles.push("the SAS is not for blobs: ss has no b".to_owned());
        }
        if let Some(kinds) = &self.kinds {
            if !kinds.contains('o') {
                troubles.push("the SAS is not for files: srt has no o".to_owned());
            }
            if !kinds.contains('c') {
                troubles.push("the SAS is not for listing what is in a container: srt has no c".to_owned());
            }
            if !kinds.contains('s') && !names_container {
                troubles.push("the SAS is not for listing containers: srt has no s; name a container".to_owned());
            }
        }
        match self.resource.as_deref() {
            Some("b" | "bs" | "bv") => {
                troubles.push("the SAS is for one blob, which cannot be mounted: sr=b".to_owned())
            }
            Some("c" | "d") if !names_container => {
                troubles.push("the SAS is for a container or a directory in it: name that".to_owned());
            }
            _ => {}
        }
        troubles
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[test]
    fn letters_are_told_in_words() {
        let (may, may_not) = Sas::of("sv=1&sp=rl&sig=x").rights().unwrap();
        assert_eq!(may, ["list (ls)", "read, and copy from here"]);
        assert!(may_not.contains(&"create files (cp to here): sp has no c or w".to_owned()), "{may_not:?}");
        assert_eq!(may.len() + may_not.len(), RIGHTS.len());
        let (_, may_not) = Sas::of("sp=racwdxlt").rights().unwrap();
        assert_eq!(may_not, [""; 0]);
        assert_eq!(Sas::of("si=policy").rights(), None);
    }

    #[rstest]
    #[case("sp=rl&ss=b&srt=sco", false, "")]
    #[case("sp=rl&ss=f&srt=sco", false, "ss has no b")]
    #[case("sp=rl&ss=b&srt=c", true, "srt has no o")]
    #[case("sp=rl&ss=b&srt=so", true, "srt has no c")]
    #[case("sp=rl&ss=b&srt=co", false, "name a container")]
    #[case("sp=rl&ss=b&srt=co", true, "")]
    #[case("sp=rl&sr=b", true, "one blob")]
    #[case("sp=rl&sr=c", false, "name that")]
    #[case("sp=rl&sr=c", true, "")]
    fn what_it_is_not_good_for_is_told(#[case] token: &str, #[case] container: bool, #[case] expected: &str) {
        let troubles = Sas::of(token).troubles(container);
        assert_eq!(troubles.is_empty(), expected.is_empty(), "{troubles:?}");
        assert!(troubles.concat().contains(expected), "{troubles:?}");
    }
}
