//! File descriptors: each connection is one, and shells and service managers often grant 1,024 until they are asked for
//! more.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors beside those of connections: listeners, logs, watched files, runtimes.
const OTHERS: u64 = 64;

/// Takes all the descriptors that the process may have.
pub(super) fn take_all() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
    {
        tracing::debug!(%error, "cannot raise the number of file descriptors");
    }
}

/// Warns if there are not enough of them for `connections` clients, as many backends, and as many proxies that ask if any
/// may (`has_authz`).
pub(super) fn check(connections: usize, has_authz: bool) {
    let Some(granted) = getrlimit(Resource::Nofile).current else { return };
    if let Some(fits) = too_few(granted, connections, has_authz) {
        tracing::warn!(
            granted,
            fits,
            "the operating system grants too few file descriptors for limits.connections (ulimit -n, LimitNOFILE)"
        );
    }
}

/// How many connections `granted` descriptors are enough for, if that is less than `connections`.
fn too_few(granted: u64, connections: usize, has_authz: bool) -> Option<u64> {
    let each = if has_authz { 3 } else { 2 };
    let fits = granted.saturating_sub(OTHERS) / each;
    (fits < connections as u64).then_some(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_connection_takes_two() {
        assert_eq!(too_few(1024, 480, false), None);
        assert_eq!(too_few(1024, 481, false), Some(480));
        assert_eq!(too_few(10, 1, false), Some(0));
        assert_eq!(too_few(1024, 321, true), Some(320), "and one for a proxy that asks");
    }
}
