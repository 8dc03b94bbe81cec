//! The URLs by which an account can be meant: its endpoint, and what else leads there.
//!
//! A host has no case, may end with a dot, and its port may be the one that is meant anyway. Azure answers for one
//! account at several hosts: those of its blobs and of its hierarchical namespace, of the copy in another region, of
//! private links, of ways through the network (`acct-secondary`, `acct-internetrouting`, `acct-dualstack`, …). No
//! account's name has a dash, so whatever begins with the name and a dash is that account's, also what is invented
//! after this was written. A server on this machine answers to every name that this machine has for itself.
//!
//! What is not recognised here may be the account all the same, behind a domain of somebody's own. So nothing is
//! *allowed* because a URL was not recognised: see `fs/ops/control`.

use percent_encoding::percent_decode_str;
use reqwest::Url;

use crate::path::AccountName;
use crate::store::endpoint::{Endpoint, is_loopback};

impl Endpoint {
    /// The rest of the path of `url` behind the account, encoded as it came and without a slash at its beginning;
    /// `None` if the URL is not known for one of `account`.
    pub(in crate::store) fn path_in<'a>(&self, account: &AccountName, url: &'a Url) -> Option<&'a str> {
        let own = Url::parse(&self.origin).ok()?;
        if !matches!(url.scheme(), "http" | "https") || url.port() != own.port() {
            return None;
        }
        let (here, there) = (host(&own)?, host(url)?);
        let on_this_machine = is_loopback(here) && is_loopback(there);
        let path = url.path().strip_prefix('/')?;
        let service = service_at(there, account);
        if service.is_some() && (on_this_machine || service == service_at(here, account)) {
            return Some(path);
        }
        if here != there && !on_this_machine {
            return None;
        }
        let prefix = match self.prefix.trim_matches('/') {
            "" if on_this_machine => account.as_str(),
            prefix => prefix,
        };
        prefix.split('/').filter(|own| !own.is_empty()).try_fold(path, |path, own| {
            let (first, rest) = path.split_once('/')?;
            let decoded = |part| percent_decode_str(part).decode_utf8().ok();
            let (first, own) = (decoded(first)?, decoded(own)?);
            (first == own || own == account.as_str() && is_named_after(&first, account)).then_some(rest)
        })
    }
}

fn host(url: &Url) -> Option<&str> {
    url.host_str().map(|host| host.trim_end_matches('.'))
}

/// `acct`, or that with a dash and what it is for.
fn is_named_after(label: &str, account: &AccountName) -> bool {
    label.strip_prefix(account.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

/// The service behind a host that is `account`'s: its zone and what comes after the name of the service, which says
/// only in which way one asks.
fn service_at(host: &str, account: &AccountName) -> Option<String> {
    let (_, rest) = host.split_once('.').filter(|(label, _)| is_named_after(label, account))?;
    let rest = rest.strip_prefix("privatelink.").unwrap_or(rest);
    let of_service = |rest: &str| ["blob.", "dfs."].iter().find_map(|name| rest.strip_prefix(name).map(str::to_owned));
    of_service(rest).or_else(|| {
        let (zone, rest) = rest.split_once('.')?;
        of_service(rest).map(|rest| format!("{zone}.{rest}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    const AZURE: &str = "https://acct.blob.core.windows.net";
    const ZONE: &str = "https://acct.z12.blob.storage.azure.net";
    const LOCAL: &str = "http://127.0.0.1:10000/acct";
    const NAMED: &str = "http://acct.blob.localhost:10000";

    fn path_in(endpoint: &str, url: &str) -> Option<String> {
        let account = AccountName::parse("acct").unwrap();
        let endpoint = Endpoint::parse(endpoint, Some(&account)).unwrap().endpoint;
        endpoint.path_in(&account, &Url::parse(url).unwrap()).map(str::to_owned)
    }

    #[rstest]
    #[case(AZURE, "https://acct.blob.core.windows.net/box/a")]
    #[case(AZURE, "HTTPS://ACCT.Blob.Core.Windows.Net/box/a")]
    #[case(AZURE, "https://acct.blob.core.windows.net:443/box/a")]
    #[case(AZURE, "http://acct.blob.core.windows.net/box/a")]
    #[case(AZURE, "http://acct.blob.core.windows.net:80/box/a")]
    #[case(AZURE, "https://acct.blob.core.windows.net./box/a")]
    #[case(AZURE, "https://acct.dfs.core.windows.net/box/a")]
    #[case(AZURE, "https://acct-secondary.blob.core.windows.net/box/a")]
    #[case(AZURE, "https://acct-secondary.dfs.core.windows.net./box/a")]
    #[case(AZURE, "https://acct-internetrouting.blob.core.windows.net/box/a")]
    #[case(AZURE, "https://acct.privatelink.blob.core.windows.net/box/a")]
    #[case(ZONE, "https://acct.z12.dfs.storage.azure.net/box/a")]
    #[case(ZONE, "https://acct-dualstack.z12.blob.storage.azure.net/box/a")]
    #[case(LOCAL, "http://127.0.0.1:10000/acct/box/a")]
    #[case(LOCAL, "http://127.1:10000/acct/box/a")]
    #[case(LOCAL, "http://2130706433:10000/%61cct/box/a")]
    #[case(LOCAL, "http://LocalHost.:10000/acct/box/a")]
    #[case(LOCAL, "http://[::1]:10000/acct/box/a")]
    #[case(LOCAL, "http://[::ffff:127.0.0.1]:10000/acct/box/a")]
    #[case(LOCAL, "https://127.0.0.1:10000/acct-secondary/box/a")]
    #[case(LOCAL, "http://acct.blob.localhost:10000/box/a")]
    #[case(LOCAL, "http://acct.dfs.localhost:10000/box/a")]
    #[case(NAMED, "http://127.0.0.1:10000/acct/box/a")]
    #[case(NAMED, "http://acct-secondary.blob.localhost:10000/box/a")]
    #[case("https://files.example.com", "https://FILES.example.com/box/a")]
    fn an_account_is_known_by_all_of_its_names(#[case] endpoint: &str, #[case] url: &str) {
        assert_eq!(path_in(endpoint, url).as_deref(), Some("box/a"));
    }

    #[rstest]
    #[case(AZURE, "https://other.blob.core.windows.net/box/a")]
    #[case(AZURE, "https://acct2.blob.core.windows.net/box/a")]
    #[case(AZURE, "https://acct.file.core.windows.net/box/a")]
    #[case(AZURE, "https://acct.blob.core.chinacloudapi.cn/box/a")]
    #[case(AZURE, "https://acct.blob.core.windows.net.evil.com/box/a")]
    #[case(AZURE, "https://acct.blob.core.windows.net:8443/box/a")]
    #[case(AZURE, "ftp://acct.blob.core.windows.net/box/a")]
    #[case(ZONE, "https://acct.z13.blob.storage.azure.net/box/a")]
    #[case(LOCAL, "http://127.0.0.1:10001/acct/box/a")]
    #[case(LOCAL, "http://127.0.0.1:10000/other/box/a")]
    #[case(LOCAL, "http://127.0.0.1:10000//acct/box/a")]
    #[case(LOCAL, "http://acct.file.localhost:10000/box/a")]
    #[case("https://files.example.com", "https://www.example.com/box/a")]
    fn others_are_not_taken_for_it(#[case] endpoint: &str, #[case] url: &str) {
        assert_eq!(path_in(endpoint, url), None);
    }
}
