//! STS and IAM Identity Center, as far as credentials need them; each answer can be made a wrong one.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use autossm::clock::Clock;
use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// Who everybody is.
pub(crate) const ARN: &str = "arn:aws:sts::111122223333:assumed-role/dev/ada";

/// One request, as far as it matters here.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: String,
    pub(crate) body: String,
}

/// What to answer with.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: String,
    pub(crate) body: String,
}

/// The services' state.
#[derive(Debug)]
pub(crate) struct Services {
    /// How often each operation was asked for.
    counts: Mutex<BTreeMap<String, u64>>,
    /// The token of a login that is good.
    token: Mutex<String>,
    /// Seconds for which credentials last.
    lifetime: Mutex<u64>,
    /// Seconds that the services' clock is ahead of this machine's.
    ahead: Mutex<u64>,
    /// The answers that are wrong from now on, by operation; `*` is any.
    wrong: Mutex<BTreeMap<String, Answer>>,
    /// What role credentials are called.
    key: Mutex<String>,
}

impl Default for Services {
    fn default() -> Self {
        Self {
            counts: Mutex::default(),
            token: Mutex::new("good-token".to_owned()),
            lifetime: Mutex::new(3600),
            ahead: Mutex::new(0),
            wrong: Mutex::default(),
            key: Mutex::new("ASIAROLE".to_owned()),
        }
    }
}

/// The services on a port of 127.0.0.1, without TLS.
pub(crate) struct Endpoint {
    pub(crate) address: SocketAddr,
    _tasks: JoinSet<()>,
}

impl Answer {
    pub(crate) fn new(status: u16, body: &str) -> Self {
        Self {
            status,
            headers: String::new(),
            body: body.to_owned(),
        }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        write!(self.headers, "{name}: {value}\r\n").unwrap();
        self
    }
}

impl Services {
    pub(crate) fn count(&self, operation: &str) -> u64 {
        self.counts.lock().unwrap().get(operation).copied().unwrap_or(0)
    }

    pub(crate) fn set_lifetime(&self, seconds: u64) {
        *self.lifetime.lock().unwrap() = seconds;
    }

    pub(crate) fn set_ahead(&self, seconds: u64) {
        *self.ahead.lock().unwrap() = seconds;
    }

    fn now(&self) -> SystemTime {
        UNIX_EPOCH + Clock.unix_now() + std::time::Duration::from_secs(*self.ahead.lock().unwrap())
    }

    pub(crate) fn set_key(&self, key: &str) {
        key.clone_into(&mut self.key.lock().unwrap());
    }

    /// From now on the operation is answered so; `*` is any.
    pub(crate) fn answer(&self, operation: &str, answer: Answer) {
        self.wrong.lock().unwrap().insert(operation.to_owned(), answer);
    }

    pub(crate) fn heal(&self) {
        self.wrong.lock().unwrap().clear();
    }

