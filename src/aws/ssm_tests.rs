//! The calls against an in-process HTTP server that answers once.

use std::time::Duration;

use autossm_proto::session::{FailureClass, SessionConfig};
use aws_credential_types::Credentials;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::config::{BackoffSettings, Document, OnExit};

fn settings(host: Option<&str>, listen: Vec<Listen>) -> SessionSettings {
    SessionSettings {
        name: "db".to_owned(),
        target: "i-0123456789abcdef0".to_owned(),
        forward: Some(ForwardSettings {
            listen,
            host: host.map(ToOwned::to_owned),
            port: 5432,
            allow_remote_clients: false,
            document: Document::PortForwarding,
        }),
        shell: None,
        on_demand: false,
        profile: None,
        region: Some("eu-west-1".to_owned()),
        endpoint_url: None,
        reason: Some("because".to_owned()),
        on_exit: OnExit::default(),
        protocol: SessionConfig::default(),
        backoff: BackoffSettings::default(),
    }
}

/// A service that answers the next request with `status`, extra headers and a JSON body.
struct Service {
    listener: TcpListener,
    plane: SsmControlPlane,
}

impl Service {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let key = AccountKey {
            profile: None,
            region: Some("eu-west-1".to_owned()),
            endpoint_url: Some(url),
        };
        let credentials = Credentials::new("AKIDEXAMPLE", "secret", None, None, "test");
        let account = Arc::new(Account::loaded_with(key, Setup::plain(), credentials).await);
        let listen = vec![Listen::Localhost(15432)];
        let request = StartRequest::new(&settings(Some("db.internal"), listen));
        Self {
            listener,
            plane: SsmControlPlane {
                account,
                target: Target::new("i-0123456789abcdef0"),
                request,
                adopted: None,
                examined: AtomicBool::new(false),
            },
        }
    }

    /// Reads one request and answers it; returns the request in full.
    async fn answer(&self, status: u16, headers: &str, body: &str) -> String {
        let (mut stream, _) = self.listener.accept().await.unwrap();
        let mut request = Vec::new();
        let mut chunk = [0; 4096];
        loop {
            let read = stream.read(&mut chunk).await.unwrap();
            assert!(read > 0, "the request ended early");
            request.extend_from_slice(&chunk[..read]);
            if is_complete(&String::from_utf8_lossy(&request)) {
                break;
            }
        }
        let answer = format!(
            "HTTP/1.1 {status} X\r\nContent-Type: application/x-amz-json-1.1\r\nConnection: close\r\n\
             Content-Length: {}\r\n{headers}\r\n{body}",
            body.len()
        );
        stream.write_all(answer.as_bytes()).await.unwrap();
        String::from_utf8(request).unwrap()
    }
}

fn is_complete(request: &str) -> bool {
    let Some((head, body)) = request.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head
        .to_ascii_lowercase()
        .lines()
        .find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
    length.is_none_or(|length| body.len() >= length)
}

