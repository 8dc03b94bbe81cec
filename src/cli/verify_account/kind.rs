//! What is known of an account, and of the way in which it is asked.

/// The kinds of account that facts are about, and of asking it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Kind {
    pub hierarchical: bool,
    pub versions: bool,
    pub soft_delete: bool,
    pub proof: Proof,
    /// A SAS can be had for a blob.
    pub shares: bool,
    /// The place is a container that was made for it, so that others can be made.
    pub makes_containers: bool,
    pub second: Option<Second>,
}

impl Kind {
    /// All kinds that are like this one in what is known before anything is asked.
    pub(super) fn all_alike(self) -> impl Iterator<Item = Self> {
        [false, true].into_iter().flat_map(move |hierarchical| {
            [(false, false), (true, false), (false, true)].map(|(versions, soft_delete)| Self {
                hierarchical,
                versions,
                soft_delete,
                ..self
            })
        })
    }

    /// A sentence about the account without its beginning.
    pub(super) fn in_words(self) -> String {
        let mut words = vec![if self.hierarchical { "hierarchical" } else { "flat" }];
        if self.versions {
            words.push("keeps versions");
        }
        if self.soft_delete {
            words.push("keeps deleted blobs for a while");
        }
        words.push(match self.proof {
            Proof::Key => "is asked with its key",
            Proof::Token => "is asked with a token",
            Proof::Sas => "is asked with a SAS",
            Proof::Nothing => "is asked without a credential",
        });
        words.join(", ")
    }
}

/// By what an account is asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Proof {
    Key,
    Token,
    Sas,
    #[default]
    Nothing,
}

/// The account that copies are made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Second {
    Flat,
    Hierarchical,
}
