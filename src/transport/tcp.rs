//! The TCP connection below a websocket: lookup, the first address that answers, and the socket's options.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use autossm_proto::session::{Failure, FailureClass};
use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinSet;
use tracing::debug;

/// The next address is tried this long after the one before, although that one is still trying (RFC 8305, 5).
const STAGGER: Duration = Duration::from_millis(250);
/// A name with more addresses than this is not tried to its end: the dial's time is over before.
const MAX_ADDRESSES: usize = 8;
/// Unacknowledged data this old ends the connection: the kernel notices a dead path even where pings are not answered.
#[cfg(any(target_os = "linux", target_os = "android"))]
const USER_TIMEOUT: Duration = Duration::from_secs(20);
/// Bytes not yet sent that the kernel takes: a ping must not wait behind megabytes.
#[cfg(any(target_os = "linux", target_os = "android"))]
const NOT_SENT_LOW_WATER: u32 = 128 << 10;

/// Connects to one of the host's addresses; if `loopback`, only to one that is this machine's own. Cancel-safe: dropping
/// it ends all attempts.
pub(super) async fn connect(host: &str, port: u16, loopback: bool) -> Result<TcpStream, Failure> {
    let found = lookup_host((host, port))
        .await
        .map_err(|error| network(format!("cannot look up {host}: {error}")))?;
    let mut addresses: Vec<SocketAddr> = found.collect();
    if loopback {
        // A name service that sends `localhost` elsewhere would get the token.
        addresses.retain(|address| address.ip().is_loopback());
    }
    let stream = first_to_answer(interleave(addresses))
        .await
        .map_err(|error| network(format!("cannot connect to {host}: {error}")))?;
    set_options(&stream).map_err(|error| network(format!("cannot set up a socket: {error}")))?;
    Ok(stream)
}

/// IPv6 and IPv4 by turns, each in the resolver's order, beginning with the family the resolver put first.
fn interleave(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let v6_first = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (preferred, other): (Vec<_>, Vec<_>) = addresses.into_iter().partition(|address| address.is_ipv6() == v6_first);
    let mut other = other.into_iter();
    let mut order = Vec::new();
    for address in preferred {
        order.push(address);
        order.extend(other.next());
    }
    order.extend(other);
    order.truncate(MAX_ADDRESSES);
    order
}

async fn first_to_answer(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    let mut waiting = addresses.into_iter();
    let mut attempts = JoinSet::new();
    let mut last_error = io::Error::other("the name has no usable address");
    loop {
        if let Some(address) = waiting.next() {
            attempts.spawn(async move {
                TcpStream::connect(address).await.map_err(|error| {
                    debug!(%address, %error, "cannot connect");
                    error
                })
            });
        }
        let more = waiting.len() > 0;
        tokio::select! {
            biased;
            joined = attempts.join_next() => match joined {
                Some(Ok(Ok(stream))) => return Ok(stream),
                Some(Ok(Err(error))) => last_error = error,
                Some(Err(error)) => last_error = io::Error::other(error),
                None => return Err(last_error),
            },
            () = tokio::time::sleep(STAGGER), if more => {}
        }
    }
}

/// What makes a dead path noticed and keeps small frames quick.
fn set_options(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        let socket = socket2::SockRef::from(stream);
        socket.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
        socket.set_tcp_notsent_lowat(NOT_SENT_LOW_WATER)?;
    }
    Ok(())
}

fn network(text: String) -> Failure {
    Failure {
        class: FailureClass::Network,
        text,
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    fn parse(list: &[&str]) -> Vec<SocketAddr> {
        list.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn families_take_turns() {
        let addresses = parse(&["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1"]);
        assert_eq!(
            interleave(addresses),
            parse(&["[::1]:1", "1.1.1.1:1", "[::2]:1", "[::3]:1"])
        );
        let addresses = parse(&["1.1.1.1:1", "[::1]:1", "[::2]:1"]);
        assert_eq!(interleave(addresses), parse(&["1.1.1.1:1", "[::1]:1", "[::2]:1"]));
        assert_eq!(interleave(Vec::new()), []);
    }

    #[tokio::test]
    async fn an_address_that_refuses_does_not_stop_the_others() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let good = listener.local_addr().unwrap();
        let refusing = {
            let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
            gone.local_addr().unwrap()
        };
        let stream = first_to_answer(vec![refusing, good]).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), good);
        let error = first_to_answer(vec![refusing]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        assert!(first_to_answer(Vec::new()).await.is_err());
    }

    #[tokio::test]
    async fn options_are_set() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        set_options(&stream).unwrap();
        assert!(stream.nodelay().unwrap());
        #[cfg(target_os = "linux")]
        {
            let socket = socket2::SockRef::from(&stream);
            assert_eq!(socket.tcp_user_timeout().unwrap(), Some(USER_TIMEOUT));
            assert_eq!(socket.tcp_notsent_lowat().unwrap(), NOT_SENT_LOW_WATER);
        }
    }
}