    pub(crate) async fn listen(self: &Arc<Self>) -> Endpoint {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let services = Arc::clone(self);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let services = Arc::clone(&services);
                connections.spawn(async move { services.serve(stream).await });
            }
        });
        Endpoint { address, _tasks: tasks }
    }

    /// Answers requests until the connection ends.
    pub(crate) async fn serve(&self, mut stream: impl AsyncRead + AsyncWrite + Unpin) {
        while let Some(request) = read(&mut stream).await {
            let Answer { status, headers, body } = self.respond(&request);
            let date = DateTime::from(self.now()).fmt(Format::HttpDate).unwrap();
            let date = if headers.contains("Date: ") {
                String::new()
            } else {
                format!("Date: {date}\r\n")
            };
            let text = format!(
                "HTTP/1.1 {status} X\r\n{headers}{date}Content-Length: {}\r\n\r\n{body}",
                body.len()
            );
            if stream.write_all(text.as_bytes()).await.is_err() {
                return;
            }
        }
    }

    fn respond(&self, request: &Request) -> Answer {
        let operation = operation(request);
        *self.counts.lock().unwrap().entry(operation.clone()).or_insert(0) += 1;
        let wrong = self.wrong.lock().unwrap();
        if let Some(answer) = wrong.get(&operation).or_else(|| wrong.get("*")) {
            return answer.clone();
        }
        drop(wrong);
        match operation.as_str() {
            "AssumeRole" | "AssumeRoleWithWebIdentity" => xml(&operation, &self.assumed(request)),
            "GetCallerIdentity" => xml(
                &operation,
                &format!("<Arn>{ARN}</Arn><UserId>AROA:ada</UserId><Account>111122223333</Account>"),
            ),
            "GetRoleCredentials" => self.role(request),
            "CreateToken" => {
                json(400, r#"{"error":"invalid_grant"}"#).header("x-amzn-errortype", "InvalidGrantException")
            }
            _ => Answer::new(404, "no such operation"),
        }
    }

    fn expiry(&self) -> SystemTime {
        self.now() + std::time::Duration::from_secs(*self.lifetime.lock().unwrap())
    }

    fn assumed(&self, request: &Request) -> String {
        let expiration = DateTime::from(self.expiry()).fmt(Format::DateTime).unwrap();
        // Each role gives keys of its own, so that a chain shows.
        let role = request.body.rsplit("role%2F").next().unwrap_or_default();
        let role: String = role.chars().take_while(char::is_ascii_alphanumeric).collect();
        format!(
            "<AssumedRoleUser><Arn>{ARN}</Arn><AssumedRoleId>AROA:ada</AssumedRoleId></AssumedRoleUser>\
             <Credentials><AccessKeyId>ASIA{}</AccessKeyId><SecretAccessKey>secret</SecretAccessKey>\
             <SessionToken>token</SessionToken><Expiration>{expiration}</Expiration></Credentials>",
            role.to_uppercase()
        )
    }

    fn role(&self, request: &Request) -> Answer {
        let token = self.token.lock().unwrap();
        if !request
            .headers
            .contains(&format!("x-amz-sso_bearer_token: {token}\r\n"))
        {
            return json(401, r#"{"message":"Session token not found or invalid"}"#)
                .header("x-amzn-errortype", "UnauthorizedException");
        }
        let expiration = self.expiry().duration_since(UNIX_EPOCH).unwrap().as_millis();
        let key = self.key.lock().unwrap();
        json(
            200,
            &format!(
                r#"{{"roleCredentials":{{"accessKeyId":"{key}","secretAccessKey":"secret","sessionToken":"token","expiration":{expiration}}}}}"#
            ),
        )
    }
}

fn json(status: u16, body: &str) -> Answer {
    Answer::new(status, body).header("Content-Type", "application/json")
}

fn xml(operation: &str, result: &str) -> Answer {
    Answer::new(
        200,
        &format!(
            "<{operation}Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><{operation}Result>{result}\
             </{operation}Result><ResponseMetadata><RequestId>0</RequestId></ResponseMetadata></{operation}Response>"
        ),
    )
    .header("Content-Type", "text/xml")
}

fn operation(request: &Request) -> String {
    if request.path.starts_with("/federation/credentials") {
        "GetRoleCredentials".to_owned()
    } else if request.path == "/token" && request.method == "POST" {
        "CreateToken".to_owned()
    } else {
        let action = request.body.split('&').find_map(|pair| pair.strip_prefix("Action="));
        action.unwrap_or("unknown").to_owned()
    }
}

async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Option<Request> {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        bytes.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(bytes).ok()?;
    let (line, headers) = head.split_once("\r\n")?;
    let mut words = line.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let lower: String = headers.to_ascii_lowercase();
    let length = lower
        .lines()
        .find_map(|line| line.strip_prefix("content-length: ")?.trim().parse::<usize>().ok())
        .unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(Request {
        method,
        path,
        headers: headers.to_owned(),
        body: String::from_utf8(body).ok()?,
    })
}
