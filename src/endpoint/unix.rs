//! Listeners on Unix sockets.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::Mode;
use tokio::net::{UnixListener, UnixSocket, UnixStream};

/// Connections the kernel keeps until they are accepted.
const BACKLOG: u32 = 128;

/// A listener whose file goes away with it.
#[derive(Debug)]
pub(super) struct UnixEntrance {
    pub(super) listener: UnixListener,
    /// Dropped after the listener; none where the file is not ours.
    _file: Option<SocketFile>,
}

impl UnixEntrance {
    /// A listener of somebody else's making.
    pub(super) const fn foreign(listener: UnixListener) -> Self {
        Self { listener, _file: None }
    }
}

/// The file of a socket that we bound: device and inode tell it from one that took its place.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

/// Listens on a path with mode 0600. A socket nobody answers on is replaced; anything else that is in the way stays and
/// is an error.
pub(super) async fn bind(path: &Path) -> io::Result<UnixEntrance> {
    clear(path).await?;
    let socket = UnixSocket::new_stream()?;
    // Before the bind: the file is created with the socket's mode, so nobody else can connect in between.
    rustix::fs::fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    socket.bind(path)?;
    let file = SocketFile {
        path: path.to_owned(),
        identity: identity(path)?,
    };
    let listener = socket.listen(BACKLOG)?;
    Ok(UnixEntrance {
        listener,
        _file: Some(file),
    })
}

/// Removes what a process that died has left behind.
async fn clear(path: &Path) -> io::Result<()> {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !metadata.file_type().is_socket() {
        return Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "there is a file in its place that is not a socket",
        ));
    }
    match UnixStream::connect(path).await {
        Ok(_) => Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            "another program answers there",
        )),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) => Err(error),
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|found| found == self.identity)
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::debug!(path = %self.path.display(), %error, "socket file cannot be removed");
        }
    }
}
