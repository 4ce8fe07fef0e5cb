//! What AWS says of a session that another client has left, and whether it can be taken over.

use autossm_proto::session::{Failure, FailureClass};
use aws_sdk_ssm::types::{SessionFilter, SessionFilterKey, SessionState};

use super::calls::Calls;
use super::errors::Action;
use super::preferences;
use super::targets::Target;

/// The document whose sessions carry the bytes of one connection as they are.
const RAW: &str = "AWS-StartSSHSession";
/// Of forwards with a multiplexer.
const FORWARDS: &str = "AWS-StartPortForwardingSession";
/// Of shells beside the account's own, which may have no document at all.
const INTERACTIVE: &str = "AWS-StartInteractiveCommand";

/// A session to be taken over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Left {
    /// Its id.
    pub(super) session_id: String,
    /// It is wanted as a shell, else for a connection.
    pub(super) shell: bool,
}

/// Looks whether the session is there, on that target, and of the kind that is wanted.
///
/// # Errors
/// [`FailureClass::SessionGone`] with the reason when it cannot be; what DescribeSessions fails with.
pub(super) async fn examine(calls: &Calls<'_>, left: &Left, target: &Target) -> Result<(), Failure> {
    let session_id = left.session_id.as_str();
    let filter = SessionFilter::builder()
        .key(SessionFilterKey::SessionId)
        .value(session_id)
        .build();
    let call = calls.client().describe_sessions().state(SessionState::Active);
    let sent = call.set_filters(filter.ok().map(|filter| vec![filter])).send().await;
    let answer = calls.answered(Action::Sessions, sent)?;
    let mut sessions = answer.sessions.unwrap_or_default().into_iter();
    let session = sessions
        .find(|session| session.session_id.as_deref() == Some(session_id))
        .ok_or_else(|| {
            refused("it has ended, or is in another account or region; `autossm sessions` lists what there is")
        })?;
    let on = session.target.unwrap_or_default();
    if !target.may_be(&on) {
        return Err(refused(&format!("it is on {on}, and `target` says something else")));
    }
    target.is_on(on);
    match (session.document_name.as_deref().unwrap_or_default(), left.shell) {
        (RAW, false) => Ok(()),
        (RAW, true) => Err(refused(
            "it carries the bytes of one connection: give a session of the configuration this `session_id` and a `forward`",
        )),
        ("" | preferences::DOCUMENT | INTERACTIVE, true) => unencrypted(calls).await,
        ("" | preferences::DOCUMENT | INTERACTIVE, false) => Err(refused(
            "it is a shell: `autossm adopt` shows it; in the configuration it needs `shell = {}`",
        )),
        (document, _) if document.starts_with(FORWARDS) => Err(refused(
            "it is a port forward, whose streams belong to the client that has opened them; start a new session",
        )),
        (document, _) => Err(refused(&format!(
            "nobody knows what sessions of the document {document} carry"
        ))),
    }
}

/// Nobody says of a session whether it is encrypted; the account's preferences say so of all its shells, if they may be read.
async fn unencrypted(calls: &Calls<'_>) -> Result<(), Failure> {
    let preferences = calls.client().get_document().name(preferences::DOCUMENT).send().await;
    match preferences {
        Ok(answer) if preferences::encrypts(answer.content().unwrap_or_default()) => Err(refused(
            "the account encrypts its shells, and only the client that has begun one has its key",
        )),
        Ok(_) | Err(_) => Ok(()),
    }
}

fn refused(why: &str) -> Failure {
    Failure {
        class: FailureClass::SessionGone,
        text: format!("the session cannot be taken over: {why}"),
    }
}
