use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::fake::{Fixture, KEPT};
use super::*;

const ASK: &[u8] = b"GET /v1/events HTTP/1.1\r\nhost: a\r\n\r\n";

#[tokio::test(start_paused = true)]
async fn events_come_one_a_line_for_as_long_as_they_are_read() {
    let fixture = Fixture::start();
    let mut events = fixture.client().events().await.unwrap();
    let hello = events.next().await.unwrap().unwrap();
    assert_eq!(hello, r#"{"unix_ms":1,"event":"hello","version":"1.2.3","pid":7}"#);
    for number in 0..100 {
        // Longer than any other connection lives.
        tokio::time::sleep(Duration::from_secs(7)).await;
        fixture.fake.happen(&format!("{number}\n"));
        let line = events.next().await.unwrap().unwrap();
        assert!(line.contains(&format!("\"{number}\\n\"")), "{line}");
    }
    fixture.stop().await;
    // However the end looks, it is one.
    assert!(!matches!(events.next().await, Ok(Some(_))));
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_is_too_slow_is_told_so_and_dropped() {
    let fixture = Fixture::start();
    let mut events = fixture.client().events().await.unwrap();
    events.next().await.unwrap().unwrap();
    // All at once, so that the server cannot pass on any of them in between.
    for _ in 0..3 * KEPT {
        fixture.fake.happen("flood");
    }
    let line = events.next().await.unwrap().unwrap();
    assert_eq!(
        line,
        format!(r#"{{"unix_ms":1,"event":"missed","count":{}}}"#, 2 * KEPT)
    );
    assert_eq!(events.next().await.unwrap(), None);
    fixture.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_reads_nothing_loses_its_place() {
    let fixture = Fixture::start();
    let mut silent = UnixStream::connect(&fixture.path).await.unwrap();
    silent.write_all(ASK).await.unwrap();
    let text = "x".repeat(100_000);
    // Fills the socket's buffers; then the write waits and its patience runs out.
    let mut dropped = false;
    for _ in 0..1_000 {
        fixture.fake.happen(&text);
        tokio::time::sleep(Duration::from_secs(1)).await;
        if fixture.fake.events.receiver_count() == 0 {
            dropped = true;
            break;
        }
    }
    assert!(dropped, "it still has its place");
    fixture.stop().await;
}

#[tokio::test(start_paused = true)]
async fn readers_leave_room_for_questions() {
    let fixture = Fixture::start();
    let mut readers = Vec::new();
    for _ in 0..16 {
        readers.push(fixture.client().events().await.unwrap());
    }
    let error = fixture.client().events().await.unwrap_err();
    assert!(
        matches!(&error, ClientError::Busy { message } if message.contains("16")),
        "{error}"
    );
    fixture.client().status().await.unwrap();
    readers.pop();
    // The place is free once the server has seen that its reader is gone.
    let freed = async {
        while fixture.client().events().await.is_err() {
            fixture.fake.happen("news");
        }
    };
    timeout(Duration::from_secs(60), freed).await.unwrap();
    fixture.stop().await;
}

#[tokio::test(start_paused = true)]
async fn curl_can_read_them() {
    let fixture = Fixture::start();
    let mut stream = BufReader::new(UnixStream::connect(&fixture.path).await.unwrap());
    stream.write_all(ASK).await.unwrap();
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        stream.read_line(&mut head).await.unwrap();
    }
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert!(head.contains("content-type: application/x-ndjson"), "{head}");
    let mut rest = [0; 16];
    stream.read_exact(&mut rest).await.unwrap();
    fixture.stop().await;
}
