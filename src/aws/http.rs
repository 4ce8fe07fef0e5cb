//! The one HTTP client of an account: the SDK's own, through the same proxy and with the same trusted roots as the
//! data channel, for calls and for credentials alike.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_http_client::{Builder, Connector};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use http_body_util::Limited;

use super::time::ServiceTime;
use crate::transport::{Proxies, Roots, is_never_proxied};

/// No answer that we need is longer; they have a few kilobytes, a page of fifty instances a few dozen.
const LONGEST_ANSWER: usize = 256 << 10;

/// Makes connections, which can all be made anew. Clones share them.
#[derive(Clone)]
pub(super) struct Connections {
    roots: Arc<Roots>,
    proxies: Proxies,
    proxy: Proxy,
    time: ServiceTime,
    current: Arc<RwLock<SharedHttpClient>>,
    /// The host of the last request.
    last_host: Arc<RwLock<String>>,
}

/// Somebody else answers for AWS. Its own answers are never redirects, and those that succeed never pages for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{host} answered HTTP {status} with something that is not AWS's: a captive network wants a login in a browser, or a \
     proxy stands between"
)]
pub(super) struct NotAws {
    host: String,
    status: u16,
}

/// The proxy that the environment names cannot be used, and nobody asked to go round it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct UnusableProxy(String);

/// The same choice as [`Proxies::route`] makes.
#[derive(Clone, Debug)]
struct Proxy {
    config: ProxyConfig,
    /// Requests fail with this, but for those that never go through a proxy.
    unusable: Option<UnusableProxy>,
}

impl Proxy {
    fn of(proxies: &Proxies) -> Self {
        let (config, unusable) = match proxies.for_client() {
            Ok(None) => (ProxyConfig::disabled(), None),
            Ok(Some((url, no_proxy))) => match ProxyConfig::https(url) {
                Ok(config) => (config.no_proxy(no_proxy), None),
                // Its text would show the password.
                Err(_) => {
                    let why = "the SDK does not take the proxy that is named; write HTTPS_PROXY as http://HOST:PORT";
                    (ProxyConfig::disabled(), Some(why))
                }
            },
            Err(why) => (ProxyConfig::disabled(), Some(why)),
        };
        let unusable = unusable.map(|why| UnusableProxy(why.to_owned()));
        Self { config, unusable }
    }
}

#[cfg(test)]
impl NotAws {
    pub(super) fn of(host: &str, status: u16) -> Self {
        Self {
            host: host.to_owned(),
            status,
        }
    }
}

impl Connections {
    pub(super) fn new(roots: Arc<Roots>, proxies: Proxies, time: ServiceTime) -> Self {
        let proxy = Proxy::of(&proxies);
        let current = Arc::new(RwLock::new(client(&roots, &proxy)));
        Self {
            roots,
            proxies,
            proxy,
            time,
            current,
            last_host: Arc::default(),
        }
    }

    /// Connections made so far may be dead without a word: the next request makes a new one.
    pub(super) fn renew(&self) {
        let fresh = client(&self.roots, &self.proxy);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = fresh;
    }
}

impl Connections {
    /// The host of the last request; empty before the first.
    pub(super) fn last_host(&self) -> String {
        self.last_host.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl HttpClient for Connections {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        SharedHttpConnector::new(Watched {
            connector: current.http_connector(settings, components),
            unusable: self.proxy.unusable.clone(),
            time: self.time.clone(),
            last_host: Arc::clone(&self.last_host),
        })
    }
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connections")
            .field("roots", &self.roots)
            .field("proxies", &self.proxies)
            .finish_non_exhaustive()
    }
}

/// A client of its own connections, with the one crypto provider.
fn client(roots: &Arc<Roots>, proxy: &Proxy) -> SharedHttpClient {
    let mut trusted = TrustStore::empty();
    for certificate in roots.pem() {
        trusted.add_pem_certificate(certificate);
    }
    // The builder's error is one of its later versions: now there is none.
    let context = TlsContext::builder()
        .with_trust_store(trusted)
        .build()
        .unwrap_or_default();
    let proxy = proxy.config.clone();
    Builder::new().build_with_connector_fn(move |settings, components| {
        let mut connector = Connector::builder().proxy_config(proxy.clone());
        connector.set_connector_settings(settings.cloned());
        if let Some(components) = components {
            connector.set_sleep_impl(components.sleep_impl());
        }
        connector
            .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
            .tls_context(context.clone())
            .build()
    })
}

/// Looks at each request and each answer before the SDK does.
#[derive(Debug)]
struct Watched {
    connector: SharedHttpConnector,
    unusable: Option<UnusableProxy>,
    time: ServiceTime,
    last_host: Arc<RwLock<String>>,
}

