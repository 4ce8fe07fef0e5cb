//! HTTP responses, right and wrong ones.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::fault::BadAnswer;
use crate::service::{ApiError, BoxedBody};

const AWS_JSON: HeaderValue = HeaderValue::from_static("application/x-amz-json-1.1");

/// A plain text.
pub(crate) fn text(status: StatusCode, text: impl Into<Bytes>) -> Response<BoxedBody> {
    let mut response = Response::new(Full::new(text.into()).boxed());
    *response.status_mut() = status;
    response
}

/// An answer in AWS JSON.
pub(crate) fn json(status: StatusCode, body: &Value) -> Response<BoxedBody> {
    let mut response = text(status, body.to_string());
    response.headers_mut().insert(CONTENT_TYPE, AWS_JSON);
    response
}

/// An AWS error.
pub(crate) fn error(status: StatusCode, error: &ApiError) -> Response<BoxedBody> {
    named_error(status, error.kind, &error.message)
}

fn named_error(status: StatusCode, kind: &str, message: &str) -> Response<BoxedBody> {
    json(status, &json!({ "__type": kind, "message": message }))
}

/// The response instead of a right one; none where the right one is needed to make the wrong one.
pub(crate) async fn bad(answer: &BadAnswer) -> Option<Response<BoxedBody>> {
    let named = |status, kind: &str| Some(named_error(status, kind, "asked for by a fault"));
    match answer {
        BadAnswer::Throttled { retry_after } => {
            let kind = "ThrottlingException";
            let mut response = named_error(StatusCode::BAD_REQUEST, kind, "Rate exceeded");
            if let Some(seconds) = retry_after {
                let seconds = HeaderValue::from(*seconds);
                response.headers_mut().insert(RETRY_AFTER, seconds);
            }
            Some(response)
        }
        BadAnswer::Status(status) => {
            let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            Some(text(status, "asked for by a fault"))
        }
        BadAnswer::AccessDenied => named(StatusCode::FORBIDDEN, "AccessDeniedException"),
        BadAnswer::ExpiredCredentials => {
            let message = "The security token included in the request is expired";
            let kind = "ExpiredTokenException";
            Some(named_error(StatusCode::BAD_REQUEST, kind, message))
        }
        BadAnswer::DoesNotExist => named(StatusCode::BAD_REQUEST, "DoesNotExistException"),
        BadAnswer::Error(kind) => named(StatusCode::BAD_REQUEST, kind),
        BadAnswer::Garbage => Some(text(StatusCode::OK, "{\"SessionId\": <html>")),
        BadAnswer::Hang => std::future::pending().await,
        BadAnswer::EmptyToken | BadAnswer::NoStreamUrl | BadAnswer::SlowBody(_) => None,
    }
}

/// The same answer, whose body dribbles for that long.
pub(crate) fn slow(body: &Value, duration: Duration) -> Response<BoxedBody> {
    let bytes = Bytes::from(body.to_string());
    let length = bytes.len();
    let pause = duration / u32::try_from(length).unwrap_or(u32::MAX).max(1);
    let dribble = stream::unfold(bytes, move |mut rest| async move {
        if rest.is_empty() {
            return None;
        }
        sleep(pause).await;
        let byte = rest.split_to(1);
        Some((Ok(Frame::data(byte)), rest))
    });
    let mut response = Response::new(StreamBody::new(Box::pin(dribble)).boxed());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, AWS_JSON);
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    response
}
