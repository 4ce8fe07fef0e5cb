//! Attacks by the control plane's answers. After them it answers well, and the session must come up.

use std::io;

use crate::channel::Channel;
use crate::service::{Answer, TOKEN, attack};
use crate::{Bench, CEILING};

const MUCH: usize = 1_000_000;

async fn behave(mut channel: Channel, _nth: usize) -> io::Result<()> {
    channel.handshake().await?;
    channel.hold().await;
    Ok(())
}

fn huge(_call: &str, nth: usize, body: &str) -> Answer {
    let (head, filler) = match nth {
        // 1 GB as announced, and as much without an announcement.
        0 => (
            "HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n".to_owned(),
            vec![b' '; 1 << 20],
        ),
        1 => {
            let mut chunk = b"100000\r\n".to_vec();
            chunk.resize((1 << 20) + 8, b'[');
            chunk.extend_from_slice(b"\r\n");
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(),
                chunk,
            )
        }
        2 => ("HTTP/1.1 200 OK\r\n".to_owned(), b"X-A: b\r\n".repeat(1 << 17)),
        3 => ("HTTP/1.1 500 Error\r\nX: ".to_owned(), vec![b'a'; 1 << 20]),
        _ => return Answer::Json(body.to_owned()),
    };
    Answer::Raw {
        head,
        filler,
        times: 1024,
    }
}

#[tokio::test]
async fn answers_of_1_gb_are_not_taken() {
    Bench::run(huge, attack(behave), CEILING, async |bench| {
        bench.victim_attached().await;
        bench.logged("StartSession").await;
    })
    .await;
}

/// Bodies that are no answer to StartSession.
fn nonsense() -> Vec<String> {
    let given = |session: &str, token: &str, url: &str| {
        format!(r#"{{"SessionId":{session},"TokenValue":{token},"StreamUrl":{url}}}"#)
    };
    vec![
        String::new(),
        "null".to_owned(),
        "7".to_owned(),
        "[".repeat(MUCH / 2),
        format!(r#"{{"X":{}"#, r#"{"a":"#.repeat(MUCH / 10)),
        given("{}", "[]", "7"),
        given("null", "null", "null"),
        given("\"\"", "\"\"", "\"\""),
        given("1e999", "true", "\"\\ud800\""),
        format!("{}\u{0}", given("\"a-1\"", "\"t\"", "\"u\"")),
    ]
}

fn answer_nonsense(_call: &str, nth: usize, body: &str) -> Answer {
    Answer::Json(nonsense().into_iter().nth(nth).unwrap_or_else(|| body.to_owned()))
}

#[tokio::test]
async fn wrong_and_deep_answers_are_failed_calls() {
    Bench::run(answer_nonsense, attack(behave), CEILING, async |bench| {
        bench.victim_attached().await;
        assert_eq!(bench.session("victim").await.figures.starts, 1);
        bench.logged("StartSession").await;
    })
    .await;
}

/// Places that must never be given a token.
const PLACES: [&str; 9] = [
    "wss://evil.example/v1/data-channel/x?role=publish_subscribe",
    "wss://ssmmessages.eu-west-1.amazonaws.com.evil.example/",
    "wss://ssmmessages.eu-west-1.amazonaws.com@evil.example/",
    "wss://ssmmessages.eu-west-1.amazonaws.com:8443/",
    "ws://ssmmessages.eu-west-1.amazonaws.com/",
    "wss://127.0.0.1.evil.example/",
    "http://127.0.0.1/",
    "wss://evil.example\\@127.0.0.1/",
    "",
];

fn send_elsewhere(_call: &str, nth: usize, body: &str) -> Answer {
    let Some(place) = PLACES.get(nth) else {
        return Answer::Json(body.to_owned());
    };
    let body = serde_json::json!({ "SessionId": format!("ada-{nth}"), "TokenValue": TOKEN, "StreamUrl": place });
    Answer::Json(body.to_string())
}

#[tokio::test]
async fn a_foreign_stream_url_is_never_dialled() {
    Bench::run(send_elsewhere, attack(behave), CEILING, async |bench| {
        bench.victim_attached().await;
        let log = bench.daemon.log();
        assert!(log.contains("`evil.example` is not a host of Session Manager"), "{log}");
        assert!(log.contains("without TLS"), "{log}");
    })
    .await;
}

fn answer_long(_call: &str, nth: usize, _body: &str) -> Answer {
    let long = "a\u{1b}[2J".repeat(MUCH / 20);
    let body = serde_json::json!({
        "__type": if nth == 0 { "InternalServerError" } else { long.as_str() },
        "message": long,
        "SessionId": long, "TokenValue": "t", "StreamUrl": format!("wss://{}/{long}", "b".repeat(MUCH / 10)),
    })
    .to_string();
    let status = if nth < 2 { "500 Error" } else { "200 OK" };
    Answer::Raw {
        head: format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len()),
        filler: Vec::new(),
        times: 0,
    }
}

#[tokio::test]
async fn long_texts_of_the_control_plane_are_cut() {
    Bench::run(answer_long, attack(behave), CEILING, async |bench| {
        bench
            .until("victim", "three attempts", |session| session.attempts > 3)
            .await;
        let session = bench.session("victim").await;
        assert!(session.cause.len() < 1000, "a cause of {} bytes", session.cause.len());
    })
    .await;
}
