//! Who may ask, and in which version.

use std::time::{Duration, SystemTime};

use crate::cli::verify_account::fact::Fact;
use crate::cli::verify_account::fact::Need::{Key, Token};
use crate::store::sas::Validity;

/// Times of a SAS, as the service writes them.
fn moment(time: SystemTime) -> String {
    jiff::Timestamp::try_from(time).map(|stamp| format!("{stamp:.0}")).unwrap_or_default()
}

const DAY: Duration = Duration::from_secs(24 * 3600);

pub(super) const FACTS: &[Fact] = &[
    Fact {
        ids: &["S143"],
        what: "a private blob without credential, current version of the protocol",
        needs: &[],
        requests: 2,
        expected: &["401 NoAuthenticationInformation", "409 PublicAccessNotPermitted"],
        run: |lab| {
            Box::pin(async move {
                lab.put("s143", "a").done().await?;
                Ok(lab.as_nobody().get("s143").send().await?.outcome())
            })
        },
    },
    Fact {
        ids: &["S201"],
        what: "something that is no token as bearer",
        needs: &[],
        requests: 2,
        expected: &["401 InvalidAuthenticationInfo", "400 InvalidAuthenticationInfo"],
        run: |lab| {
            Box::pin(async move {
                lab.put("s201", "a").done().await?;
                let nobody = lab.as_nobody();
                let get = nobody.get("s201").header("authorization", "Bearer no-token");
                Ok(get.send().await?.outcome())
            })
        },
    },
    Fact {
        ids: &["S145"],
        what: "a SAS that is over",
        needs: &[Key],
        requests: 2,
        expected: &["403 AuthenticationFailed, with the times"],
        run: |lab| {
            Box::pin(async move {
                lab.put("s145", "a").done().await?;
                let now = SystemTime::now();
                let over = Validity { start: Some(moment(now - 2 * DAY)), expiry: moment(now - DAY) };
                let get = lab.with_sas("r", &over)?.get("s145").send().await?;
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
        ids: &["S146"],
        what: "an account SAS for reading, used for writing",
        needs: &[Key],
        requests: 1,
        expected: &["403 AuthorizationPermissionMismatch"],
        run: |lab| {
            Box::pin(async move {
                let reader = lab.with_sas("r", &Validity::for_the_next(DAY))?;
                Ok(reader.put("s146", "a").send().await?.outcome())
            })
        },
    },
    Fact {
        ids: &["S151"],
        what: "a version of the protocol that there is not: where its code is",
        needs: &[],
        requests: 2,
        expected: &["GET 400 InvalidHeaderValue in the body only, HEAD 400"],
        run: |lab| {
            Box::pin(async move {
                let old = lab.in_version("1999-01-01");
                let get = old.get("s151").send().await?;
                let place = if get.has("x-ms-error-code") { "in a header" } else { "in the body only" };
                let head = old.head("s151").send().await?;
                Ok(format!("GET {} {} {place}, HEAD {}", get.status(), get.code_in_body(), head.outcome()))
            })
        },
    },
    Fact {
        ids: &["S152"],
        what: "the byte order mark of documents",
        needs: &[],
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
        ids: &["S149"],
        what: "Get Account Information of the container's path",
        needs: &[],
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
    Fact {
        ids: &["S144"],
        what: "something that is no token as bearer, in 2018-11-09",
        needs: &[],
        requests: 1,
        expected: &["400 InvalidAuthenticationInfo"],
        run: |lab| {
            Box::pin(async move {
                let nobody = lab.as_nobody().in_version("2018-11-09");
                Ok(nobody.get("s144").header("authorization", "Bearer no-token").send().await?.outcome())
            })
        },
    },
    Fact {
        ids: &["S147"],
        what: "elements of a user delegation key, if the identity gets one",
        needs: &[Token],
        requests: 1,
        expected: &[
            "SignedOid, SignedTid, SignedStart, SignedExpiry, SignedService, SignedVersion, Value",
            "403 AuthorizationPermissionMismatch",
        ],
        run: |lab| {
            Box::pin(async move {
                let now = SystemTime::now();
                let body = format!(
                    "<?xml version=\"1.0\" encoding=\"utf-8\"?><KeyInfo><Start>{}</Start><Expiry>{}</Expiry></KeyInfo>",
                    moment(now),
                    moment(now + DAY)
                );
                let ask = lab.ask_account("POST").query("restype", "service").query("comp", "userdelegationkey");
                let key = ask.header("content-type", "application/xml").body(body).send().await?;
                if key.status() != 200 {
                    return Ok(key.outcome());
                }
                let text = key.text();
                let inside = text.split_once("<UserDelegationKey>").map_or("", |(_, rest)| rest);
                let names =
                    inside.split('<').filter(|part| !part.starts_with('/')).filter_map(|part| part.split('>').next());
                Ok(names.filter(|name| !name.is_empty()).collect::<Vec<_>>().join(", "))
            })
        },
    },
    Fact {
        ids: &["S148"],
        what: "Get Account Information of the account, with a token: open today",
        needs: &[Token],
        requests: 1,
        expected: &["not told: 404", "not told: 403", "told"],
        run: |lab| {
            Box::pin(async move {
                let ask = lab.ask_account("GET").query("restype", "account").query("comp", "properties");
                let seen = ask.send().await?;
                Ok(match seen.status() {
                    200 => "told".to_owned(),
                    status => format!("not told: {status}"),
                })
            })
        },
    },
    Fact {
        ids: &["S200"],
        what: "List Blobs of a container that is not there, with a role on the account or on a container",
        needs: &[Token],
        requests: 1,
        expected: &["404 ContainerNotFound", "403 AuthorizationPermissionMismatch", "403 AuthorizationFailure"],
        run: |lab| {
            Box::pin(async move {
                let nowhere = lab.in_container("s200")?;
                Ok(nowhere.list("").send().await?.outcome())
            })
        },
    },
];
