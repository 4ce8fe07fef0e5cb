//! What the control API answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{get, post, put};
use axum::{Extension, Router};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::client::order_name;
use super::proxy::Upgrading;
use super::{
    ControlHandle, LogLevel, Order, OrderError, OrderedAllBody, OrderedBody, Refusal, RefusalKind, ReloadError,
    UnknownSession, attach, proxy, stream,
};

/// Readers of events at once; the other connections are for short questions.
const MOST_READERS: usize = 16;
/// Bytes of a request's body; the only one there is has about 20.
pub(super) const LARGEST_BODY: usize = 4 * 1024;

/// Set when a connection may live longer than a short question.
#[derive(Clone, Debug, Default)]
pub(super) struct LongLived(Arc<AtomicBool>);

impl LongLived {
    fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Clone)]
struct Shared<H> {
    handle: H,
    readers: Arc<Semaphore>,
    ended: CancellationToken,
}

/// Every path. Each connection adds a [`LongLived`] of its own; streams end with `ended`.
pub(super) fn router<H: ControlHandle>(handle: H, ended: CancellationToken) -> Router {
    let mut router = Router::new()
        .route("/v1/status", get(status::<H>))
        .route("/v1/sandbox", get(sandbox::<H>))
        .route("/v1/events", get(events::<H>))
        .route("/v1/sessions/{name}", get(session::<H>))
        .route("/v1/reconnect", post(reconnect_all::<H>))
        .route("/v1/reload", post(reload::<H>))
        .route("/v1/attach", post(open_attach::<H>))
        .route("/v1/proxy", post(open_proxy::<H>))
        .route("/v1/proxy/{session}", get(proxy_end::<H>))
        .route("/v1/log-level", put(log_level::<H>));
    for order in [Order::Reconnect, Order::Restart, Order::Start, Order::Stop] {
        let path = format!("/v1/sessions/{{name}}/{}", order_name(order));
        let give = move |State(shared): State<Shared<H>>, name| give(shared, name, order);
        router = router.route(&path, post(give));
    }
    router
        .method_not_allowed_fallback(|| async {
            let text = "this path has no such method";
            refuse(StatusCode::METHOD_NOT_ALLOWED, RefusalKind::WrongMethod, text)
        })
        .fallback(|| async { unknown_path() })
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .with_state(Shared {
            handle,
            readers: Arc::new(Semaphore::new(MOST_READERS)),
            ended,
        })
}

async fn status<H: ControlHandle>(State(shared): State<Shared<H>>) -> Response {
    Json(shared.handle.status().await).into_response()
}

async fn sandbox<H: ControlHandle>(State(shared): State<Shared<H>>) -> Response {
    Json(shared.handle.sandbox().await).into_response()
}

async fn session<H: ControlHandle>(
    State(shared): State<Shared<H>>,
    name: Result<Path<String>, PathRejection>,
) -> Response {
    let Ok(Path(name)) = name else {
        return unknown_path();
    };
    match shared.handle.session(&name).await {
        Some(session) => Json(session).into_response(),
        None => unknown_session(&UnknownSession { name }),
    }
}

async fn give<H: ControlHandle>(
    shared: Shared<H>,
    name: Result<Path<String>, PathRejection>,
    order: Order,
) -> Response {
    let Ok(Path(name)) = name else {
        return unknown_path();
    };
    match shared.handle.order(&name, order).await {
        Ok(outcome) => (StatusCode::ACCEPTED, Json(OrderedBody { outcome })).into_response(),
        Err(OrderError::Unknown(unknown)) => unknown_session(&unknown),
        Err(error @ (OrderError::Stopped { .. } | OrderError::Ending { .. })) => {
            refuse(StatusCode::CONFLICT, RefusalKind::WrongPhase, &error.to_string())
        }
    }
}

async fn reconnect_all<H: ControlHandle>(State(shared): State<Shared<H>>) -> Response {
    let sessions = shared.handle.order_all(Order::Reconnect).await;
    (StatusCode::ACCEPTED, Json(OrderedAllBody { sessions })).into_response()
}

async fn reload<H: ControlHandle>(State(shared): State<Shared<H>>, Extension(long): Extension<LongLived>) -> Response {
    // Sessions that end may take longer than a short question.
    long.set();
    match shared.handle.reload().await {
        Ok(status) => Json(status).into_response(),
        Err(error @ ReloadError::Wrong(_)) => refuse(
            StatusCode::UNPROCESSABLE_ENTITY,
            RefusalKind::BadConfiguration,
            &error.to_string(),
        ),
        Err(error @ ReloadError::Stopping) => refuse(
            StatusCode::SERVICE_UNAVAILABLE,
            RefusalKind::Stopping,
            &error.to_string(),
        ),
    }
}

async fn open_attach<H: ControlHandle>(
    State(shared): State<Shared<H>>,
    Extension(pending): Extension<Upgrading>,
    request: Request,
) -> Response {
    attach::open(&shared.handle, &pending, request).await
}

async fn open_proxy<H: ControlHandle>(
    State(shared): State<Shared<H>>,
    Extension(pending): Extension<Upgrading>,
    request: Request,
) -> Response {
    proxy::open(&shared.handle, &pending, request).await
}

async fn proxy_end<H: ControlHandle>(
    State(shared): State<Shared<H>>,
    session: Result<Path<String>, PathRejection>,
) -> Response {
    let Ok(Path(name)) = session else {
        return unknown_path();
    };
    match shared.handle.proxy_end(&name) {
        Some(end) => Json(end).into_response(),
        None => unknown_session(&UnknownSession { name }),
    }
}

async fn log_level<H: ControlHandle>(State(shared): State<Shared<H>>, body: Result<Bytes, BytesRejection>) -> Response {
    let Ok(body) = body else {
        let text = format!("the body is longer than {LARGEST_BODY} bytes, or did not arrive");
        return refuse(StatusCode::PAYLOAD_TOO_LARGE, RefusalKind::TooLong, &text);
    };
    let set = match serde_json::from_slice::<LogLevel>(&body) {
        Ok(LogLevel { level }) => shared.handle.set_log_level(&level),
        Err(error) => Err(format!("the body is not {{\"level\": \"...\"}}: {error}")),
    };
    match set {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(why) => refuse(StatusCode::BAD_REQUEST, RefusalKind::BadRequest, &why),
    }
}

async fn events<H: ControlHandle>(State(shared): State<Shared<H>>, Extension(long): Extension<LongLived>) -> Response {
    let Ok(place) = Arc::clone(&shared.readers).try_acquire_owned() else {
        let text = format!("{MOST_READERS} read events already");
        return refuse(StatusCode::SERVICE_UNAVAILABLE, RefusalKind::TooManyReaders, &text);
    };
    long.set();
    let head = [(header::CONTENT_TYPE, "application/x-ndjson")];
    let lines = stream::body(shared.handle.subscribe(), place, shared.ended);
    (head, lines).into_response()
}

fn unknown_session(unknown: &UnknownSession) -> Response {
    refuse(StatusCode::NOT_FOUND, RefusalKind::UnknownSession, &unknown.to_string())
}

fn unknown_path() -> Response {
    let text = "the control API has no such path";
    refuse(StatusCode::NOT_FOUND, RefusalKind::UnknownPath, text)
}

pub(super) fn refuse(status: StatusCode, error: RefusalKind, message: &str) -> Response {
    let refusal = Refusal {
        error,
        message: message.to_owned(),
    };
    (status, Json(refusal)).into_response()
}
