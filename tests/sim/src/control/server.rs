//! One HTTP connection of the control plane.

use std::convert::Infallible;
use std::sync::Arc;

use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, HeaderMap};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::{admin, answers, calls, skew};
use crate::hub::Hub;
use crate::service::{ApiError, BoxedBody};

/// No request of ours is nearly so large.
const MAX_REQUEST: usize = 1 << 20;
const TARGET: &str = "x-amz-target";
/// The services, each by its prefix there and by its name in a signature's scope.
const SERVICES: [(&str, &str); 2] = [("AmazonSSM.", "ssm"), ("TrentService.", "kms")];

/// Serves requests until the client closes.
pub(crate) async fn serve_connection(hub: Arc<Hub>, tcp: TcpStream) {
    let service = service_fn(|request| {
        let hub = Arc::clone(&hub);
        async move {
            let mut response = respond(&hub, request).await;
            skew::date(response.headers_mut(), hub.registry.config());
            Ok::<_, Infallible>(response)
        }
    });
    let connection = http1::Builder::new().serve_connection(TokioIo::new(tcp), service);
    if let Err(error) = connection.await {
        tracing::debug!(%error, "control plane: connection failed");
    }
}

/// Whether a request looks signed by SigV4 for that service. The signature itself is not computed.
pub(crate) fn is_signed_for(headers: &HeaderMap, service: &str) -> bool {
    let Some(authorization) = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()) else {
        return false;
    };
    let scope = format!("/{service}/aws4_request");
    let parts: Vec<&str> = authorization.split([' ', ',']).collect();
    let field = |name: &str| parts.iter().find_map(|part| part.strip_prefix(name));
    authorization.starts_with("AWS4-HMAC-SHA256 ")
        && headers.contains_key("x-amz-date")
        && field("Credential=").is_some_and(|credential| credential.ends_with(&scope))
        && field("Signature=").is_some_and(|signature| signature.len() == 64)
        && field("SignedHeaders=").is_some_and(|signed| {
            let signed: Vec<&str> = signed.split(';').collect();
            signed.contains(&"host") && signed.contains(&"x-amz-date")
        })
}

/// The access key a request is signed with.
pub(crate) fn access_key(headers: &HeaderMap) -> Option<&str> {
    let authorization = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (_, credential) = authorization.split_once("Credential=")?;
    credential.split('/').next()
}

async fn respond(hub: &Hub, request: Request<Incoming>) -> Response<BoxedBody> {
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, MAX_REQUEST).collect().await else {
        return answers::text(StatusCode::PAYLOAD_TOO_LARGE, "request too large");
    };
    let body = body.to_bytes();
    match (&head.method, head.uri.path()) {
        (&Method::GET, admin::STATE_PATH) => return admin::state(hub).await,
        (&Method::POST, admin::FAULT_PATH) => return admin::fault(hub, &body).await,
        (&Method::POST, "/") => {}
        _ => return answers::text(StatusCode::NOT_FOUND, "no such path"),
    }
    if hub.registry.config().require_signatures && !is_signed_for(&head.headers, called(&head.headers).0) {
        let error = ApiError::new("MissingAuthenticationTokenException", "request is not signed");
        return answers::error(StatusCode::FORBIDDEN, &error);
    }
    if access_key(&head.headers).is_some_and(|key| hub.registry.is_expired(key)) {
        let (_, operation) = called(&head.headers);
        if let Some(call) = calls::named(operation) {
            // It has arrived, whatever it is answered.
            drop(hub.registry.next_bad_answer(call));
        }
        let text = "The security token included in the request is expired";
        let error = ApiError::new("ExpiredTokenException", text);
        return answers::error(StatusCode::FORBIDDEN, &error);
    }
    if let Some(error) = skew::of_request(&head.headers, hub.registry.config()) {
        return answers::error(StatusCode::BAD_REQUEST, &error);
    }
    calls::call(&hub.registry, called(&head.headers).1, &body).await
}

/// The service and the operation that are called.
fn called(headers: &HeaderMap) -> (&str, &str) {
    let target = headers.get(TARGET).and_then(|value| value.to_str().ok());
    let target = target.unwrap_or_default();
    let known = SERVICES
        .iter()
        .find_map(|(prefix, name)| Some((*name, target.strip_prefix(prefix)?)));
    known.unwrap_or(("ssm", ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_complete_signatures_of_the_right_service_pass() {
        let signed = |authorization: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("x-amz-date", "20260101T000000Z".parse().unwrap());
            headers.insert(AUTHORIZATION, authorization.parse().unwrap());
            is_signed_for(&headers, "ssmmessages")
        };
        let good = format!(
            "AWS4-HMAC-SHA256 Credential=AKID/20260101/eu-west-1/ssmmessages/aws4_request, SignedHeaders=host;x-amz-date, Signature={}",
            "0".repeat(64)
        );
        assert!(signed(&good));
        assert!(!signed(&good.replace("ssmmessages", "ssm")));
        assert!(!signed(&good.replace("host;", "")));
        assert!(!signed(&good.replace("AWS4", "AWS3")));
        assert!(!is_signed_for(&HeaderMap::new(), "ssmmessages"));
    }
}
