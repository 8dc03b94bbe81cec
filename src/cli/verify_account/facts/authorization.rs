//! Who may ask, and in which version.

use std::time::{Duration, SystemTime};

use crate::cli::verify_account::fact::{Fact, Of};
use crate::store::sas::Validity;

/// Times of a SAS, as the service writes them.
fn moment(time: SystemTime) -> String {
    jiff::Timestamp::try_from(time).map(|stamp| format!("{stamp:.0}")).unwrap_or_default()
}

const DAY: Duration = Duration::from_secs(24 * 3600);

pub(super) const FACTS: &[Fact] = &[
    Fact {
        id: "S143",
        what: "a private blob without credential, current version of the protocol",
        of: Of::Any,
        requests: 2,
        expected: &["401 NoAuthenticationInformation", "409 PublicAccessNotPermitted"],
        run: |lab| {
            Box::pin(async move {
                lab.put("s143", "a").done().await?;
                Ok(lab.counted(lab.as_nobody().get("s143").send().await)?.outcome())
            })
        },
    },
    Fact {
        id: "S201",
        what: "something that is no token as bearer",
        of: Of::Any,
        requests: 2,
        expected: &["401 InvalidAuthenticationInfo", "400 InvalidAuthenticationInfo"],
        run: |lab| {
            Box::pin(async move {
                lab.put("s201", "a").done().await?;
                let nobody = lab.as_nobody();
                let get = nobody.get("s201").header("authorization", "Bearer no-token");
                Ok(lab.counted(get.send().await)?.outcome())
            })
        },
    },
    Fact {
        id: "S145",
        what: "a SAS that is over",
        of: Of::Key,
        requests: 2,
        expected: &["403 AuthenticationFailed, with the times"],
        run: |lab| {
            Box::pin(async move {
                lab.put("s145", "a").done().await?;
                let now = SystemTime::now();
                let over = Validity { start: Some(moment(now - 2 * DAY)), expiry: moment(now - DAY) };
                let get = lab.counted(lab.with_sas("r", &over)?.get("s145").send().await)?;
                let times = if get.text().contains("Signature not valid in the specified time frame") {
                    "with"
                } else {
                    "without"
                };
                Ok(format!("{}, {times} the times", get.outcome()))
            })
        },
    },
    Fact {
        id: "S146",
        what: "an account SAS for reading, used for writing",
        of: Of::Key,
        requests: 1,
        expected: &["403 AuthorizationPermissionMismatch"],
        run: |lab| {
            Box::pin(async move {
                let reader = lab.with_sas("r", &Validity::for_the_next(DAY))?;
                Ok(lab.counted(reader.put("s146", "a").send().await)?.outcome())
            })
        },
    },
    Fact {
        id: "S151",
        what: "a version of the protocol that there is not: where its code is",
        of: Of::Any,
        requests: 2,
        expected: &["GET 400 InvalidHeaderValue in the body only, HEAD 400"],
        run: |lab| {
            Box::pin(async move {
                let old = lab.in_version("1999-01-01");
                let get = lab.counted(old.get("s151").send().await)?;
                let place = if get.has("x-ms-error-code") { "in a header" } else { "in the body only" };
                let head = lab.counted(old.head("s151").send().await)?;
                Ok(format!("GET {} {} {place}, HEAD {}", get.status(), get.code_in_body(), head.outcome()))
            })
        },
    },
    Fact {
        id: "S152",
        what: "the byte order mark of documents",
        of: Of::Any,
        requests: 1,
        expected: &["there"],
        run: |lab| {
            Box::pin(async move {
                let list = lab.list("s152").done().await?;
                Ok(if list.bytes().starts_with(b"\xef\xbb\xbf") { "there" } else { "missing" }.to_owned())
            })
        },
    },
    Fact {
        id: "S149",
        what: "Get Account Information of the container's path",
        of: Of::Any,
        requests: 1,
        expected: &["200, flat", "200, hierarchical", "not told: 403", "not told: 404"],
        run: |lab| {
            Box::pin(async move {
                let ask = lab.ask_container_as("GET", "account").query("comp", "properties").send().await?;
                Ok(match (ask.status(), ask.header("x-ms-is-hns-enabled")) {
                    (200, "true") => "200, hierarchical".to_owned(),
                    (200, _) => "200, flat".to_owned(),
                    (status, _) => format!("not told: {status}"),
                })
            })
        },
    },
];
