//! All of AWS behind a CONNECT proxy of our own: TLS by a root of the test's own, with AWS's real names.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use autossm_sim::Simulator;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::services::Services;

/// Where the data channel seems to be.
pub(crate) const MESSAGES: &str = "ssmmessages.eu-west-1.amazonaws.com";

/// How the proxy treats a CONNECT.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Policy {
    /// Lets it through.
    #[default]
    Open,
    /// Lets it through with this `Proxy-Authorization`, in base64; else 407.
    Password(String),
    /// Answers with this status.
    Status(u16),
    /// Accepts it and presents a certificate for another name.
    WrongName,
    /// Accepts it and presents a certificate by a root nobody knows.
    UnknownRoot,
    /// Accepts it and presents a certificate that has expired.
    Expired,
    /// Accepts it and says nothing more.
    Stalled,
    /// Accepts it and ends in the middle of the TLS handshake.
    Truncated,
}

pub(crate) struct Cloud {
    pub(crate) simulator: Simulator,
    pub(crate) services: Arc<Services>,
    /// The proxy.
    pub(crate) address: SocketAddr,
    /// The root's certificate.
    pub(crate) root: String,
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

struct Shared {
    policy: Mutex<Policy>,
    /// Hosts asked for, in order.
    asked: Mutex<Vec<String>>,
    authority: CertifiedIssuer<'static, KeyPair>,
    stranger: CertifiedIssuer<'static, KeyPair>,
    control: SocketAddr,
    data_channel: SocketAddr,
    services: Arc<Services>,
}

/// A root of its own name: one with another's name is a bad signature, not an unknown issuer.
fn authority() -> CertifiedIssuer<'static, KeyPair> {
    static MADE: AtomicU32 = AtomicU32::new(0);
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    let name = format!("root {} of a test", MADE.fetch_add(1, Ordering::Relaxed));
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

impl Cloud {
    pub(crate) async fn start() -> Self {
        Self::with_messages(MESSAGES).await
    }

    /// The data channel is at that host.
    pub(crate) async fn with_messages(host: &str) -> Self {
        let simulator = Simulator::start(autossm_sim::Config {
            advertise_url: Some(format!("wss://{host}")),
            require_signatures: true,
            ..autossm_sim::Config::default()
        })
        .await
        .unwrap();
        let services = Arc::new(Services::default());
        let authority = authority();
        let root = authority.pem();
        let shared = Arc::new(Shared {
            policy: Mutex::default(),
            asked: Mutex::default(),
            authority,
            stranger: self::authority(),
            control: simulator.control_address(),
            data_channel: simulator.data_channel_address(),
            services: Arc::clone(&services),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        let own = Arc::clone(&shared);
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let shared = Arc::clone(&own);
                connections.spawn(async move {
                    let _ended = shared.serve(stream).await;
                });
            }
        });
        Self {
            simulator,
            services,
            address,
            root,
            shared,
            _tasks: tasks,
        }
    }

    pub(crate) fn set_policy(&self, policy: Policy) {
        *self.shared.policy.lock().unwrap() = policy;
    }

    /// The hosts that were asked for.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.shared.asked.lock().unwrap().clone()
    }
}

impl Shared {
    async fn serve(&self, mut stream: TcpStream) -> Option<()> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.ok()?);
        }
        let head = String::from_utf8(head).ok()?;
        let target = head.strip_prefix("CONNECT ")?.split(' ').next()?;
        let host = target.strip_suffix(":443")?.to_owned();
        self.asked.lock().unwrap().push(host.clone());
        let policy = self.policy.lock().unwrap().clone();
        let refused = match &policy {
            Policy::Password(password)
                if !head.contains(&format!("Proxy-Authorization: Basic {password}\r\n"))
                    && !head.contains(&format!("proxy-authorization: Basic {password}\r\n")) =>
            {
                Some(407)
            }
            Policy::Status(status) => Some(*status),
            Policy::Open
            | Policy::Password(_)
            | Policy::WrongName
            | Policy::UnknownRoot
            | Policy::Expired
            | Policy::Stalled
            | Policy::Truncated => None,
        };
        if let Some(status) = refused {
            let answer = format!("HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n");
            return stream.write_all(answer.as_bytes()).await.ok();
        }
        stream
            .write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
            .await
            .ok()?;
        match policy {
            Policy::Stalled => {
                // Until the client gives up.
                while stream.read_u8().await.is_ok() {}
                return None;
            }
            Policy::Truncated => {
                // A record that promises more than comes.
                stream.write_all(&[22, 3, 3, 2, 0, 2, 0]).await.ok()?;
                return None;
            }
            Policy::Open
            | Policy::Password(_)
            | Policy::Status(_)
            | Policy::WrongName
            | Policy::UnknownRoot
            | Policy::Expired => {}
        }
        let acceptor = TlsAcceptor::from(Arc::new(self.certificate(&host, &policy)));
        let mut tls = acceptor.accept(stream).await.ok()?;
        let behind = if host.starts_with("ssmmessages") || host.contains(".ssmmessages") {
            self.data_channel
        } else if host.starts_with("ssm") || host.contains(".ssm.") {
            self.control
        } else {
            self.services.serve(tls).await;
            return None;
        };
        let mut behind = TcpStream::connect(behind).await.ok()?;
        tokio::io::copy_bidirectional(&mut tls, &mut behind).await.ok()?;
        None
    }

    fn certificate(&self, host: &str, policy: &Policy) -> ServerConfig {
        let name = if *policy == Policy::WrongName {
            "login.hotel.example"
        } else {
            host
        };
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        if *policy == Policy::Expired {
            params.not_before = rcgen::date_time_ymd(2020, 1, 1);
            params.not_after = rcgen::date_time_ymd(2021, 1, 1);
        }
        let issuer = if *policy == Policy::UnknownRoot {
            &self.stranger
        } else {
            &self.authority
        };
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, issuer).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap()
    }
}
