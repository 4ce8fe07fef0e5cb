//! Listeners in all their forms.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::time::timeout;

use super::{Inherited, Listeners, LocalSocket};
use crate::config::{Document, ForwardSettings, Listen};

/// No test waits that long unless it fails.
const FAILED: Duration = Duration::from_secs(10);

async fn open(listen: Vec<Listen>) -> Listeners {
    open_with(listen, false, &Inherited::default()).await
}

async fn open_with(listen: Vec<Listen>, allow_remote_clients: bool, inherited: &Inherited) -> Listeners {
    let forward = ForwardSettings {
        listen,
        host: None,
        port: 80,
        allow_remote_clients,
        document: Document::PortForwarding,
    };
    Listeners::open("test", &forward, inherited).await
}

async fn accept(listeners: &mut Listeners) -> LocalSocket {
    timeout(FAILED, listeners.accept(true)).await.unwrap()
}

fn unix(path: &Path) -> Vec<Listen> {
    vec![Listen::Unix(path.to_owned())]
}

#[tokio::test]
async fn a_free_port_is_reported_and_accepts_without_delay() {
    let mut listeners = open(vec![Listen::Tcp("127.0.0.1:0".parse().unwrap())]).await;
    let addresses = listeners.addresses();
    let address: SocketAddr = addresses[0].parse().unwrap();
    assert_ne!(address.port(), 0);
    let _client = TcpStream::connect(address).await.unwrap();
    let LocalSocket::Tcp(accepted) = accept(&mut listeners).await else {
        panic!("not TCP")
    };
    assert!(accepted.nodelay().unwrap());
    assert_eq!(listeners.error(), None);
}

#[tokio::test]
async fn localhost_is_every_family_the_machine_has_on_one_port() {
    let mut listeners = open(vec![Listen::Localhost(0)]).await;
    let addresses: Vec<SocketAddr> = listeners
        .addresses()
        .iter()
        .map(|address| address.parse().unwrap())
        .collect();
    let has_v6 = TcpListener::bind("[::1]:0").await.is_ok();
    assert_eq!(addresses.len(), if has_v6 { 2 } else { 1 });
    for address in &addresses {
        assert!(address.ip().is_loopback());
        assert_eq!(address.port(), addresses[0].port());
        let client = TcpStream::connect(address).await.unwrap();
        let LocalSocket::Tcp(accepted) = accept(&mut listeners).await else {
            panic!("not TCP")
        };
        assert_eq!(
            accepted.peer_addr().unwrap(),
            client.local_addr().unwrap(),
            "accepted somebody else"
        );
    }
}

#[tokio::test]
async fn a_connection_waits_until_the_session_takes_it() {
    let mut listeners = open(vec![Listen::Tcp("127.0.0.1:0".parse().unwrap())]).await;
    let address = listeners.addresses()[0].clone();
    let _client = TcpStream::connect(address).await.unwrap();
    let refused = timeout(Duration::from_millis(50), listeners.accept(false)).await;
    assert!(refused.is_err(), "accepted although there was no room");
    accept(&mut listeners).await;
}

#[tokio::test(start_paused = true)]
async fn a_port_in_use_is_visible_leaves_others_alone_and_is_taken_once_free() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap();
    let mut listeners = open(vec![Listen::Tcp(address), Listen::Tcp("127.0.0.1:0".parse().unwrap())]).await;
    let error = listeners.error().unwrap();
    assert!(error.contains(&address.to_string()), "{error}");
    assert_eq!(listeners.addresses().len(), 1);
    let other = listeners.addresses()[0].clone();
    let _client = TcpStream::connect(other).await.unwrap();
    accept(&mut listeners).await;

    drop(taken);
    let news = timeout(Duration::from_secs(6), listeners.accept(false)).await;
    assert!(news.is_err());
    assert_eq!(listeners.error(), None);
    assert_eq!(listeners.addresses().len(), 2);
    let _client = TcpStream::connect(address).await.unwrap();
    accept(&mut listeners).await;
}

#[tokio::test]
async fn a_unix_socket_is_private_and_goes_away_with_its_listener() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db.sock");
    let mut listeners = open(unix(&path)).await;
    assert_eq!(listeners.addresses(), [format!("unix:{}", path.display())]);
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let _client = UnixStream::connect(&path).await.unwrap();
    assert!(matches!(accept(&mut listeners).await, LocalSocket::Unix(_)));
    drop(listeners);
    tokio::task::yield_now().await;
    assert!(!path.exists());
}

#[tokio::test]
async fn a_socket_nobody_answers_on_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db.sock");
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists(), "std and tokio leave the file");
    let mut listeners = open(unix(&path)).await;
    assert_eq!(listeners.error(), None);
    let _client = UnixStream::connect(&path).await.unwrap();
    accept(&mut listeners).await;
}

#[tokio::test]
async fn a_socket_somebody_answers_on_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db.sock");
    let _owner = UnixListener::bind(&path).unwrap();
    let listeners = open(unix(&path)).await;
    let error = listeners.error().unwrap();
    assert!(error.contains("another program answers"), "{error}");
    drop(listeners);
    assert!(UnixStream::connect(&path).await.is_ok());
}

#[tokio::test]
async fn a_file_that_is_no_socket_is_never_removed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db.sock");
    fs::write(&path, "precious").unwrap();
    let listeners = open(unix(&path)).await;
    let error = listeners.error().unwrap();
    assert!(error.contains("not a socket"), "{error}");
    drop(listeners);
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
}

#[tokio::test]
async fn a_socket_that_took_our_place_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db.sock");
    let listeners = open(unix(&path)).await;
    fs::remove_file(&path).unwrap();
    let _other = UnixListener::bind(&path).unwrap();
    drop(listeners);
    tokio::task::yield_now().await;
    assert!(UnixStream::connect(&path).await.is_ok());
}

#[tokio::test]
async fn a_socket_of_the_sessions_name_is_used_instead_of_binding_and_outlives_a_stop() {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    // What the settings say could not be bound.
    let listen = vec![Listen::Tcp(taken.local_addr().unwrap())];
    let inherited = Inherited::with_tcp("test", socket);
    for _turn in 0..2 {
        let mut listeners = open_with(listen.clone(), false, &inherited).await;
        assert_eq!(listeners.addresses(), [address.to_string()]);
        let _client = TcpStream::connect(address).await.unwrap();
        accept(&mut listeners).await;
        listeners.close();
        assert_eq!(listeners.addresses(), [""; 0]);
    }
    let other = open_with(listen, false, &Inherited::with_tcp("other", taken)).await;
    assert!(other.error().unwrap().contains("in use"), "{:?}", other.error());
}

#[tokio::test]
async fn a_socket_that_other_machines_reach_needs_the_same_permission_as_an_address() {
    let socket = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
    let inherited = Inherited::with_tcp("test", socket);
    let error = open_with(Vec::new(), false, &inherited).await.error().unwrap();
    assert!(
        error.contains("the service manager's socket") && error.contains("allow_remote_clients"),
        "{error}"
    );
    assert_eq!(open_with(Vec::new(), true, &inherited).await.error(), None);
}
