//! One request on a connection of its own, for the health checks.

use std::future::pending;

use bytes::Bytes;
use http::uri::Scheme;
use http::{Request, StatusCode};
use http_body_util::Empty;

use super::{builder, cause, request};
use crate::net::stream::Stream;
use crate::upstream::error::BoxError;

/// What is answered.
///
/// # Errors
/// There is no answer. The text is for the operator.
pub(in crate::upstream) async fn ask(
    stream: Stream,
    request: Request<Empty<Bytes>>,
    scheme: Scheme,
) -> Result<StatusCode, BoxError> {
    let (sender, connection) = builder().handshake::<_, Bytes>(stream).await.map_err(cause)?;
    let head = request::head(request.into_parts().0, scheme)?;
    // The connection's errors come to the request, and its end may come with the answer.
    let driver = async {
        drop(connection.await);
        pending().await
    };
    let answer = async {
        let (response, _) = sender.ready().await.map_err(cause)?.send_request(head, true).map_err(cause)?;
        Ok(response.await.map_err(cause)?.status())
    };
    tokio::select! {
        status = answer => status,
        never = driver => never,
    }
}
