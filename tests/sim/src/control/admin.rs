//! `/_sim/`: state out, faults in.

use hyper::{Response, StatusCode};
use serde_json::json;

use super::answers;
use crate::fault::Fault;
use crate::hub::Hub;
use crate::service::BoxedBody;

pub(crate) const STATE_PATH: &str = "/_sim/state";
pub(crate) const FAULT_PATH: &str = "/_sim/fault";

/// GET: the sessions with their counters.
pub(crate) async fn state(hub: &Hub) -> Response<BoxedBody> {
    let sessions = hub.registry.states().await;
    answers::json(StatusCode::OK, &json!({ "sessions": sessions }))
}

/// POST: injects the fault in the body; the answer comes when it has been done.
pub(crate) async fn fault(hub: &Hub, body: &[u8]) -> Response<BoxedBody> {
    let fault: Fault = match serde_json::from_slice(body) {
        Ok(fault) => fault,
        Err(error) => return answers::text(StatusCode::BAD_REQUEST, format!("{error}\n")),
    };
    match hub.inject(fault).await {
        Ok(()) => answers::text(StatusCode::OK, "done\n"),
        Err(error) => answers::text(StatusCode::NOT_FOUND, format!("{error}\n")),
    }
}
