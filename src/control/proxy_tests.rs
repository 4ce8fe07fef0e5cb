use std::io::{Read, Write};
use std::net::Shutdown;

use super::fake::Fixture;
use super::*;
use crate::status::ProxyEndKind;

fn request(target: &str) -> ProxyRequest {
    ProxyRequest {
        target: target.to_owned(),
        port: 22,
        whose: Whose::default(),
    }
}

/// What was sent comes back, however long: the connection has no deadline and no frames.
#[tokio::test]
async fn a_connection_is_upgraded_to_its_bytes() {
    let fixture = Fixture::start();
    let client = fixture.client();
    let Proxied {
        session,
        mut stream,
        first,
    } = client.proxy(&request("i-0")).await.unwrap();
    assert_eq!((session.as_str(), first.len()), ("ssh-1", 0));
    let back = tokio::task::spawn_blocking(move || {
        stream.write_all(b"\x00GET / HTTP/1.1\r\n\r\n").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut back = Vec::new();
        stream.read_to_end(&mut back).unwrap();
        back
    });
    assert_eq!(back.await.unwrap(), b"\x00GET / HTTP/1.1\r\n\r\n");
    let end = client.proxy_end("ssh-1").await.unwrap();
    assert_eq!((end.end, end.cause.as_str()), (ProxyEndKind::Lost, "why"));
    let error = client.proxy_end("ssh-2").await.unwrap_err();
    assert!(matches!(error, ClientError::UnknownSession(_)), "{error}");
    assert_eq!(fixture.asked(), ["proxy i-0 22"]);
    fixture.stop().await;
}

#[tokio::test]
async fn more_connections_than_questions_may_be_proxied() {
    let fixture = Fixture::start();
    let client = fixture.client();
    let mut open = Vec::new();
    for _ in 0..40 {
        open.push(client.proxy(&request("i-0")).await.unwrap());
    }
    assert_eq!(client.status().await.unwrap().pid, 7, "others are still answered");
    drop(open);
    fixture.stop().await;
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let fixture = Fixture::start();
    let error = fixture.client().proxy(&request("wrong")).await.unwrap_err();
    assert!(
        matches!(&error, ClientError::BadRequest { message } if message == "`wrong` is no target"),
        "{error}"
    );
    let post = |headers: &str, body: &str| {
        let length = body.len();
        format!("POST /v1/proxy HTTP/1.1\r\nhost: x\r\n{headers}content-length: {length}\r\n\r\n{body}")
    };
    let upgrade = "connection: upgrade\r\nupgrade: autossm-proxy\r\n";
    for (request, status) in [
        (post("", "{\"target\": \"i-0\"}"), "400"),
        (
            post("connection: upgrade\r\nupgrade: websocket\r\n", "{\"target\": \"i-0\"}"),
            "400",
        ),
        (post(upgrade, "i-0"), "400"),
        (post(upgrade, "{\"target\": \"i-0\", \"port\": 70000}"), "400"),
        (post(upgrade, &" ".repeat(5000)), "413"),
    ] {
        let answer = fixture.raw(request.as_bytes()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
    }
    assert_eq!(fixture.asked(), ["proxy wrong 22"]);
    fixture.stop().await;
}
