//! What the fronts of one worker share: the generation in force, what was remembered, and the decision about a request.

use std::rc::Rc;
use std::sync::Arc;

use tokio::task::yield_now;

use super::authority::ToAuthority;
use super::exchanges::Exchanges;
use super::keys::Keys;
use super::record::Record;
use super::request_id::RequestIds;
use super::serving::{Current, Serving};
use crate::core::decision::{Decision, Outcome};
use crate::core::head::RequestHead;
use crate::core::token::SignatureCheck;
use crate::core::{Facts, KeysAsked, Need, decide};
use crate::live::keys::KeyRefresh;
use crate::live::memo::TokenMemo;
use crate::live::state::Live;
use crate::net::handshake::HandshakeError;
use crate::net::head::Head;
use crate::net::service;
use crate::telemetry::access_log::WorkerLog;
use crate::telemetry::metrics::{Metrics, OpenConnection, WorkerMetrics};

/// What one worker needs to serve requests.
pub struct Worker {
    current: Current,
    exchanges: Rc<Exchanges>,
    memo: TokenMemo,
    keys: Keys,
    authority: ToAuthority,
    ids: RequestIds,
    metrics: WorkerMetrics,
    shared_metrics: Arc<Metrics>,
    log: WorkerLog,
}

impl Worker {
    /// A worker's part of the proxy. `memo_bytes_max` bounds its memory of verified tokens.
    #[must_use]
    pub fn new(
        live: Arc<Live>,
        keys: KeyRefresh,
        authority: ToAuthority,
        metrics: Arc<Metrics>,
        log: WorkerLog,
        memo_bytes_max: u64,
    ) -> Self {
        Self {
            exchanges: Exchanges::new(Arc::clone(&live)),
            current: Current::new(live),
            memo: TokenMemo::new(memo_bytes_max),
            keys: Keys::new(keys),
            authority,
            ids: RequestIds::new(),
            metrics: WorkerMetrics::new(&metrics),
            shared_metrics: metrics,
            log,
        }
    }

    pub(super) fn serving(&self) -> Rc<Serving> {
        self.current.get()
    }

    pub(super) fn exchanges(&self) -> &Rc<Exchanges> {
        &self.exchanges
    }

    pub(super) fn authority(&self) -> &ToAuthority {
        &self.authority
    }

    pub(super) fn ids(&self) -> &RequestIds {
        &self.ids
    }

    pub(super) fn metrics(&self) -> &WorkerMetrics {
        &self.metrics
    }

    pub(super) fn log(&self) -> &WorkerLog {
        &self.log
    }

    /// One more connection of a client, until it is dropped.
    pub(super) fn connection(&self) -> OpenConnection {
        self.shared_metrics.connection()
    }

    /// The bounds of a connection that is accepted now.
    pub(super) fn limits(&self) -> service::Limits {
        let serving = self.serving();
        let limits = &serving.generation().limits;
        service::Limits { header_bytes: limits.header_bytes, request_head: limits.request_head, idle: limits.idle }
    }

    /// Counts a handshake.
    pub(super) fn handshake(&self, result: Result<(), &HandshakeError>) {
        self.shared_metrics.tls_handshake(match result {
            Ok(()) => "success",
            Err(HandshakeError::TooSlow) => "timeout",
            Err(HandshakeError::Failed(_) | HandshakeError::Silent) => "failure",
        });
    }

    /// Decides. Where that depends on keys which an issuer may have published since, it waits for them, once, and goes on
    /// under the generation that has them.
    pub(super) async fn decide(&self, head: &Head, record: &mut Record) -> Outcome {
        let outcome = match self.decide_now(head, record, KeysAsked::NotYet) {
            Ok(outcome) => outcome,
            Err(need) => Box::pin(self.decide_later(head, record, need)).await,
        };
        // That took longer than all the rest of a request. Others go first, and what is sent then is sent together: between
        // verifications each would find its receiver asleep, and to wake somebody up takes nearly as long. A refusal is not
        // kept waiting: it would be lost with a client that has ended its side.
        if record.trace.signature == Some(SignatureCheck::Verified) && matches!(outcome, Outcome::Forward(_)) {
            yield_now().await;
        }
        outcome
    }

    async fn decide_later(&self, head: &Head, record: &mut Record, mut need: Need) -> Outcome {
        loop {
            let Need::Keys(issuer) = need;
            let serving = record.serving();
            let issuer = serving.snapshot().issuers.get(issuer).map_or("", |issuer| &issuer.name);
            // Nothing is decided while it waits, and the client may give up.
            record.decided = false;
            let keys = self.keys.ask(issuer).await;
            record.decided = true;
            record.catch_up();
            match self.decide_now(head, record, keys) {
                Ok(outcome) => return outcome,
                Err(another) => need = another,
            }
        }
    }

    /// Decides, and remembers how.
    fn decide_now(&self, head: &Head, record: &mut Record, keys: KeysAsked) -> Result<Outcome, Need> {
        let head = RequestHead { method: &head.method, target: head.target(), headers: head.fields() };
        let facts = Facts { memo: &self.memo, keys };
        let Decision { outcome, trace } = decide(record.snapshot(), &head, &facts, record.arrived_at())?;
        // A request that was let through all the same has not waited; the next may find the key there.
        let missing = trace.key_missing.filter(|_| trace.shadowed.is_some());
        if let Some(issuer) = missing.and_then(|id| record.snapshot().issuers.get(id)) {
            self.keys.ask_in_background(&issuer.name);
        }
        record.trace = trace;
        Ok(outcome)
    }
}