impl HttpConnector for Watched {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let host = host(request.uri());
        host.clone_into(&mut self.last_host.write().unwrap_or_else(PoisonError::into_inner));
        if let Some(unusable) = &self.unusable
            && !is_never_proxied(without_port(&host))
        {
            return HttpConnectorFuture::ready(Err(ConnectorError::other(unusable.clone().into(), None)));
        }
        let answer = self.connector.call(request);
        let time = self.time.clone();
        HttpConnectorFuture::new(async move {
            let mut response = answer.await?;
            if let Some(stranger) = stranger(&host, &response) {
                return Err(ConnectorError::other(stranger.into(), None));
            }
            if let Some(date) = response.headers().get("date")
                && response.headers().get("age").is_none()
            {
                time.observe(date);
            }
            // The SDK reads an answer whole: without a bound a hostile endpoint could fill the memory.
            let body = response.take_body();
            *response.body_mut() = SdkBody::from_body_1_x(Limited::new(body, LONGEST_ANSWER));
            Ok(response)
        })
    }
}

fn stranger(host: &str, response: &HttpResponse) -> Option<NotAws> {
    let status = response.status().as_u16();
    let is_page = || {
        let kind = response.headers().get("content-type").unwrap_or_default();
        kind.trim_start().to_ascii_lowercase().starts_with("text/html")
    };
    let strange = (300..=399).contains(&status) || (status < 300 && is_page()) || status == 511;
    strange.then(|| NotAws {
        host: host.to_owned(),
        status,
    })
}

/// The host of a URL, without what else may be in it.
fn host(uri: &str) -> String {
    let rest = uri.split_once("://").map_or(uri, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    authority.rsplit('@').next().unwrap_or_default().to_owned()
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        Some(_) | None => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever it is asked, it has an answer.
    #[derive(Debug)]
    struct Answers;

    impl HttpConnector for Answers {
        fn call(&self, _request: HttpRequest) -> HttpConnectorFuture {
            HttpConnectorFuture::ready(Ok(response(200, "")))
        }
    }

    #[tokio::test]
    async fn an_unusable_proxy_fails_every_request_but_those_to_this_machine() {
        let proxies = Proxies::new(|name| (name == "HTTPS_PROXY").then(|| "socks5://canary@proxy:1080".to_owned()));
        let watched = Watched {
            connector: SharedHttpConnector::new(Answers),
            unusable: Proxy::of(&proxies).unusable,
            time: ServiceTime::new(crate::clock::Clock),
            last_host: Arc::default(),
        };
        for (uri, is_refused) in [
            ("https://sts.eu-west-1.amazonaws.com/", true),
            ("http://127.0.0.1:1/", false),
            ("http://[::1]:1/", false),
            ("http://169.254.169.254/", false),
        ] {
            let mut request = HttpRequest::new(SdkBody::empty());
            request.set_uri(uri).unwrap();
            let answer = watched.call(request).await;
            assert_eq!(answer.is_err(), is_refused, "{uri}: {answer:?}");
            if let Err(error) = answer {
                let text = format!("{error:?}");
                assert!(text.contains("the proxy in HTTPS_PROXY cannot be used"), "{text}");
                assert!(!text.contains("canary"), "{text}");
            }
        }
    }

    fn response(status: u16, kind: &'static str) -> HttpResponse {
        let mut response = HttpResponse::new(status.try_into().unwrap(), SdkBody::empty());
        if !kind.is_empty() {
            response.headers_mut().insert("content-type", kind);
        }
        response
    }

    #[test]
    fn a_strangers_answer_is_told_from_aws_own() {
        for (status, kind, strange) in [
            (200, "application/x-amz-json-1.1", false),
            (200, "", false),
            (400, "application/x-amz-json-1.1", false),
            (503, "text/html", false),
            (403, "text/html", false),
            (200, "text/html; charset=utf-8", true),
            (200, "Text/HTML", true),
            (302, "", true),
            (307, "application/x-amz-json-1.1", true),
            (511, "", true),
        ] {
            let found = stranger("ssm", &response(status, kind));
            assert_eq!(found.is_some(), strange, "{status} {kind}");
        }
    }

    #[test]
    fn only_the_host_of_a_url_is_named() {
        assert_eq!(
            host("https://ssm.eu-west-1.amazonaws.com/x?canary"),
            "ssm.eu-west-1.amazonaws.com"
        );
        assert_eq!(host("http://user:canary@127.0.0.1:80"), "127.0.0.1:80");
    }
}
