//! Ends connections that are of no use: those of backends that are gone without a word, and those that nobody needs.

use std::rc::Rc;
use std::time::Duration;

use h2::{Ping, PingPong};
use tokio::time::{sleep, timeout};

use super::connection::Activity;
use crate::upstream::pool::IDLE;

/// Time between two looks at a connection.
const TICK: Duration = Duration::from_secs(10);
/// How long a backend that has requests to answer is silent before it is asked whether it is there.
const SILENCE_MAX: Duration = Duration::from_secs(20);
/// The same once it has said so and nothing else. Servers of gRPC close connections on which they are asked more than
/// once in five minutes.
const SILENCE_MAX_AFTER_PONG: Duration = Duration::from_secs(310);
/// How long it has to answer that.
const PONG_MAX: Duration = Duration::from_secs(10);

/// Returns when a connection is to be closed.
pub(super) async fn keep(activity: Rc<Activity>, mut pings: PingPong) {
    let (mut silence, mut silence_max) = (Duration::ZERO, SILENCE_MAX);
    loop {
        sleep(TICK).await;
        let idle_since = activity.idle_since();
        if idle_since.is_some_and(|since| since.elapsed() >= IDLE) {
            return;
        }
        if activity.heard.replace(false) || idle_since.is_some() {
            (silence, silence_max) = (Duration::ZERO, SILENCE_MAX);
            continue;
        }
        silence += TICK;
        if silence < silence_max {
            continue;
        }
        let Ok(Ok(_pong)) = timeout(PONG_MAX, pings.ping(Ping::opaque())).await else { return };
        activity.heard.set(false);
        (silence, silence_max) = (Duration::ZERO, SILENCE_MAX_AFTER_PONG);
    }
}
