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
    pub policy: HeaderPolicy,
    /// The worker's connections to the backends.
    pub upstreams: Upstreams,
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
        let upstreams = Upstreams::new(upstreams, limits.idle, health);
        Self { policy: HeaderPolicy::new(&snapshot.identity), upstreams, generation }
    }

    fn next(&self, generation: Arc<Generation>) -> Self {
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
        let upstreams = Upstreams::succeeding(upstreams, limits.idle, health, old, &self.upstreams);
        Self { policy: HeaderPolicy::new(&snapshot.identity), upstreams, generation }
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

    /// The generation in force. After a reload each worker makes its own of it once, at the first request.
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
