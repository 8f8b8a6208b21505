//! What is kept of a request so that it can be sent a second time.
//!
//! HTTP/2 takes a request's head by value and does not give it back once it was written. A copy of the header map would
//! allocate on every request; this one uses the same memory again and again.

use std::cell::RefCell;
use std::mem;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version};

use super::outgoing::Outgoing;

/// Heads of this many fields are kept in memory that is used again. Longer ones are rare.
const FIELDS_KEPT: usize = 64;
/// Most heads for which memory is kept.
const SPARE_MAX: usize = 64;

/// Memory for the next replays of this worker.
#[derive(Debug, Default)]
pub(super) struct ReplayMemory(RefCell<Vec<Vec<(HeaderName, HeaderValue)>>>);

/// The head of a request without a body.
#[derive(Debug)]
pub(super) struct Replay<'a> {
    method: Method,
    uri: Uri,
    fields: Vec<(HeaderName, HeaderValue)>,
    memory: &'a ReplayMemory,
}

impl<'a> Replay<'a> {
    /// Keeps the head of `request`. Names and values are shared, not copied.
    pub(super) fn of<B>(request: &Request<B>, memory: &'a ReplayMemory) -> Self {
        let mut fields = memory.0.borrow_mut().pop().unwrap_or_default();
        fields.extend(request.headers().iter().map(|(name, value)| (name.clone(), value.clone())));
        Self { method: request.method().clone(), uri: request.uri().clone(), fields, memory }
    }

    /// The request once more, with `body`, which is an empty one.
    pub(super) fn request<B>(mut self, body: B) -> Box<Outgoing<B>> {
        let mut headers = HeaderMap::with_capacity(self.fields.len());
        for (name, value) in self.fields.drain(..) {
            headers.append(name, value);
        }
        let mut request = Request::new(body);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.version_mut() = Version::HTTP_11;
        *request.headers_mut() = headers;
        Box::new(request.into())
    }
}

impl Drop for Replay<'_> {
    fn drop(&mut self) {
        let mut fields = mem::take(&mut self.fields);
        fields.clear();
        let mut spare = self.memory.0.borrow_mut();
        if fields.capacity() <= FIELDS_KEPT && spare.len() < SPARE_MAX {
            spare.push(fields);
        }
    }
}
