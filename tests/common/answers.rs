//! What the service answers in this run of the tests where nobody knows.
//!
//! The real service may give any answer that `blobcp::devstore::Choice` has, so what is tested on a mount is tested
//! under each. `BLOBCP_TEST_AS` says which: `KEY=VALUE,…` as of `devstore --as`, or a number. Run 1 takes the first
//! unusual answer to each question, run 2 the second, and so on, the last one where there are fewer: so there are no more
//! runs than the question with the most answers has, and all unusual answers meet each other. `scripts/test` does these
//! runs, and `answers::every_answer_is_one_of_a_run` sees that it does them all.

use blobcp::devstore::{Answers, Choice};

/// Tests that are about the usual answer to a question: it is given to them in every run. A test, or all of a module;
/// the key of the question; and the reason. What a client must do under other answers is shown elsewhere.
pub const USUAL: &[(&str, &str, &str)] = &[
    ("rename::", "account-information", UNTOLD),
    ("immutable::where_versions_are_kept_files_are_written_as_ever", "account-information", UNTOLD),
    ("snapshots::the_past_follows_a_renamed_directory", "account-information", UNTOLD),
    ("stat::fifos_and_sockets_are_blobs_that_say_so", "account-information", UNTOLD),
    ("budgets::", "account-information", ASKED),
    ("programs::", "account-information", ASKED),
    ("hns::a_directory_that_the_service_moves_in_parts_takes_a_request_for_each", "stamp-of-rename", LOOKED_AT),
    ("hns::mv_of_a_directory_of_a_thousand_files_is_one_request", "stamp-of-rename", LOOKED_AT),
    ("hns::mv_of_a_file_is_one_request", "stamp-of-rename", LOOKED_AT),
    ("hns::mv_over_a_file_is_one_request", "stamp-of-rename", LOOKED_AT),
    ("hns::mv_over_a_file_is_one_request", "lease-on-replaced", "where a leased file is not replaced, mv is refused"),
    ("hns::mv_to_another_container_is_one_request", "stamp-of-rename", LOOKED_AT),
    (
        "granted::rm_of_what_is_being_copied_ends_the_copy_and_moves_nothing",
        "pending-destination",
        "where the service deletes the destination, nothing is aborted, and cp hears that it is gone",
    ),
];

const ASKED: &str = "where nobody tells the kind of the account, a rename asks once more";
const LOOKED_AT: &str = "where the answer does not say what the file is now, somebody looks (hns, answers)";
const UNTOLD: &str = "where nobody tells the kind of the account, directories are not renamed (hns_kind)";

/// The answers of a numbered run.
pub fn of_run(number: usize) -> Answers {
    let all = Choice::all();
    all.chunk_by(|a, b| a.key() == b.key()).map(|answers| answers[number.min(answers.len() - 1)]).collect()
}

/// The number of runs after which each answer was given.
pub fn runs() -> usize {
    let all = Choice::all();
    all.chunk_by(|a, b| a.key() == b.key()).map(|answers| answers.len() - 1).max().unwrap_or(0)
}

/// The answers of this run for the test that asks.
pub(super) fn of_this_run() -> Answers {
    let said = std::env::var("BLOBCP_TEST_AS").unwrap_or_default();
    let mut answers = match said.parse() {
        Ok(number) => of_run(number),
        Err(_) => said.split(',').filter(|choice| !choice.is_empty()).map(chosen).collect(),
    };
    // A test's own thread is called as the test is.
    let thread = std::thread::current();
    let test = thread.name().unwrap_or_default();
    for (_, key, _) in USUAL.iter().filter(|(of, ..)| test == *of || of.ends_with("::") && test.starts_with(of)) {
        answers.choose(usual(key));
    }
    answers
}

fn chosen(choice: &str) -> Choice {
    choice.parse().unwrap()
}

/// The usual answer to a question.
pub fn usual(key: &str) -> Choice {
    Choice::all().into_iter().find(|choice| choice.key() == key).unwrap()
}
