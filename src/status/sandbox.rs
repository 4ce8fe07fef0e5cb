//! Which protections the daemon really has: what systemd was asked for may be ignored silently.

use serde::{Deserialize, Serialize};

/// What holds for the daemon's own process, found out from inside.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sandbox {
    /// A service manager has started it.
    pub service: bool,
    /// No program it starts can gain privileges (`NoNewPrivileges=`).
    pub no_new_privileges: bool,
    /// Filters on its system calls (`SystemCallFilter=` and others).
    pub filters: u32,
    /// Sockets of other families than it needs are refused (`RestrictAddressFamilies=`).
    pub sockets_restricted: bool,
    /// It has a user namespace of its own (`PrivateUsers=`), without which a user's service manager cannot protect files.
    pub own_users: bool,
    /// Capabilities it could still get, as the kernel writes them; `0000000000000000` is none.
    pub capabilities: String,
    /// It has a `/tmp` of its own (`PrivateTmp=`).
    pub own_tmp: bool,
    /// Directories it was tried to make a file in, and whether that can be done.
    pub places: Vec<Place>,
    /// Milliseconds within which the service manager wants to hear of it, if it watches.
    pub watchdog_ms: Option<u64>,
}

/// One directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Where.
    pub path: String,
    /// Whether a file can be made in it.
    pub writable: bool,
}
