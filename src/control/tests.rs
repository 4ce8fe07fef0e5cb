use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::fake::Fixture;
use super::*;

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

#[tokio::test(start_paused = true)]
async fn the_client_asks_for_everything_there_is() {
    let fixture = Fixture::start();
    let client = fixture.client();
    let status = client.status().await.unwrap();
    assert_eq!((status.version.as_str(), status.pid), ("1.2.3", 7));
    for order in [Order::Reconnect, Order::Restart, Order::Start, Order::Stop] {
        let running = client.order("db", order).await.unwrap() == Ordered::AlreadyRunning;
        assert_eq!(running, order == Order::Start);
    }
    assert_eq!(client.reconnect_all().await.unwrap(), Some(7));
    client.set_log_level("debug").await.unwrap();
    let error = client.set_log_level("loud").await.unwrap_err();
    assert!(
        matches!(&error, ClientError::BadRequest { message } if message.contains("`loud`")),
        "{error}"
    );
    // It takes longer than any other question may.
    let error = client.reload().await.unwrap_err();
    assert!(
        matches!(&error, ClientError::BadConfiguration { problems } if problems == "line 1\nline 2"),
        "{error}"
    );
    let asked = [
        "Reconnect db",
        "Restart db",
        "Start db",
        "Stop db",
        "Reconnect all",
        "log debug",
        "log loud",
        "reload",
    ];
    assert_eq!(fixture.asked(), asked);
    for name in ["other", "", "../status", "a b", "db/reconnect?", "%64b"] {
        let error = client.order(name, Order::Reconnect).await.unwrap_err();
        assert!(
            matches!(&error, ClientError::UnknownSession(unknown) if unknown.name == name),
            "{error}"
        );
    }
    assert_eq!(fixture.asked().len(), asked.len());
    fixture.stop().await;
}

#[tokio::test(start_paused = true)]
async fn refusals_are_json_with_a_word_for_programs() {
    let fixture = Fixture::start();
    for (line, status, word) in [
        ("GET /", 404, "unknown_path"),
        ("GET /v2/status", 404, "unknown_path"),
        ("POST /v1/sessions/%ff/reconnect", 404, "unknown_path"),
        ("POST /v1/sessions/x/reconnect", 404, "unknown_session"),
        ("GET /v1/sessions/x", 404, "unknown_session"),
        ("POST /v1/sessions/off/reconnect", 409, "wrong_phase"),
        ("PUT /v1/log-level", 400, "bad_request"),
        ("DELETE /v1/status", 405, "wrong_method"),
        ("GET /v1/reload", 405, "wrong_method"),
        ("GET /v1/sessions/db/reconnect", 405, "wrong_method"),
    ] {
        let request = format!("{line} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        let answer = fixture.raw(request.as_bytes()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{line}: {answer}");
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        let refusal: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(refusal["error"], word, "{line}");
        assert!(refusal["message"].is_string(), "{line}");
    }
    fixture.stop().await;
}

#[tokio::test(start_paused = true)]
async fn garbage_and_slow_clients_do_not_disturb_others() {
    let fixture = Fixture::start();
    let endless = [b"GET /v1/status HTTP/1.1\r\nx: ".as_slice(), &[b'x'; 1 << 20]].concat();
    let long = format!(
        "PUT /v1/log-level HTTP/1.1\r\ncontent-length: 9000\r\n\r\n{}",
        "[".repeat(9000)
    )
    .into_bytes();
    for garbage in [
        b"".as_slice(),
        b"\0\0\0\0",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET /v1/status\r\n\r\n",
        b"POST /v1/sessions/db/reconnect HTTP/1.1\r\ncontent-length: 99999999999999999999\r\n\r\n",
        b"GET /v1/sta",
        b"PUT /v1/log-level HTTP/1.1\r\ncontent-length: 100\r\n\r\n{\"level\":",
        &endless,
        &long,
    ] {
        // Ends because the server closes, whatever was sent.
        let answer = fixture.raw(garbage).await;
        assert!(!answer.contains(" 200 "), "{answer}");
        fixture.client().status().await.unwrap();
    }
    assert_eq!(fixture.asked(), [""; 0]);
    fixture.stop().await;
}

#[tokio::test(start_paused = true)]
async fn silent_clients_lose_their_places_in_time() {
    let fixture = Fixture::start();
    let mut silent = Vec::new();
    for _ in 0..40 {
        silent.push(UnixStream::connect(&fixture.path).await.unwrap());
        // Lets the server accept it, so that the kernel's short queue has room for the next.
        tokio::task::yield_now().await;
    }
    // More than may be connected at once, and this one still gets its answer before its own deadline.
    fixture.client().status().await.unwrap();
    fixture.stop().await;
}

