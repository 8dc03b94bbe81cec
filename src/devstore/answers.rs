//! Questions about the real service that nobody can answer yet, or that it answers in two ways, and how this server
//! answers them.
//!
//! A client must be safe under every answer that is possible (`docs/service-facts.md`), so this server can give each of
//! them: one row of the table below is one question, with its key on the command line and the answers there are. The
//! first is the one that is given unless another is chosen: the one that is more likely, or seen more often.
//!
//! [`Answers`] is what a server goes by; a [`Choice`] is one answer, as somebody chooses it by `KEY=VALUE`.

use std::fmt;
use std::str::FromStr;

macro_rules! answers {
    ($(
        $(#[doc = $about:literal])+
        $field:ident: $question:ident = $key:literal {
            $($(#[doc = $meaning:literal])+ $answer:ident = $value:literal,)+
        }
    )*) => {
        $(
            $(#[doc = $about])+
            #[derive(Debug, Clone, Copy, PartialEq, Eq)]
            pub enum $question { $($(#[doc = $meaning])+ $answer,)+ }

            impl Default for $question {
                fn default() -> $question {
                    [$($question::$answer,)+][0]
                }
            }

            impl $question {
                fn value(self) -> &'static str {
                    match self { $($question::$answer => $value,)+ }
                }
            }
        )*

        /// The answer to each question.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub struct Answers { $($(#[doc = $about])+ pub $field: $question,)* }

        /// The answer to one question. `Display` and `FromStr` are `KEY=VALUE`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Choice { $($(#[doc = $about])+ $question($question),)* }

        impl Answers {
            /// Answers one question otherwise.
            pub fn choose(&mut self, choice: Choice) {
                match choice { $(Choice::$question(answer) => self.$field = answer,)* }
            }
        }

        impl Choice {
            /// All answers to all questions, question by question, the usual one first.
            pub fn all() -> Vec<Choice> {
                vec![$($(Choice::$question($question::$answer),)+)*]
            }

            /// The name of the question.
            pub fn key(self) -> &'static str {
                match self { $(Choice::$question(_) => $key,)* }
            }

            /// The name of the answer.
            pub fn value(self) -> &'static str {
                match self { $(Choice::$question(answer) => answer.value(),)* }
            }

            /// The question.
            pub fn about(self) -> &'static str {
                match self { $(Choice::$question(_) => concat!($($about),+).trim(),)* }
            }
        }
    };
}

answers! {
    /// Whether a request for the kind of the account is answered (S148).
    account_information: AccountInformation = "account-information" {
        /// 200.
        Told = "told",
        /// 404, as it once was for tokens.
        NotFound = "not-found",
    }
    /// What Set Blob Metadata does to the state of the last copy (S157).
    copy_state: CopyStateAfterMetadata = "copy-state-after-set-metadata" {
        /// All of it is gone.
        Removed = "removed",
        /// It stays.
        Kept = "kept",
    }
    /// What of a source's signature is in `x-ms-copy-source` (S6).
    copy_source_signature: CopySourceSignature = "copy-source-signature" {
        /// All of it after Copy Blob From URL, and after Copy Blob all but the signature proper.
        ByOperation = "by-operation",
        /// All but the signature proper.
        Stripped = "stripped",
        /// All of it.
        Kept = "kept",
    }
    /// Creation time of an append or page blob that a copy overwrites (S29).
    creation_time: CreationTimeOfOverwritten = "creation-time-of-overwritten" {
        /// That of what was there.
        Kept = "kept",
        /// That of the copy.
        New = "new",
    }
    /// Which writes of whom has the lease are done though `If-None-Match: *` is not met (S58).
    lease_guard: LeaseGuard = "lease-overrules-if-none-match" {
        /// Put Blob of a blob with a finite lease.
        FinitePutBlob = "finite-put-blob",
        /// Put Blob, whatever the lease.
        PutBlob = "put-blob",
        /// Every write, whatever the lease.
        EveryWrite = "every-write",
    }
}

/// A text that is no answer to any question.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is none of these: {}", all().map(|(key, values, _)| format!("{key}={values}")).collect::<Vec<_>>().join(", "))]
pub struct InvalidChoice {
    text: String,
}

impl FromStr for Choice {
    type Err = InvalidChoice;

    fn from_str(text: &str) -> Result<Choice, InvalidChoice> {
        let found = Choice::all().into_iter().find(|choice| choice.to_string() == text);
        found.ok_or_else(|| InvalidChoice { text: text.to_owned() })
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.key(), self.value())
    }
}

impl FromIterator<Choice> for Answers {
    fn from_iter<T: IntoIterator<Item = Choice>>(choices: T) -> Answers {
        let mut answers = Answers::default();
        choices.into_iter().for_each(|choice| answers.choose(choice));
        answers
    }
}

/// Key, answers with the usual one first, and text of each question.
fn all() -> impl Iterator<Item = (&'static str, String, &'static str)> {
    let all = Choice::all();
    let questions: Vec<_> = all
        .chunk_by(|a, b| a.key() == b.key())
        .map(|answers| {
            let values: Vec<_> = answers.iter().map(|answer| answer.value()).collect();
            (answers[0].key(), values.join("|"), answers[0].about())
        })
        .collect();
    questions.into_iter()
}

/// The questions and their answers, as a list for people.
pub fn questions() -> String {
    all().map(|(key, values, about)| format!("  {key}={values}\n          {about}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_answer_is_chosen_by_its_name() {
        for choice in Choice::all() {
            assert_eq!(choice.to_string().parse(), Ok(choice));
            let chosen: Answers = [choice].into_iter().collect();
            let usual: Vec<_> = Choice::all().into_iter().filter(|other| other.key() == choice.key()).collect();
            assert_eq!(chosen == Answers::default(), usual[0] == choice, "{choice}");
        }
    }

    #[test]
    fn what_is_no_answer_is_told_the_answers() {
        for wrong in ["", "copy-source-signature", "copy-source-signature=", "copy-source-signature=gone", "x=kept"] {
            let error = wrong.parse::<Choice>().unwrap_err().to_string();
            assert!(error.contains("copy-source-signature=by-operation|stripped|kept"), "{error}");
        }
    }
}