fn error_body(code: &str) -> String {
    format!(r#"{{"__type":"{code}","message":"the message"}}"#)
}

#[test]
fn the_document_follows_the_forward() {
    let tcp = Listen::Tcp("127.0.0.1:5433".parse().unwrap());
    let (name, parameters) = document(&settings(None, vec![tcp]).forward.unwrap());
    assert_eq!(name, "AWS-StartPortForwardingSession");
    let local = ("localPortNumber", "5433".to_owned());
    assert_eq!(parameters, [("portNumber", "5432".to_owned()), local]);

    let unix = Listen::Unix("/run/x".into());
    let (name, parameters) = document(&settings(Some("db.internal"), vec![unix]).forward.unwrap());
    assert_eq!(name, "AWS-StartPortForwardingSessionToRemoteHost");
    assert!(parameters.contains(&("host", "db.internal".to_owned())));
    assert!(parameters.contains(&("localPortNumber", "0".to_owned())));
}

#[tokio::test]
async fn sessions_of_one_account_share_it() {
    let mut planes = ControlPlanes::new(Clock, Roots::of_process(), Proxies::none());
    let first = settings(None, Vec::new());
    let mut other = first.clone();
    assert!(Arc::ptr_eq(&planes.account(&first), &planes.account(&other)));
    other.profile = Some("work".to_owned());
    assert!(!Arc::ptr_eq(&planes.account(&first), &planes.account(&other)));
}

#[tokio::test]
async fn a_start_sends_the_document_and_returns_the_grant() {
    let service = Service::new().await;
    let body = r#"{"SessionId":"s-1","TokenValue":"T","StreamUrl":"wss://u?a=b+c=="}"#;
    let (grant, request) = tokio::join!(service.plane.start(), service.answer(200, "", body));
    let grant = grant.unwrap();
    assert_eq!(grant.session_id, "s-1");
    assert_eq!(grant.token.expose(), "T");
    assert_eq!(grant.stream_url, "wss://u?a=b+c==");
    assert!(
        request
            .to_ascii_lowercase()
            .contains("x-amz-target: amazonssm.startsession")
    );
    let (_, sent) = request.split_once("\r\n\r\n").unwrap();
    let sent: serde_json::Value = serde_json::from_str(sent).unwrap();
    let expected = serde_json::json!({
        "Target": "i-0123456789abcdef0",
        "DocumentName": "AWS-StartPortForwardingSessionToRemoteHost",
        "Reason": "because",
        "Parameters": {
            "host": ["db.internal"], "portNumber": ["5432"], "localPortNumber": ["15432"],
        },
    });
    assert_eq!(sent, expected);
}

#[tokio::test]
async fn a_start_without_a_token_is_not_a_grant() {
    let service = Service::new().await;
    let body = r#"{"SessionId":"s-1","TokenValue":"","StreamUrl":"wss://u"}"#;
    let (grant, _) = tokio::join!(service.plane.start(), service.answer(200, "", body));
    let failure = grant.unwrap_err();
    assert_eq!(failure.class, FailureClass::Protocol);
    assert!(failure.text.contains("TokenValue"));
}

#[tokio::test]
async fn a_resume_takes_token_and_address_as_they_are() {
    let full = r#"{"SessionId":"s-1","TokenValue":"T2","StreamUrl":"wss://new"}"#;
    let rows = [
        (full, Some("T2"), Some("wss://new")),
        (r#"{"SessionId":"s-1","TokenValue":"","StreamUrl":""}"#, None, None),
        (r#"{"SessionId":"s-1"}"#, None, None),
    ];
    let service = Service::new().await;
    for (body, token, url) in rows {
        let (grant, request) = tokio::join!(service.plane.resume("s-1"), service.answer(200, "", body));
        let grant = grant.unwrap();
        assert_eq!(grant.token.as_ref().map(Secret::expose), token);
        assert_eq!(grant.stream_url.as_deref(), url);
        assert!(request.ends_with(r#"{"SessionId":"s-1"}"#), "{request}");
    }
}

#[tokio::test]
async fn errors_are_classified_and_say_what_to_do() {
    use FailureClass as Class;
    let wait = Some(Duration::from_secs(3));
    let rows = [
        (400, "DoesNotExistException", Class::SessionGone, "the message"),
        (
            400,
            "ThrottlingException",
            Class::Throttled { retry_after: wait },
            "ssm:ResumeSession",
        ),
        (
            400,
            "ExpiredTokenException",
            Class::Credentials,
            "(ExpiredTokenException); ",
        ),
        (
            400,
            "AccessDeniedException",
            Class::AccessDenied,
            "needs ssm:ResumeSession",
        ),
        (500, "InternalServerError", Class::Network, "InternalServerError"),
    ];
    for (status, code, class, text) in rows {
        let service = Service::new().await;
        let body = error_body(code);
        let (result, _) = tokio::join!(
            service.plane.resume("s-1"),
            service.answer(status, "Retry-After: 3\r\n", &body)
        );
        let failure = result.unwrap_err();
        assert_eq!(failure.class, class, "{}", failure.text);
        assert!(failure.text.contains(text), "{}", failure.text);
    }
}

#[tokio::test]
async fn an_unknown_target_is_waited_for_and_termination_of_a_gone_session_says_so() {
    let service = Service::new().await;
    let body = error_body("TargetNotConnected");
    let (result, _) = tokio::join!(service.plane.start(), service.answer(400, "", &body));
    assert_eq!(result.unwrap_err().class, FailureClass::TargetNotConnected);
    let body = error_body("DoesNotExistException");
    let (result, _) = tokio::join!(service.plane.terminate("s"), service.answer(400, "", &body));
    assert_eq!(result.unwrap_err().class, FailureClass::SessionGone);
    let (result, _) = tokio::join!(service.plane.terminate("s"), service.answer(200, "", "{}"));
    assert_eq!(result, Ok(()));
}

#[tokio::test]
async fn somebody_else_answering_for_aws_is_a_protocol_failure() {
    let service = Service::new().await;
    let page = "<html>Please log in to this network</html>";
    let (result, _) = tokio::join!(service.plane.resume("s"), service.answer(200, "", page));
    let failure = result.unwrap_err();
    assert_eq!(failure.class, FailureClass::Protocol, "{}", failure.text);
}

#[tokio::test]
async fn a_service_that_refuses_is_asked_once() {
    let service = Service::new().await;
    let Service { listener, plane } = service;
    drop(listener);
    let failure = plane.resume("s").await.unwrap_err();
    assert_eq!(failure.class, FailureClass::Network, "{}", failure.text);
    assert!(failure.text.starts_with("ssm:ResumeSession: "), "{}", failure.text);
}

/// The SDK reads an answer whole: without a bound a hostile endpoint could fill the memory.
#[tokio::test]
async fn an_answer_that_is_too_long_is_a_failed_call() {
    let service = Service::new().await;
    let body = format!(
        r#"{{"SessionId":"a-1","TokenValue":"t","StreamUrl":"u","X":"{}"}}"#,
        "x".repeat(300 << 10)
    );
    let (started, _) = tokio::join!(service.plane.start(), service.answer(200, "", &body));
    let failure = started.unwrap_err();
    assert_eq!(failure.class, FailureClass::Protocol, "{failure:?}");
}

#[tokio::test]
async fn a_session_id_that_could_forge_a_log_line_is_refused() {
    for id in ["a\\u001b[2J", "a b", "a\\nERROR", &"a".repeat(300)] {
        let service = Service::new().await;
        let body = format!(r#"{{"SessionId":"{id}","TokenValue":"t","StreamUrl":"u"}}"#);
        let (started, _) = tokio::join!(service.plane.start(), service.answer(200, "", &body));
        let failure = started.unwrap_err();
        assert!(failure.text.contains("no SessionId"), "{failure:?}");
    }
}

/// Planted in credentials and answers; whatever can be printed must not hold it.
const CANARY: &str = "canary";

#[tokio::test]
async fn nothing_prints_credentials() {
    let key = AccountKey {
        profile: None,
        region: Some("eu-west-1".to_owned()),
        endpoint_url: None,
    };
    let credentials = Credentials::new("AKIDEXAMPLE", CANARY, Some(CANARY.to_owned()), None, "test");
    let account = Arc::new(Account::loaded_with(key, Setup::plain(), credentials).await);
    let ready = account.ready().await.unwrap();
    let request = StartRequest::new(&settings(None, Vec::new()));
    let plane = SsmControlPlane {
        account: Arc::clone(&account),
        target: Target::new("i-0"),
        request,
        adopted: None,
        examined: AtomicBool::new(false),
    };
    let signer = Signer::new(Arc::clone(&account));
    let printed = format!("{account:?} {ready:?} {plane:?} {signer:?} {:?}", ready.loaded.client);
    assert!(!printed.contains(CANARY), "{printed}");
}

/// An answer that cannot be used may still hold a token.
#[tokio::test]
async fn a_failure_quotes_no_token() {
    for body in [
        format!(r#"{{"SessionId":"a-1","TokenValue":"{CANARY}","StreamUrl":"#),
        format!(r#"{{"SessionId":"a 1","TokenValue":"{CANARY}","StreamUrl":"u"}}"#),
        format!(r#"{{"SessionId":["{CANARY}"],"TokenValue":"{CANARY}","StreamUrl":"u"}}"#),
    ] {
        let service = Service::new().await;
        let (started, _) = tokio::join!(service.plane.start(), service.answer(200, "", &body));
        let failure = started.unwrap_err();
        assert!(!format!("{failure:?}").contains(CANARY), "{failure:?}");
    }
}