#[tokio::test(start_paused = true)]
async fn slow_clients_make_place_for_who_asks() {
    let fixture = Fixture::start();
    // Whoever reads events keeps its place.
    let mut events = fixture.client().events().await.unwrap();
    events.next().await.unwrap().unwrap();
    let head = b"GET /v1/sta".as_slice();
    let body = b"PUT /v1/log-level HTTP/1.1\r\ncontent-length: 100\r\n\r\n{\"level\":".as_slice();
    let mut slow = JoinSet::new();
    let (begun, mut begins) = mpsc::channel(64);
    for half in [head, body].into_iter().cycle().take(40) {
        let (path, begun) = (fixture.path.clone(), begun.clone());
        slow.spawn(async move {
            loop {
                if let Ok(mut stream) = UnixStream::connect(&path).await {
                    drop(stream.write_all(half).await);
                    begun.send(()).await.unwrap();
                    drop(stream.read_to_end(&mut Vec::new()).await);
                }
                tokio::task::yield_now().await;
            }
        });
    }
    for _ in 0..40 {
        begins.recv().await.unwrap();
    }
    let client = fixture.client();
    for _ in 0..20 {
        let soon = Duration::from_secs(2);
        tokio::time::timeout(soon, client.status()).await.unwrap().unwrap();
    }
    fixture.fake.happen("still there");
    let line = events.next().await.unwrap().unwrap();
    assert!(line.contains("still there"), "{line}");
    slow.shutdown().await;
    fixture.stop().await;
}

#[tokio::test]
async fn a_hundred_who_ask_at_once_are_all_answered() {
    let fixture = Fixture::start();
    let mut asking = JoinSet::new();
    for _ in 0..100 {
        let client = fixture.client();
        asking.spawn(async move { client.status().await.map(drop) });
    }
    while let Some(answered) = asking.join_next().await {
        answered.unwrap().unwrap();
    }
    fixture.stop().await;
}

#[tokio::test]
async fn the_socket_is_private_and_has_one_daemon() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("autossm/control.sock");
    let first = ControlSocket::bind(&path).unwrap();
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    let second = ControlSocket::bind(&path).unwrap_err();
    assert!(matches!(second, BindError::AlreadyRunning { .. }), "{second}");
    assert!(path.exists(), "the first one's socket is untouched");
    drop(first);
    assert!(!path.exists());
    drop(ControlSocket::bind(&path).unwrap());
}

#[tokio::test]
async fn what_is_in_the_way_is_replaced_only_when_it_is_a_dead_socket() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("control.sock");
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists(), "left by a dead daemon");
    drop(ControlSocket::bind(&path).unwrap());
    std::fs::write(&path, "precious").unwrap();
    let error = ControlSocket::bind(&path).unwrap_err();
    assert!(matches!(error, BindError::InTheWay { .. }), "{error}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
}

#[tokio::test]
async fn directories_others_could_use_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let open = directory.path().join("open");
    std::fs::create_dir(&open).unwrap();
    std::fs::set_permissions(&open, PermissionsExt::from_mode(0o777)).unwrap();
    let link = directory.path().join("link");
    std::fs::create_dir(directory.path().join("real")).unwrap();
    symlink(directory.path().join("real"), &link).unwrap();
    for unsafe_directory in [open, link] {
        let error = ControlSocket::bind(&unsafe_directory.join("control.sock")).unwrap_err();
        assert!(matches!(error, BindError::UnsafeDirectory { .. }), "{error}");
    }
    let long = directory.path().join("x".repeat(120));
    let error = ControlSocket::bind(&long).unwrap_err();
    assert!(matches!(error, BindError::System { .. }), "{error}");
}

#[test]
fn only_our_own_user_is_served() {
    assert!(server::is_allowed(1000, 1000));
    assert!(server::is_allowed(0, 0));
    for (peer, own) in [(0, 1000), (1001, 1000), (65_534, 1000), (1000, 0)] {
        assert!(!server::is_allowed(peer, own), "{peer} {own}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_daemon_that_is_not_there_or_not_well_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("control.sock");
    let client = Client::new(&path);
    let error = client.status().await.unwrap_err();
    assert!(matches!(error, ClientError::NoDaemon { .. }), "{error}");
    drop(UnixListener::bind(&path).unwrap());
    let error = client.status().await.unwrap_err();
    assert!(matches!(error, ClientError::NoDaemon { .. }), "{error}");

    std::fs::remove_file(&path).unwrap();
    let listener = UnixListener::bind(&path).unwrap();
    let error = client.status().await.unwrap_err();
    assert!(matches!(error, ClientError::Timeout { .. }), "{error}");
    // The connection of the first question is still in the listener's queue.
    drop(listener.accept().await.unwrap());
    for (answer, refused) in [
        ("", false),
        ("SSH-2.0-x\r\n\r\n", false),
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n[]", false),
        ("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{", false),
        ("HTTP/1.1 500 no\r\ncontent-length: 0\r\n\r\n", false),
        (
            "HTTP/1.1 404 no\r\ncontent-length: 43\r\n\r\n{\"error\":\"unknown_path\",\"message\":\"no way\"}",
            true,
        ),
    ] {
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            // Closing with unread bytes would reset the connection before the answer is read.
            let mut request = [0; 1024];
            let length = stream.read(&mut request).await.unwrap();
            assert!(length > 0);
            stream.write_all(answer.as_bytes()).await.unwrap();
        };
        let (answered, ()) = tokio::join!(client.status(), server);
        let error = answered.unwrap_err();
        assert_eq!(
            matches!(error, ClientError::Refused { .. }),
            refused,
            "{answer}: {error}"
        );
        assert_eq!(
            matches!(error, ClientError::Broken { .. }),
            !refused,
            "{answer}: {error}"
        );
    }
}
