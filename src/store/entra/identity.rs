//! Identities, and how the library gets a token for them.
//!
//! What is said about an identity comes from the configuration and not from the library's own look at the environment,
//! so that a mount asks for nothing but what it was told to. The exceptions are the library's affair: App Service and
//! the command line `az` name their endpoints in the environment of the process.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use azure_core::cloud::CustomConfiguration;
use azure_core::credentials::TokenCredential;
use azure_core::http::{ClientOptions, ExponentialRetryOptions, RetryOptions, Transport};
use azure_identity::{
    AzureCliCredential, AzureCliCredentialOptions, ClientAssertionCredentialOptions, ClientSecretCredential,
    ClientSecretCredentialOptions, ManagedIdentityCredential, ManagedIdentityCredentialOptions, UserAssignedId,
    WorkloadIdentityCredential, WorkloadIdentityCredentialOptions,
};
use reqwest::Url;

use super::GET_TOKEN;
use super::transport::{IMDS_HOST, Refusal, Wire};
use crate::error::{Error, Result};
use crate::store::connections::with_causes;
use crate::store::endpoint::is_loopback;
use crate::store::http::Http;
use crate::store::secret::Secret;
use crate::sync::lock;

/// Scope of the tokens: all accounts of Azure Storage.
const SCOPE: &str = "https://storage.azure.com/.default";
const PUBLIC_CLOUD: &str = "https://login.microsoftonline.com";

/// Host of Entra ID: an https URL, or http on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority(Url);

impl Default for Authority {
    fn default() -> Self {
        // Checked by a test; without a host it would be refused by the library.
        #[expect(clippy::expect_used, reason = "a constant that a test parses")]
        Self(Url::parse(PUBLIC_CLOUD).expect("a URL"))
    }
}

impl Authority {
    /// The authority that `AZURE_AUTHORITY_HOST` names: a URL, or a host.
    pub fn parse(text: &str) -> std::result::Result<Self, &'static str> {
        let url = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
        let url = Url::parse(&url).map_err(|_| "not a URL")?;
        let host = url.host_str().ok_or("names no host")?;
        match url.scheme() {
            "https" => Ok(Self(url)),
            "http" if is_loopback(host) => Ok(Self(url)),
            _ => Err("must be an https URL: secrets are sent there"),
        }
    }
}

/// Identity that tokens are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// An application that knows a secret.
    ClientSecret {
        /// Id or domain of the tenant.
        tenant: String,
        /// Id of the application.
        client: String,
        /// Secret of the application.
        secret: Secret,
        /// Place to ask at.
        authority: Authority,
    },
    /// An application that somebody else vouches for, by a file that is renewed: Kubernetes and the like.
    Workload {
        /// Id or domain of the tenant.
        tenant: String,
        /// Id of the application.
        client: String,
        /// File with the token that vouches for it.
        token_file: PathBuf,
        /// Place to ask at.
        authority: Authority,
    },
    /// The identity of the machine or the service that this process runs on.
    Managed {
        /// Id of one identity, if there are several.
        client: Option<String>,
        /// Host of the metadata service, if it is another than Azure's.
        host: Option<String>,
    },
    /// Whoever has logged in with `az login`.
    AzureCli {
        /// Id or domain of the tenant, if it is not the one of the login.
        tenant: Option<String>,
    },
}

/// The identity as a person knows it. No secret is in it.
impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClientSecret { tenant, client, .. } => {
                write!(f, "client secret of application {client} in tenant {tenant}")
            }
            Self::Workload { tenant, client, .. } => {
                write!(f, "workload identity of application {client} in tenant {tenant}")
            }
            Self::Managed { client: Some(client), .. } => write!(f, "managed identity {client}"),
            Self::Managed { client: None, .. } => write!(f, "managed identity"),
            Self::AzureCli { .. } => write!(f, "login of az"),
        }
    }
}

impl Identity {
    /// Origin of its tokens, for errors.
    pub(super) fn endpoint(&self) -> String {
        match self {
            Self::ClientSecret { tenant, authority, .. } | Self::Workload { tenant, authority, .. } => {
                format!("{}/{tenant}/oauth2/v2.0/token", authority.0.as_str().trim_end_matches('/'))
            }
            Self::Managed { host, .. } => match std::env::var("IDENTITY_ENDPOINT") {
                Ok(endpoint) => endpoint,
                Err(_) => host.clone().unwrap_or_else(|| format!("http://{IMDS_HOST}")),
            },
            Self::AzureCli { .. } => "az account get-access-token".to_owned(),
        }
    }

    /// A token, and when it is over.
    pub(super) async fn ask(&self, http: &Http) -> Result<(Secret, SystemTime)> {
        let refusal = Arc::default();
        let answer = async { self.credential(http, &refusal)?.get_token(&[SCOPE], None).await };
        let token = answer.await.map_err(|error| {
            let refusal: Option<Refusal> = lock(&refusal).take();
            self.explain(&error, refusal)
        })?;
        let expires = u64::try_from(token.expires_on.unix_timestamp()).unwrap_or_default();
        Ok((Secret::new(token.token.secret()), SystemTime::UNIX_EPOCH + Duration::from_secs(expires)))
    }

