//! A terminal's connection over the control socket: an HTTP upgrade, then the frames of [`crate::endpoint`].

use axum::body::to_bytes;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::{Deserialize, Serialize};

use super::client::CONNECT_TIMEOUT;
use super::proxy::{Upgrading, Whose, begin};
use super::routes::refuse;
use super::{Client, ClientError, ControlHandle, Proxied, RefusalKind};
use crate::config::{OnDemand, SCROLLBACK, ShellSettings, Wanted};
use crate::endpoint::ViewRequest;

/// What the connection is upgraded to.
const PROTOCOL: HeaderValue = HeaderValue::from_static("autossm-attach");
/// Bytes of the body: a command may be long.
const LARGEST_BODY: usize = 256 * 1024;

/// The body of `POST /v1/attach`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttachRequest {
    /// The id of a session that another client has left, to be taken over; then there is no target.
    #[serde(default)]
    pub adopt: Option<String>,
    /// The name of a shell that the daemon holds; else of a configured session, or what StartSession is given: then a new
    /// one is started.
    #[serde(default)]
    pub target: String,
    /// Whose session it is, where one is started.
    #[serde(flatten)]
    pub whose: Whose,
    /// How to look at it.
    #[serde(default)]
    pub view: ViewRequest,
    /// The document to start it with; none means the account's shell.
    #[serde(default)]
    pub document: Option<String>,
    /// What the document is given.
    #[serde(default)]
    pub parameters: Vec<(String, Vec<String>)>,
    /// It is a command: always a new session, which ends when nobody looks at it any more.
    #[serde(default)]
    pub command: bool,
}

impl From<AttachRequest> for OnDemand {
    fn from(request: AttachRequest) -> Self {
        if let Some(session_id) = request.adopt {
            return request.whose.wants(String::new(), Wanted::Left(session_id));
        }
        let shell = ShellSettings {
            document: request.document,
            parameters: request.parameters,
            scrollback: if request.command { 0 } else { SCROLLBACK },
            attended: request.command,
        };
        request.whose.wants(request.target, Wanted::Shell(shell))
    }
}

/// Answers `POST /v1/attach`.
pub(super) async fn open(handle: &impl ControlHandle, pending: &Upgrading, mut request: Request) -> Response {
    let bad = |text: &str| refuse(StatusCode::BAD_REQUEST, RefusalKind::BadRequest, text);
    if request.headers().get(header::UPGRADE) != Some(&PROTOCOL) {
        return bad("this path needs the header `Upgrade: autossm-attach`");
    }
    let upgrade = hyper::upgrade::on(&mut request);
    let Ok(body) = to_bytes(request.into_body(), LARGEST_BODY).await else {
        let text = format!("the body is longer than {LARGEST_BODY} bytes, or did not arrive");
        return refuse(StatusCode::PAYLOAD_TOO_LARGE, RefusalKind::TooLong, &text);
    };
    match serde_json::from_slice::<AttachRequest>(&body) {
        Ok(wanted) => begin((PROTOCOL, upgrade), pending, handle.attach(wanted).await),
        Err(error) => bad(&format!("the body is not {{\"target\": \"...\"}}: {error}")),
    }
}

impl Client {
    /// Asks for a terminal of a session, which is what is returned; a new session itself starts only then.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn attach(&self, request: &AttachRequest) -> Result<Proxied, ClientError> {
        let body = serde_json::to_vec(request).map_err(|error| self.broken(error))?;
        self.in_time(CONNECT_TIMEOUT, self.upgrade("/v1/attach", PROTOCOL, body.into()))
            .await
    }
}
