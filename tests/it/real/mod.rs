//! Real peers on both sides: what grpcio, websockets, h2load and slowhttptest do, and tests made of raw bytes cannot know.

mod grpc;
mod h2load;
pub(crate) mod peers;
mod slow;
mod tls;
mod websockets;

/// A configuration for a gateway in front of a peer at this URL, whose routes ask for the scope `peers:call`. `more` goes
/// into the upstream.
fn config(url: &str, more: &str) -> String {
    format!(
        "workers: 1
limits: {{drain_delay: 0s}}
identity: {{tenant: {{header: X-Tenant-Id, required: true}}}}
upstreams: {{peer: {{urls: ['{url}']{more}}}}}
routes:
  - {{match: '/peer.Echo/{{method}}', scopes: ['peers:call'], upstream: peer}}
  - {{match: '/ws/{{*path}}', scopes: ['peers:call'], upstream: peer}}
"
    )
}
