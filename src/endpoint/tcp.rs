//! TCP listeners.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::net::TcpListener;

/// Free ports of IPv4 tried until one is also free on IPv6.
const PORT_TRIES: usize = 16;

/// Listens on one address.
pub(super) async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// Listens on 127.0.0.1 and, where the machine has it, on ::1 with the same port; port 0 becomes one that is free on
/// both.
pub(super) async fn bind_localhost(port: u16) -> io::Result<Vec<TcpListener>> {
    let mut tries = if port == 0 { PORT_TRIES } else { 1 };
    loop {
        let v4 = bind((Ipv4Addr::LOCALHOST, port).into()).await?;
        let chosen = v4.local_addr()?.port();
        tries -= 1;
        match bind((Ipv6Addr::LOCALHOST, chosen).into()).await {
            Ok(v6) => return Ok(vec![v4, v6]),
            Err(error) if is_without_ipv6(&error) => return Ok(vec![v4]),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && tries > 0 => {}
            Err(error) => return Err(error),
        }
    }
}

/// No IPv6 in the kernel, or no ::1 on the loopback interface.
fn is_without_ipv6(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable
        || error
            .raw_os_error()
            .is_some_and(|code| code == rustix::io::Errno::AFNOSUPPORT.raw_os_error())
}
