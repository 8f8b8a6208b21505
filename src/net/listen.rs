//! Listening sockets. Every worker has its own on the same address (`SO_REUSEPORT`), so that the kernel spreads
//! connections over workers and no thread hands a connection to another.

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use socket2::{Domain, Protocol, Socket, Type};

/// Connections that the kernel keeps for us until they are accepted.
const BACKLOG: i32 = 4096;

/// A listening socket.
#[derive(Debug)]
pub enum Listener {
    /// Of an address.
    Tcp(TcpListener),
    /// Of a path.
    Unix(UnixListener),
}

impl From<TcpListener> for Listener {
    fn from(tcp: TcpListener) -> Self {
        Self::Tcp(tcp)
    }
}

/// Binds `count` sockets to one address. With port 0 the kernel chooses a port, the same for all.
///
/// # Errors
/// The first socket that cannot be bound.
pub fn bind(address: SocketAddr, count: usize) -> io::Result<Vec<TcpListener>> {
    if address.port() != 0 {
        // `SO_REUSEPORT` would let a second gateway of the same user share the port, and take half of the connections
        // unnoticed. A socket without it is refused where anybody listens already.
        Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))
            .and_then(|probe| probe.set_reuse_address(true).and_then(|()| probe.bind(&address.into())))?;
    }
    let first = bind_one(address)?;
    let address = first.local_addr()?;
    let rest = (1..count).map(|_| bind_one(address));
    std::iter::once(Ok(first)).chain(rest).collect()
}

fn bind_one(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Takes over from a process that has just ended, whose connections are still in TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Binds one socket to a path, and hands it out `count` times: there is no `SO_REUSEPORT` for these, whoever accepts
/// first has the connection. A socket that a process left behind when it ended is replaced. Who may connect is what the
/// permissions of the file and of its directory say.
///
/// # Errors
/// Somebody listens there, or there is something that is no socket, or the path cannot be bound.
pub fn bind_unix(path: &Path, count: usize) -> io::Result<Vec<UnixListener>> {
    if fs::symlink_metadata(path).is_ok_and(|there| there.file_type().is_socket()) {
        match UnixStream::connect(path) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path)?,
            _ => return Err(io::ErrorKind::AddrInUse.into()),
        }
    }
    let first = UnixListener::bind(path)?;
    first.set_nonblocking(true)?;
    let rest: io::Result<Vec<UnixListener>> = (1..count).map(|_| first.try_clone()).collect();
    Ok(std::iter::once(first).chain(rest?).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_that_was_left_behind_is_replaced_and_nothing_else_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let listeners = bind_unix(&path, 2).unwrap();
        assert_eq!(listeners.len(), 2);
        assert_eq!(bind_unix(&path, 1).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(listeners);
        assert!(bind_unix(&path, 1).is_ok());
        let file = directory.path().join("file");
        fs::write(&file, "kept").unwrap();
        assert!(bind_unix(&file, 1).is_err());
        assert_eq!(fs::read_to_string(&file).unwrap(), "kept");
    }
}
