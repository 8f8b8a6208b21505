//! Looks the names of backends up, again and again, off the request path.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::lookup_host;
use tokio::time::{sleep, timeout};

use super::check::jittered;
use super::health::EndpointHealth;
use crate::config::Endpoint;

/// Time between two look-ups.
const INTERVAL: Duration = Duration::from_secs(30);
/// Least time between two look-ups, when requests find that nothing listens where they were sent.
const INTERVAL_MIN: Duration = Duration::from_secs(1);
/// Longest time for one.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Whether an endpoint is a name, whose addresses may change.
pub(super) fn is_name(endpoint: &Endpoint) -> bool {
    endpoint.host.parse::<IpAddr>().is_err()
}

/// Keeps the addresses of one endpoint of this upstream up to date.
pub(super) async fn resolve_forever(endpoint: Endpoint, upstream: Box<str>, health: Arc<EndpointHealth>) {
    let mut look_ups = LookUps { upstream, health, is_failing: false };
    loop {
        let found = timeout(TIMEOUT, look_up(&endpoint)).await;
        look_ups.ended(found.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())));
        sleep(INTERVAL_MIN).await;
        let _ = timeout(jittered(INTERVAL), look_ups.health.resolve.notified()).await;
    }
}

/// The look-ups of one endpoint's name. How they go is told when it changes: a name server that is away for a night is one line.
struct LookUps {
    upstream: Box<str>,
    health: Arc<EndpointHealth>,
    is_failing: bool,
}

impl LookUps {
    /// Takes over what one found. What was found last stays when it failed: a backend outlives its name server.
    fn ended(&mut self, found: io::Result<Vec<SocketAddr>>) {
        let (upstream, endpoint) = (&*self.upstream, self.health.authority());
        let was_failing = std::mem::replace(&mut self.is_failing, found.is_err());
        match found {
            Ok(addresses) => {
                self.health.set_addresses(addresses);
                if was_failing {
                    tracing::info!(upstream, endpoint, "the name of a backend can be looked up again");
                }
            }
            Err(error) => {
                self.health.resolve_failed();
                if !was_failing {
                    tracing::warn!(upstream, endpoint, %error, "the name of a backend could not be looked up");
                }
            }
        }
    }
}

async fn look_up(endpoint: &Endpoint) -> io::Result<Vec<SocketAddr>> {
    let addresses: Vec<SocketAddr> = lookup_host((&*endpoint.host, endpoint.port)).await?.collect();
    if addresses.is_empty() { Err(io::Error::other("the name has no address")) } else { Ok(addresses) }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Instant;

    use serde_json::{Value, json};

    use super::*;
    use crate::config::Scheme;

    fn endpoint(host: &str) -> Endpoint {
        Endpoint { scheme: Scheme::Http, host: host.into(), port: 3000 }
    }

    struct Log(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The events that `run` logs: level, upstream, endpoint and error.
    fn logged(run: impl FnOnce()) -> Vec<[Value; 4]> {
        let written = Arc::new(Mutex::new(Vec::new()));
        let to = Arc::clone(&written);
        let subscriber = tracing_subscriber::fmt().json().flatten_event(true).with_writer(move || Log(Arc::clone(&to)));
        tracing::subscriber::with_default(subscriber.finish(), run);
        let written = written.lock().unwrap();
        let events = written.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice::<Value>(line).ok());
        events.map(|event| ["level", "upstream", "endpoint", "error"].map(|field| event[field].clone())).collect()
    }

    #[test]
    fn it_is_told_when_look_ups_begin_to_fail_and_when_they_are_good_again() {
        let health = Arc::new(EndpointHealth::new(&endpoint("backend.internal"), Instant::now()));
        let mut look_ups = LookUps { upstream: "users".into(), health: Arc::clone(&health), is_failing: false };
        let address: SocketAddr = "10.0.0.1:3000".parse().unwrap();
        let events = logged(|| {
            for good in [true, false, false, true, true, false] {
                look_ups.ended(if good { Ok(vec![address]) } else { Err(io::Error::other("no such host")) });
            }
        });
        let failing = [json!("WARN"), json!("users"), json!("backend.internal:3000"), json!("no such host")];
        let good = [json!("INFO"), json!("users"), json!("backend.internal:3000"), Value::Null];
        assert_eq!(events, [failing.clone(), good, failing]);
        assert_eq!(*health.addresses().list, [address], "it outlives its name server");
    }

    #[test]
    fn the_cause_is_that_of_the_system() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        // No name server is asked for this one.
        let error = runtime.block_on(look_up(&endpoint("a\0b"))).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
}
