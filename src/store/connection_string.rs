//! Connection strings (§1.2): `key=value` pairs joined by `;`.

use reqwest::Url;

use crate::path::meant;
use crate::store::secret::Secret;

/// The account and key that every emulator knows; they are public.
const DEVELOPMENT_ACCOUNT: &str = "devstoreaccount1";
const DEVELOPMENT_KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// Names of parts, also of those that say nothing of blobs.
const NAMES: [&str; 15] = [
    "DefaultEndpointsProtocol",
    "AccountName",
    "AccountKey",
    "SharedAccessSignature",
    "EndpointSuffix",
    "BlobEndpoint",
    "BlobSecondaryEndpoint",
    "QueueEndpoint",
    "QueueSecondaryEndpoint",
    "TableEndpoint",
    "TableSecondaryEndpoint",
    "FileEndpoint",
    "FileSecondaryEndpoint",
    "UseDevelopmentStorage",
    "DevelopmentStorageProxyUri",
];

/// Parts of a connection string, not yet validated.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Parts {
    pub name: Option<String>,
    pub key: Option<Secret>,
    pub sas: Option<Secret>,
    pub endpoint: Option<String>,
}

/// Takes a connection string apart. Errors name the part by its key or number, never by its content.
pub(super) fn parse(text: &str) -> Result<Parts, String> {
    let mut parts = Parts::default();
    let (mut protocol, mut suffix) = ("https", "core.windows.net");
    let (mut development, mut development_host) = (false, None);
    for (number, part) in text.split(';').map(str::trim).filter(|part| !part.is_empty()).enumerate() {
        // A key ends in `=` itself, so only the first one separates.
        let (key, value) = part.split_once('=').ok_or_else(|| format!("part {} has no '='", number + 1))?;
        let value = value.trim();
        match key.trim().to_ascii_lowercase().as_str() {
            _ if value.is_empty() => {}
            "defaultendpointsprotocol" => {
                protocol = match value.to_ascii_lowercase().as_str() {
                    "http" => "http",
                    "https" => "https",
                    _ => return Err("DefaultEndpointsProtocol must be http or https".into()),
                }
            }
            "accountname" => parts.name = Some(value.to_owned()),
            "accountkey" => parts.key = Some(Secret::new(value)),
            "sharedaccesssignature" => parts.sas = Some(Secret::new(value)),
            "endpointsuffix" => suffix = value,
            "blobendpoint" => parts.endpoint = Some(value.to_owned()),
            "usedevelopmentstorage" => development = value.eq_ignore_ascii_case("true"),
            "developmentstorageproxyuri" => development_host = Some(value),
            name if NAMES.iter().any(|known| known.eq_ignore_ascii_case(name)) => {}
            // Others may have parts of their own, but one that is nearly ours is a slip that would be paid for later.
            name => {
                if let Some(meant) = meant(name, NAMES) {
                    return Err(format!("part {} is called {}; did you mean {meant}?", number + 1, key.trim()));
                }
            }
        }
    }
    if development {
        return development_storage(development_host);
    }
    match (&parts.endpoint, &parts.name) {
        (Some(_), _) => {}
        (None, Some(name)) => parts.endpoint = Some(format!("{protocol}://{name}.blob.{suffix}")),
        (None, None) => return Err("neither AccountName nor BlobEndpoint is given".into()),
    }
    Ok(parts)
}

fn development_storage(host: Option<&str>) -> Result<Parts, String> {
    let origin = match host {
        None => "http://127.0.0.1".to_owned(),
        Some(uri) => {
            let uri = Url::parse(uri).map_err(|e| format!("DevelopmentStorageProxyUri is not a URL: {e}"))?;
            let host = uri.host_str().ok_or("DevelopmentStorageProxyUri names no host")?;
            format!("{}://{host}", uri.scheme())
        }
    };
    Ok(Parts {
        name: Some(DEVELOPMENT_ACCOUNT.to_owned()),
        key: Some(Secret::new(DEVELOPMENT_KEY)),
        sas: None,
        endpoint: Some(format!("{origin}:10000/{DEVELOPMENT_ACCOUNT}")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::key(
        "DefaultEndpointsProtocol=https;AccountName=acct;AccountKey=a2V5==;EndpointSuffix=core.windows.net",
        Some("acct"),
        Some("a2V5=="),
        None,
        "https://acct.blob.core.windows.net"
    )]
    #[case::defaults(
        "AccountName=acct;AccountKey=a2V5",
        Some("acct"),
        Some("a2V5"),
        None,
        "https://acct.blob.core.windows.net"
    )]
    #[case::any_case(
        "ACCOUNTNAME=acct;accountkey=a2V5",
        Some("acct"),
        Some("a2V5"),
        None,
        "https://acct.blob.core.windows.net"
    )]
    #[case::other_cloud(
        "AccountName=acct;AccountKey=a2V5;EndpointSuffix=core.chinacloudapi.cn;Unknown=1;",
        Some("acct"),
        Some("a2V5"),
        None,
        "https://acct.blob.core.chinacloudapi.cn"
    )]
    #[case::plain_http(
        "DefaultEndpointsProtocol=http;AccountName=acct;AccountKey=a2V5",
        Some("acct"),
        Some("a2V5"),
        None,
        "http://acct.blob.core.windows.net"
    )]
    #[case::endpoint_wins(
        "AccountName=acct;AccountKey=a2V5;BlobEndpoint=http://127.0.0.1:4711/acct;EndpointSuffix=x.y",
        Some("acct"),
        Some("a2V5"),
        None,
        "http://127.0.0.1:4711/acct"
    )]
    #[case::sas(
        "BlobEndpoint=https://acct.blob.core.windows.net/;SharedAccessSignature=sv=1&sig=a%3D",
        None,
        None,
        Some("sv=1&sig=a%3D"),
        "https://acct.blob.core.windows.net/"
    )]
    #[case::development(
        "UseDevelopmentStorage=true",
        Some("devstoreaccount1"),
        Some(DEVELOPMENT_KEY),
        None,
        "http://127.0.0.1:10000/devstoreaccount1"
    )]
    #[case::development_elsewhere(
        "UseDevelopmentStorage=TRUE;DevelopmentStorageProxyUri=http://azurite/",
        Some("devstoreaccount1"),
        Some(DEVELOPMENT_KEY),
        None,
        "http://azurite:10000/devstoreaccount1"
    )]
    fn strings_that_are_understood(
        #[case] text: &str,
        #[case] name: Option<&str>,
        #[case] key: Option<&str>,
        #[case] sas: Option<&str>,
        #[case] endpoint: &str,
    ) {
        let expected = Parts {
            name: name.map(str::to_owned),
            key: key.map(Secret::new),
            sas: sas.map(Secret::new),
            endpoint: Some(endpoint.to_owned()),
        };
        assert_eq!(parse(text), Ok(expected));
    }

    #[rstest]
    #[case("", "neither AccountName nor BlobEndpoint is given")]
    #[case("AccountKey=a2V5", "neither AccountName nor BlobEndpoint is given")]
    #[case("AccountName=acct;c2VjcmV0", "part 2 has no '='")]
    #[case("AccountName=acct;AccountKeyy=a2V5", "part 2 is called AccountKeyy; did you mean AccountKey?")]
    #[case("AcountName=acct;AccountKey=a2V5", "part 1 is called AcountName; did you mean AccountName?")]
    #[case("AccountName=acct;DefaultEndpointsProtocol=ftp", "DefaultEndpointsProtocol must be http or https")]
    fn strings_that_are_not(#[case] text: &str, #[case] error: &str) {
        assert_eq!(parse(text), Err(error.to_owned()));
    }
}
