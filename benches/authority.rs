//! What a token costs the authority that makes it.
#![allow(missing_docs, reason = "criterion's macros make public items without docs")]
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a benchmark that cannot start has to end")]

use std::collections::HashMap;
use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use sidegate::authority::grant::Grant;
use sidegate::authority::mint;
use sidegate::core::algorithm::Algorithm;
use sidegate::core::time::UnixSeconds;

#[path = "../tests/it/support/authority.rs"]
mod authority;

const NOW: UnixSeconds = UnixSeconds(1_790_000_000);

/// Scopes settled, claims written, signed; everything but the storage.
fn token(c: &mut Criterion) {
    let mut group = c.benchmark_group("token");
    group.throughput(Throughput::Elements(1));
    let client = authority::client("acme", &["users:read", "users:write"]);
    for algorithm in [Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa] {
        let settings = authority::settings(algorithm);
        let keyring = authority::keyring(&settings, NOW);
        group.bench_function(BenchmarkId::from_parameter(algorithm.name()), |b| {
            b.iter(|| {
                let grant = Grant::new(black_box(&client), None, &[], &settings, &HashMap::new()).expect("a grant");
                mint::issue(&keyring.signer, &settings, &client, &grant, NOW).expect("a token").token
            });
        });
    }
    group.finish();
}

criterion_group!(benches, token);
criterion_main!(benches);