    /// A new one each time: it remembers nothing that was refused.
    fn credential(
        &self,
        http: &Http,
        refusal: &Arc<Mutex<Option<Refusal>>>,
    ) -> azure_core::Result<Arc<dyn TokenCredential>> {
        let options = |authority, host| options(http, authority, host, refusal);
        Ok(match self {
            Self::ClientSecret { tenant, client, secret, authority } => {
                let options = ClientSecretCredentialOptions { client_options: options(Some(authority), None) };
                let secret = secret.expose().to_owned().into();
                ClientSecretCredential::new(tenant, client.clone(), secret, Some(options))?
            }
            Self::Workload { tenant, client, token_file, authority } => {
                WorkloadIdentityCredential::new(Some(WorkloadIdentityCredentialOptions {
                    credential_options: ClientAssertionCredentialOptions {
                        client_options: options(Some(authority), None),
                    },
                    client_id: Some(client.clone()),
                    tenant_id: Some(tenant.clone()),
                    token_file_path: Some(token_file.clone()),
                }))?
            }
            Self::Managed { client, host } => ManagedIdentityCredential::new(Some(ManagedIdentityCredentialOptions {
                user_assigned_id: client.clone().map(UserAssignedId::ClientId),
                client_options: options(None, host.as_deref()),
            }))?,
            Self::AzureCli { tenant } => AzureCliCredential::new(Some(AzureCliCredentialOptions {
                tenant_id: tenant.clone(),
                ..AzureCliCredentialOptions::default()
            }))?,
        })
    }

    /// Which credential was tried, and what the endpoint answered, in one line. A refusal is EACCES; no answer is not
    /// one.
    fn explain(&self, error: &azure_core::Error, refusal: Option<Refusal>) -> Error {
        let one_line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let endpoint = self.endpoint();
        if let Some(Refusal { status, text }) = refusal {
            let text = one_line(&text);
            return match status {
                500.. | 429 | 408 => self.unanswered(format!("{self}: it answered {status}: {text}")),
                _ => Error::fs(libc::EACCES, format!("{self}: {endpoint} answered {status}: {text}")),
            };
        }
        let text = error.to_string();
        let text = text.split("\nTo troubleshoot").next().unwrap_or_default();
        // What the library puts before it says no more than we do.
        let detail = one_line(text.split_once("authentication failed.").map_or(text, |(_, rest)| rest));
        match self {
            Self::AzureCli { .. } => Error::fs(libc::EACCES, format!("{self}: {endpoint}: {detail}")),
            // The HTTP library may have said something, too.
            _ => self.unanswered(format!("{self}: {}", with_causes(detail, error))),
        }
    }

    fn unanswered(&self, detail: String) -> Error {
        Error::Transport { operation: GET_TOKEN, target: self.endpoint(), detail, timed_out: false }
    }
}

/// Options of the library: where it may ask, and how often.
fn options(
    http: &Http,
    authority: Option<&Authority>,
    metadata_host: Option<&str>,
    refusal: &Arc<Mutex<Option<Refusal>>>,
) -> ClientOptions {
    let cloud = authority.map(|Authority(url)| {
        // The library insists on https, so what is plain on this machine is made so on the wire.
        let mut secure = url.clone();
        let _ = secure.set_scheme("https");
        let mut custom = CustomConfiguration::default();
        custom.authority_host = secure.as_str().trim_end_matches('/').to_owned();
        Arc::new(custom.into())
    });
    let plain = authority.filter(|Authority(url)| url.scheme() == "http").map(|Authority(url)| url.clone());
    let wire =
        Wire { http: http.clone(), plain, metadata_host: metadata_host.map(str::to_owned), refusal: refusal.clone() };
    ClientOptions {
        cloud,
        retry: RetryOptions::exponential(ExponentialRetryOptions {
            initial_delay: azure_core::time::Duration::milliseconds(300),
            max_retries: 2,
            max_total_elapsed: azure_core::time::Duration::seconds(10),
            ..ExponentialRetryOptions::default()
        }),
        transport: Some(Transport::new(Arc::new(wire))),
        ..ClientOptions::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_sent_over_https_or_to_this_machine() {
        assert_eq!(Authority::default().0.host_str(), Some("login.microsoftonline.com"));
        for text in ["https://login.microsoftonline.us", "login.chinacloudapi.cn/", "http://127.0.0.1:1"] {
            assert!(Authority::parse(text).is_ok(), "{text}");
        }
        for text in ["http://login.microsoftonline.com", "ftp://127.0.0.1", ""] {
            assert!(Authority::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_identity_shows_no_secret() {
        let (tenant, client) = ("t".to_owned(), "c".to_owned());
        let authority = Authority::default();
        let identity = Identity::ClientSecret { tenant, client, secret: "SeCrEt".into(), authority };
        assert_eq!(identity.to_string(), "client secret of application c in tenant t");
        assert_eq!(identity.endpoint(), "https://login.microsoftonline.com/t/oauth2/v2.0/token");
        assert!(!format!("{identity:?}").contains("SeCrEt"));
    }
}
