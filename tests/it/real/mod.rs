//! Real peers on both sides: what grpcio, websockets, h2load and slowhttptest do, and tests made of raw bytes cannot know.

mod grpc;
mod h2load;
mod peers;
mod slow;
mod tls;
mod websockets;

use crate::harness::gateway::Gateway;
use peers::Peer;

/// A gateway in front of one of the peers, whose routes ask for the scope `peers:call`. `scheme` is how it is spoken to.
fn gateway_before(peer: &Peer, scheme: &str) -> Gateway {
    Gateway::start(&format!(
        "workers: 1
limits: {{drain_delay: 0s}}
identity: {{tenant: {{header: X-Tenant-Id, required: true}}}}
upstreams: {{peer: {{urls: ['{scheme}://{}']}}}}
routes:
  - {{match: '/peer.Echo/{{method}}', scopes: ['peers:call'], upstream: peer}}
  - {{match: '/ws/{{*path}}', scopes: ['peers:call'], upstream: peer}}
",
        peer.address,
    ))
}
