//! The control socket: made so that nobody else can connect to it, and one daemon at most has it.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::os::unix::net::UnixListener as StdListener;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, fchmod, flock};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use tokio::net::UnixListener;

use crate::config::{Me, Stranger, strangers_on_the_way};

/// Connections the kernel holds for us until they are accepted.
const PENDING_CONNECTIONS: i32 = 128;

/// Why there is no control socket.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another daemon has it.
    #[error(
        "another autossm daemon has the control socket {}; stop that one, or give this one --socket PATH", .path.display()
    )]
    AlreadyRunning {
        /// The socket.
        path: PathBuf,
    },
    /// Others could put their own socket in its place.
    #[error(
        "the control socket's directory {} {reason}; make it a directory of your own with mode 0700, or give --socket PATH", .directory.display()
    )]
    UnsafeDirectory {
        /// The directory.
        directory: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Others could put their own directory in the place of the socket's.
    #[error(
        "the control socket's directory {} is not safe: {} {reason}; change that, or give --socket PATH",
        .directory.display(), .place.display()
    )]
    UnsafeWay {
        /// The directory.
        directory: PathBuf,
        /// What others could change on the way to it.
        place: PathBuf,
        /// What is wrong with that.
        reason: String,
    },
    /// Something that is no socket is there.
    #[error("{} is there and is no socket; remove it, or give --socket PATH", .path.display())]
    InTheWay {
        /// The path of the socket to be.
        path: PathBuf,
    },
    /// The system refused.
    #[error("cannot {action} {}", .path.display())]
    System {
        /// What was tried.
        action: &'static str,
        /// With which path.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// A bound control socket. It is removed when this is dropped; the lock file beside it stays.
#[derive(Debug)]
pub struct ControlSocket {
    listener: UnixListener,
    path: PathBuf,
    /// Locked as long as it is open.
    _lock: File,
}

impl ControlSocket {
    /// Binds the socket with mode 0600, its directory made with mode 0700 if it is missing. A socket that a dead daemon
    /// has left is replaced.
    ///
    /// # Errors
    /// [`BindError`].
    ///
    /// # Panics
    /// Outside a tokio runtime with I/O enabled.
    pub fn bind(path: &Path) -> Result<Self, BindError> {
        let directory = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        prepare_directory(directory)?;
        let lock = lock(path)?;
        remove_stale(path)?;
        let bound = listen(path).map_err(|source| BindError::System {
            action: "bind the control socket",
            path: path.to_owned(),
            source,
        })?;
        Ok(Self {
            listener: bound,
            path: path.to_owned(),
            _lock: lock,
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(super) const fn listener(&self) -> &UnixListener {
        &self.listener
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::debug!(%error, "the control socket was not removed");
        }
    }
}

fn prepare_directory(directory: &Path) -> Result<(), BindError> {
    let system = |action| {
        move |source| BindError::System {
            action,
            path: directory.to_owned(),
            source,
        }
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(system("make the control socket's directory"))?;
    let metadata = directory
        .symlink_metadata()
        .map_err(system("look at the control socket's directory"))?;
    let reason = if !metadata.is_dir() {
        "is a symbolic link"
    } else if metadata.uid() != rustix::process::geteuid().as_raw() {
        "belongs to another user"
    } else if metadata.mode() & 0o022 != 0 {
        "can be written by others"
    } else {
        return safe_way(directory);
    };
    Err(BindError::UnsafeDirectory {
        directory: directory.to_owned(),
        reason,
    })
}

/// A directory of one's own is of no use where others can put another in its place.
fn safe_way(directory: &Path) -> Result<(), BindError> {
    let strangers = strangers_on_the_way(directory, Me::from_process()).map_err(|source| BindError::System {
        action: "look at the way to the control socket's directory",
        path: directory.to_owned(),
        source,
    })?;
    let Some((place, _, stranger)) = strangers.into_iter().next() else {
        return Ok(());
    };
    Err(BindError::UnsafeWay {
        directory: directory.to_owned(),
        place,
        reason: match stranger {
            Stranger::Owner(uid) => format!("belongs to user {uid}"),
            Stranger::Group(gid) => format!("can be written by every member of group {gid}"),
            Stranger::Everybody => "can be written by every user of this machine".to_owned(),
        },
    })
}

fn lock(path: &Path) -> Result<File, BindError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let lock_path = PathBuf::from(name);
    let system = |source| BindError::System {
        action: "lock",
        path: lock_path.clone(),
        source,
    };
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&lock_path)
        .map_err(system)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(BindError::AlreadyRunning { path: path.to_owned() }),
        Err(error) => Err(system(error.into())),
    }
}

/// Only called with the lock held: whoever bound a socket that is still there is dead.
fn remove_stale(path: &Path) -> Result<(), BindError> {
    let system = |source| BindError::System {
        action: "remove the old control socket",
        path: path.to_owned(),
        source,
    };
    match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(system(error)),
        Ok(metadata) if metadata.file_type().is_socket() => std::fs::remove_file(path).map_err(system),
        Ok(_) => Err(BindError::InTheWay { path: path.to_owned() }),
    }
}

fn listen(path: &Path) -> io::Result<UnixListener> {
    let address = SocketAddrUnix::new(path)?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    // Linux gives the file the mode the socket has when it is bound: there is no moment in which others could connect.
    fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    rustix::net::bind(&socket, &address)?;
    rustix::net::listen(&socket, PENDING_CONNECTIONS)?;
    UnixListener::from_std(StdListener::from(socket))
}
