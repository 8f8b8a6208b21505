//! What a worker serves requests with: the generation in force, and what this worker made of it.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use crate::core::snapshot::Snapshot;
use crate::live::state::{Generation, Live};
use crate::upstream::Upstreams;
use crate::upstream::headers::HeaderPolicy;

/// One generation, as one worker serves it. A request holds it until its answer is over.
pub struct Serving {
    generation: Arc<Generation>,
    /// Which header fields a backend sees.
    pub policy: Rc<HeaderPolicy>,
    /// The worker's connections to the backends.
    pub upstreams: Rc<Upstreams>,
}

impl Serving {
    /// What decisions are made from.
    #[must_use]
    pub fn snapshot(&self) -> &Snapshot {
        &self.generation.snapshot
    }

    /// The generation.
    #[must_use]
    pub fn generation(&self) -> &Generation {
        &self.generation
    }

    fn first(generation: Arc<Generation>) -> Self {
        let Generation {
            snapshot,
            upstreams,
            health,
            limits,
            listeners_tls: _,
            key_origins: _,
            mirrors: _,
            authority: _,
            authz: _,
            state_dir: _,
        } = &*generation;
        let upstreams = Rc::new(Upstreams::new(upstreams, limits.idle, health));
        Self { policy: Rc::new(HeaderPolicy::new(&snapshot.identity)), upstreams, generation }
    }

    fn next(&self, generation: Arc<Generation>) -> Self {
        if generation.has_configuration_of(&self.generation) {
            // Clients and keys change often, and nothing here is made of them.
            return Self { policy: Rc::clone(&self.policy), upstreams: Rc::clone(&self.upstreams), generation };
        }
        let Generation {
            snapshot,
            upstreams,
            health,
            limits,
            listeners_tls: _,
            key_origins: _,
            mirrors: _,
            authority: _,
            authz: _,
            state_dir: _,
        } = &*generation;
        let old = &self.generation.upstreams;
        let upstreams = Rc::new(Upstreams::succeeding(upstreams, limits.idle, health, old, &self.upstreams));
        Self { policy: Rc::new(HeaderPolicy::new(&snapshot.identity)), upstreams, generation }
    }
}

/// The newest generation, as one worker serves it.
pub struct Current {
    live: Arc<Live>,
    serving: RefCell<Rc<Serving>>,
}

impl Current {
    /// Follows `live`.
    #[must_use]
    pub fn new(live: Arc<Live>) -> Self {
        let first = Serving::first(Arc::clone(&live.load()));
        Self { live, serving: RefCell::new(Rc::new(first)) }
    }

    /// The generation in force. After each change of it each worker makes its own of it once, at the first request.
    #[must_use]
    pub fn get(&self) -> Rc<Serving> {
        let live = self.live.load();
        let serving = Rc::clone(&self.serving.borrow());
        if Arc::ptr_eq(&live, &serving.generation) {
            return serving;
        }
        let next = Rc::new(serving.next(Arc::clone(&live)));
        *self.serving.borrow_mut() = Rc::clone(&next);
        next
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{self, Config};
    use crate::core::snapshot::IssuerId;

    fn config() -> Config {
        let text = "listeners: [{address: 127.0.0.1:0}]
issuers: [{name: a, issuer: https://a.example, audiences: any, keys: {jwks_uri: https://a.example/k}}]
upstreams: {echo: {builtin: echo}}
routes: [{match: /a, authenticated: true, upstream: echo}]
";
        let loaded = config::from_text("config.yaml", text, Path::new("/"), &|_| None);
        loaded.unwrap_or_else(|problems| panic!("{}", problems.render(false)))
    }

    #[test]
    fn only_a_reload_makes_anew_what_a_worker_has_made() {
        let first = Serving::first(Arc::new(Generation::first(config())));
        let keys = first.generation.with_keys(IssuerId(0), Arc::default());
        let same = first.next(Arc::new(keys));
        assert!(Rc::ptr_eq(&first.policy, &same.policy) && Rc::ptr_eq(&first.upstreams, &same.upstreams));
        assert_eq!(same.snapshot().number, first.snapshot().number + 1);
        let reloaded = same.generation.next(same.generation.prepare(config()));
        let other = same.next(Arc::new(reloaded));
        assert!(!Rc::ptr_eq(&same.policy, &other.policy) && !Rc::ptr_eq(&same.upstreams, &other.upstreams));
    }
}
