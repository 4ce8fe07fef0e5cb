//! rtnetlink: links, addresses and default routes of both families (rtnetlink(7)).

use std::collections::BTreeSet;
use std::io;

use autossm_proto::session::NetworkChange;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with};
use tokio::net::UnixDatagram;

/// RTMGRP_LINK, RTMGRP_IPV4_IFADDR, RTMGRP_IPV4_ROUTE, RTMGRP_IPV6_IFADDR, RTMGRP_IPV6_ROUTE.
const GROUPS: u32 = 0x1 | 0x10 | 0x40 | 0x100 | 0x400;
/// `struct nlmsghdr`.
const HEADER: usize = 16;
/// The kernel's messages are smaller (NLMSG_GOODSIZE).
const LARGEST: usize = 32 << 10;

/// A socket that hears of every change.
#[derive(Debug)]
pub(super) struct Netlink {
    /// A netlink socket in the runtime's type for datagram sockets without a port: it only ever polls and calls recv(2).
    socket: UnixDatagram,
    buffer: Vec<u8>,
}

impl Netlink {
    pub(super) fn open() -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        // No protocol is NETLINK_ROUTE, whose number is 0.
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
        bind(&socket, &SocketAddrNetlink::new(0, GROUPS))?;
        Ok(Self {
            socket: UnixDatagram::from_std(socket.into())?,
            buffer: vec![0; LARGEST],
        })
    }

    /// Waits for a change that matters. Cancel safe.
    pub(super) async fn next(&mut self) -> io::Result<NetworkChange> {
        loop {
            match self.socket.recv(&mut self.buffer).await {
                Ok(length) => {
                    let messages = self.buffer.get(..length).unwrap_or_default();
                    if let Some(change) = super::most_telling(&changes(messages)) {
                        return Ok(change);
                    }
                }
                // Some messages did not fit into the socket's queue: there were many changes.
                Err(error) if error.raw_os_error() == Some(rustix::io::Errno::NOBUFS.raw_os_error()) => {
                    return Ok(NetworkChange::Route);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// What a run of messages tells; malformed ones tell nothing.
fn changes(mut messages: &[u8]) -> BTreeSet<NetworkChange> {
    let mut found = BTreeSet::new();
    while let Some(length) = number(messages, 0) {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let Some(message) = messages.get(..length).filter(|message| message.len() >= HEADER) else {
            break;
        };
        found.extend(change(message));
        // Aligned to four bytes.
        messages = messages.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    found
}

fn change(message: &[u8]) -> Option<NetworkChange> {
    let kind = u16::from_ne_bytes(*message.get(4..)?.first_chunk()?);
    let body = message.get(HEADER..)?;
    match kind {
        // RTM_NEWLINK, RTM_DELLINK. `struct ifinfomsg`: which flags have changed; only up and running matter.
        16 | 17 => {
            const UP_OR_RUNNING: u32 = 0x1 | 0x40;
            let changed = number(body, 12)?;
            (kind == 17 || changed & UP_OR_RUNNING != 0).then_some(NetworkChange::Link)
        }
        // RTM_NEWADDR, RTM_DELADDR. `struct ifaddrmsg`: its scope; those of the host itself and of one link, which each
        // container brings, carry nothing of ours.
        20 | 21 => {
            const SCOPE_LINK: u8 = 253;
            (*body.get(3)? < SCOPE_LINK).then_some(NetworkChange::Address)
        }
        // RTM_NEWROUTE, RTM_DELROUTE. `struct rtmsg`: the length of the prefix; a default route has none.
        24 | 25 => (*body.get(1)? == 0).then_some(NetworkChange::Route),
        _ => None,
    }
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u16, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(HEADER + body.len()).unwrap();
        let mut message = length.to_ne_bytes().to_vec();
        message.extend(kind.to_ne_bytes());
        message.extend([0; 10]);
        message.extend(body);
        message.resize(message.len().next_multiple_of(4), 0);
        message
    }

    fn link(changed: u32) -> Vec<u8> {
        let mut body = vec![0; 12];
        body.extend(changed.to_ne_bytes());
        message(16, &body)
    }

    #[test]
    fn only_what_can_move_packets_counts() {
        let list = |messages: &[u8]| changes(messages).into_iter().collect::<Vec<_>>();
        assert_eq!(list(&link(0)), [], "statistics of an interface");
        assert_eq!(list(&link(0x40)), [NetworkChange::Link]);
        assert_eq!(list(&message(20, &[2, 8, 0, 254, 0, 0, 0, 0])), [], "127.0.0.1");
        assert_eq!(list(&message(20, &[10, 64, 0, 253, 0, 0, 0, 0])), [], "fe80::");
        assert_eq!(list(&message(21, &[2, 24, 0, 0, 2, 0, 0, 0])), [NetworkChange::Address]);
        assert_eq!(list(&message(24, &[2, 24, 0, 0])), [], "the route of a subnet");
        assert_eq!(list(&message(25, &[10, 0, 0, 0])), [NetworkChange::Route]);
        let all = [link(1), message(21, &[2, 24, 0, 0]), message(99, &[])].concat();
        assert_eq!(list(&all), [NetworkChange::Link, NetworkChange::Address]);
    }

    #[test]
    fn nonsense_tells_nothing_and_ends() {
        assert!(changes(&[]).is_empty());
        assert!(changes(&[0; 64]).is_empty());
        assert!(changes(&[0xff; 64]).is_empty());
        let mut short = link(1);
        short.truncate(20);
        assert!(changes(&short).is_empty());
    }
}
