//! Listening sockets. Every worker has its own on the same address (`SO_REUSEPORT`), so that the kernel spreads
//! connections over workers and no thread hands a connection to another.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

/// Connections that the kernel keeps for us until they are accepted.
const BACKLOG: i32 = 4096;

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
