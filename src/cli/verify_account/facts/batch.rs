//! Blob Batch, which blobcp does not send; other clients that rest on the same facts do.

use std::time::Duration;

use crate::cli::verify_account::fact::Fact;
use crate::cli::verify_account::fact::Need::{Flat, Key};
use crate::cli::verify_account::lab::Lab;
use crate::error::Result;
use crate::store::Secret;
use crate::store::sas::Validity;

const HOUR: Duration = Duration::from_secs(3600);

/// A batch of Delete Blob for each of `names`, each with the SAS.
fn batch(lab: &Lab, names: &[&str], sas: &Secret) -> Result<String> {
    let mut body = String::new();
    for (id, name) in names.iter().enumerate() {
        let url = lab.url(name)?;
        let path = url.splitn(4, '/').nth(3).unwrap_or_default();
        body += &format!(
            "--batch_1\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\nContent-ID: {id}\r\n\r\n\
             DELETE /{path}?{} HTTP/1.1\r\nContent-Length: 0\r\n\r\n\r\n",
            sas.expose()
        );
    }
    Ok(body + "--batch_1--\r\n")
}

/// Status and code of each part of an answer.
fn outcomes(text: &str) -> Vec<String> {
    let parts = text.split("HTTP/1.1 ").skip(1).map(|part| {
        let code = part.lines().find_map(|line| line.split_once(": ").filter(|(name, _)| is_code(name)));
        let status = part.split(' ').next().unwrap_or_default();
        format!("{status} {}", code.map_or("", |(_, code)| code)).trim_end().to_owned()
    });
    parts.collect()
}

fn is_code(header: &str) -> bool {
    header.eq_ignore_ascii_case("x-ms-error-code")
}

pub(super) const FACTS: &[Fact] = &[Fact {
    ids: &["S155"],
    what: "Blob Batch: Delete Blob of a blob, and of what is not there",
    needs: &[Flat, Key],
    // Each part of a batch is one, and so is the batch.
    requests: 4,
    expected: &["202 multipart/mixed: 202 / 404 BlobNotFound, no etag"],
    run: |lab| {
        Box::pin(async move {
            lab.put("s155", "a").done().await?;
            let sas = lab.sas("d", &Validity::for_the_next(HOUR))?;
            let names = ["s155", "s155-nothing"];
            let ask = lab.ask_container("POST").query("comp", "batch").body(batch(lab, &names, &sas)?);
            let ask = ask.header("content-type", "multipart/mixed; boundary=batch_1");
            let answer = ask.holding(2).send().await?;
            let kind = answer.header("content-type").split(';').next().unwrap_or_default();
            let text = answer.text();
            let mut seen = outcomes(&text);
            seen.sort();
            let etag = if text.to_lowercase().contains("etag:") { "an etag" } else { "no etag" };
            Ok(format!("{} {kind}: {}, {etag}", answer.status(), seen.join(" / ")))
        })
    },
}];
