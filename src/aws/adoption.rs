//! What AWS says of a session that another client has left, and whether it can be taken over.

use autossm_proto::session::{Failure, FailureClass};
use aws_sdk_ssm::types::{SessionFilter, SessionFilterKey, SessionState};

use super::calls::Calls;
use super::errors::Action;
use super::targets::Target;

/// The document whose sessions carry the bytes of one connection as they are.
const RAW: &str = "AWS-StartSSHSession";
/// Of forwards with a multiplexer.
const FORWARDS: &str = "AWS-StartPortForwardingSession";
/// Of shells; they may have no document at all.
const SHELL: &str = "SSM-SessionManagerRunShell";

/// Looks whether the session is there, on that target, and of a kind that can be taken over.
///
/// # Errors
/// [`FailureClass::SessionGone`] with the reason when it cannot be; what DescribeSessions fails with.
pub(super) async fn examine(calls: &Calls<'_>, session_id: &str, target: &Target) -> Result<(), Failure> {
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
    match session.document_name.as_deref().unwrap_or_default() {
        RAW => Ok(()),
        "" | SHELL => Err(refused("it is a shell, which this version does not carry")),
        document if document.starts_with(FORWARDS) => Err(refused(
            "it is a port forward, whose streams belong to the client that has opened them; start a new session",
        )),
        document => Err(refused(&format!(
            "nobody knows what sessions of the document {document} carry"
        ))),
    }
}

fn refused(why: &str) -> Failure {
    Failure {
        class: FailureClass::SessionGone,
        text: format!("the session cannot be taken over: {why}"),
    }
}
