//! 1xx responses on their way to the client (RFC 9110 section 15.2).

use std::fmt;
use std::sync::Arc;

use http::Response;

use super::headers::clean_response;

/// Where the 1xx responses to a request go. Put into the request's extensions; without one they are dropped.
#[derive(Clone)]
pub struct InformationalSink(Arc<dyn Fn(Response<()>) + Send + Sync>);

impl InformationalSink {
    /// A sink that is given the responses, without hop-by-hop fields, in their order and all before the final response.
    /// It must not wait.
    #[must_use]
    pub fn new(take: impl Fn(Response<()>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(take))
    }

    /// Hands one on.
    pub(super) fn give(&self, mut response: Response<()>) {
        clean_response(response.headers_mut());
        (self.0)(response);
    }
}

impl fmt::Debug for InformationalSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("InformationalSink").finish_non_exhaustive()
    }
}
