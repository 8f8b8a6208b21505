//! Who guesses secrets has to wait: after 10 failures within a minute for one client from one address, or 100 from one
//! address, nothing more is tried from there. Elsewhere the client's right secret still works.
//!
//! Memory is bounded; where it is full, whoever has failed longest ago is forgotten.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};

use aws_lc_rs::digest::{SHA256, digest};

use crate::core::time::UnixSeconds;

const WINDOW_SECONDS: i64 = 60;
const PER_CLIENT_MAX: usize = 10;
const PER_ADDRESS_MAX: usize = 100;
const CLIENTS_MAX: usize = 4096;
const ADDRESSES_MAX: usize = 1024;

/// The failures of the last minute.
#[derive(Default)]
pub(super) struct Guesses {
    clients: Failures<(IpAddr, [u8; 32]), PER_CLIENT_MAX, CLIENTS_MAX>,
    addresses: Failures<IpAddr, PER_ADDRESS_MAX, ADDRESSES_MAX>,
}

impl Guesses {
    /// Whether a client may be tried from this address.
    ///
    /// # Errors
    /// After how many seconds it may be again.
    pub(super) fn check(&self, id: &str, peer: IpAddr, now: UnixSeconds) -> Result<(), u32> {
        let (peer, id) = (network(peer), hash(id));
        self.clients.check(&(peer, id), now).and(self.addresses.check(&peer, now))
    }

    /// Notes a failure.
    pub(super) fn failed(&mut self, id: &str, peer: IpAddr, now: UnixSeconds) {
        let (peer, id) = (network(peer), hash(id));
        self.clients.note((peer, id), now);
        self.addresses.note(peer, now);
    }
}

/// When something failed, the last `N` times, for at most `KEYS` keys.
struct Failures<K, const N: usize, const KEYS: usize>(HashMap<K, VecDeque<UnixSeconds>>);

impl<K, const N: usize, const KEYS: usize> Default for Failures<K, N, KEYS> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Copy + Eq + Hash, const N: usize, const KEYS: usize> Failures<K, N, KEYS> {
    fn check(&self, key: &K, now: UnixSeconds) -> Result<(), u32> {
        let Some(times) = self.0.get(key).filter(|times| times.len() >= N) else { return Ok(()) };
        let Some(oldest) = times.front() else { return Ok(()) };
        match oldest.plus(WINDOW_SECONDS).0.saturating_sub(now.0) {
            ..=0 => Ok(()),
            // A clock that was put back makes nobody wait for longer than the window.
            seconds => Err(u32::try_from(seconds.min(WINDOW_SECONDS)).unwrap_or(1)),
        }
    }

    fn note(&mut self, key: K, now: UnixSeconds) {
        if !self.0.contains_key(&key) && self.0.len() >= KEYS {
            self.forget_one();
        }
        let times = self.0.entry(key).or_default();
        if times.len() >= N {
            times.pop_front();
        }
        times.push_back(now);
    }

    fn forget_one(&mut self) {
        let longest_ago = self.0.iter().min_by_key(|(_, times)| times.back().copied()).map(|(key, _)| *key);
        longest_ago.map(|key| self.0.remove(&key));
    }
}

/// Who is behind an address: of IPv6, everybody has a network of 64 bits at least.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        v4 => v4,
    }
}

/// Ids are as long as whoever sends them likes.
fn hash(id: &str) -> [u8; 32] {
    digest(&SHA256, id.as_bytes()).as_ref().try_into().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> UnixSeconds {
        UnixSeconds(1_790_000_000 + seconds)
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn one_client_from_one_address_fails_ten_times_a_minute() {
        let mut guesses = Guesses::default();
        for second in 0..10 {
            assert_eq!(guesses.check("a", ip("10.0.0.1"), at(second)), Ok(()));
            guesses.failed("a", ip("10.0.0.1"), at(second));
        }
        assert_eq!(guesses.check("a", ip("10.0.0.1"), at(10)), Err(50));
        assert_eq!(guesses.check("a", ip("10.0.0.1"), at(59)), Err(1));
        // Only the first of the ten is over: one more failure, and it is ten within a minute again.
        assert_eq!(guesses.check("a", ip("10.0.0.1"), at(60)), Ok(()));
        guesses.failed("a", ip("10.0.0.1"), at(60));
        assert_eq!(guesses.check("a", ip("10.0.0.1"), at(60)), Err(1));
        assert_eq!(guesses.check("a", ip("10.0.0.1"), at(-100_000)), Err(60));
    }

    #[test]
    fn others_go_on() {
        let mut guesses = Guesses::default();
        (0..10).for_each(|_| guesses.failed("a", ip("2001:db8:1:2:3::4"), at(0)));
        for (id, peer, is_tried) in [
            ("a", "2001:db8:1:2:3::4", false),
            ("a", "2001:db8:1:2:ffff::1", false),
            ("a", "2001:db8:1:3::4", true),
            ("a", "10.0.0.1", true),
            ("b", "2001:db8:1:2:3::4", true),
        ] {
            assert_eq!(guesses.check(id, ip(peer), at(1)).is_ok(), is_tried, "{id} {peer}");
        }
        (0..10).for_each(|_| guesses.failed("a", ip("::ffff:10.0.0.1"), at(0)));
        assert!(guesses.check("a", ip("10.0.0.1"), at(1)).is_err());
    }

    #[test]
    fn one_address_fails_a_hundred_times_a_minute() {
        let mut guesses = Guesses::default();
        for n in 0..100 {
            assert_eq!(guesses.check(&n.to_string(), ip("10.0.0.1"), at(0)), Ok(()));
            guesses.failed(&n.to_string(), ip("10.0.0.1"), at(0));
        }
        assert_eq!(guesses.check("another", ip("10.0.0.1"), at(0)), Err(60));
        assert_eq!(guesses.check("another", ip("10.0.0.2"), at(0)), Ok(()));
        assert_eq!(guesses.check("another", ip("10.0.0.1"), at(60)), Ok(()));
    }

    #[test]
    fn memory_has_a_bound() {
        let mut guesses = Guesses::default();
        (0..10).for_each(|_| guesses.failed("a", ip("10.0.0.1"), at(1)));
        for n in 0..2 * u32::try_from(CLIENTS_MAX).unwrap() {
            guesses.failed("b", IpAddr::V4((0x0B00_0000 + n).into()), at(0));
        }
        assert_eq!((guesses.clients.0.len(), guesses.addresses.0.len()), (CLIENTS_MAX, ADDRESSES_MAX));
        assert!(guesses.check("a", ip("10.0.0.1"), at(2)).is_err());
    }
}
