//! HTTP/1.1 between a browser and the list of what is served.

use std::convert::Infallible;
use std::fs::File;
use std::io::{self, Read};
use std::net::TcpListener;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::header::{HOST, HeaderName, HeaderValue, IF_NONE_MATCH};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::runtime;
use tokio::task::block_in_place;

use super::site::{self, Answer, Question, Site};

/// Threads that serve. One that waits for a disk has a substitute meanwhile.
const THREADS: usize = 2;

/// Between a connection that failed and the next.
const PAUSE: Duration = Duration::from_millis(50);

/// Read from a file at a time.
const PIECE: u64 = 64 << 10;

/// A socket that listens.
pub(super) struct Server {
    listener: TcpListener,
    pub port: u16,
}

impl Server {
    /// # Errors
    /// The address is taken or not allowed.
    pub fn listen(place: &str) -> io::Result<Self> {
        let listener = TcpListener::bind(place)?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        Ok(Self { listener, port })
    }

    /// Answers until the process ends. Each connection has a task of its own, so that one a browser keeps open and
    /// silent holds up none.
    ///
    /// # Errors
    /// The system gives no notice of connections.
    pub fn answer(self, site: Site) -> io::Result<()> {
        let site = Arc::new(site);
        runtime::Builder::new_multi_thread().worker_threads(THREADS).enable_all().build()?.block_on(async {
            let listener = tokio::net::TcpListener::from_std(self.listener)?;
            loop {
                let Ok((stream, _)) = listener.accept().await else {
                    // The other side is gone already, or too many files are open, which passes.
                    tokio::time::sleep(PAUSE).await;
                    continue;
                };
                let site = Arc::clone(&site);
                tokio::spawn(async move {
                    let service = service_fn(|request| std::future::ready(block_in_place(|| answer(&site, &request))));
                    // Who hangs up before the end has lost interest.
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
        })
    }
}

fn answer(site: &Site, request: &Request<Incoming>) -> Result<Response<Sent>, Infallible> {
    let header = |name| request.headers().get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let url = request.uri().to_string();
    let question =
        Question { method: request.method().as_str(), url: &url, host: header(HOST), tag: header(IF_NONE_MATCH) };
    let Answer { status, headers, body } = site.answer(&question);
    let mut response = Response::new(Sent(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    Ok(response)
}

/// A body on its way, of a length that is told before: a page shows how much of a model has arrived.
struct Sent(site::Body);

impl Body for Sent {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let piece = match &mut self.0 {
            site::Body::Bytes(bytes) => Ok(Bytes::from_static(std::mem::take(bytes))),
            site::Body::File(file, left) => block_in_place(|| piece(file, left)),
        };
        Poll::Ready(match piece {
            Ok(piece) if piece.is_empty() => None,
            piece => Some(piece.map(Frame::data)),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.size_hint().exact() == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(match &self.0 {
            site::Body::Bytes(bytes) => bytes.len() as u64,
            site::Body::File(_, left) => *left,
        })
    }
}

/// The next bytes of a file, none behind the length that was told. A file that has become shorter ends the connection.
fn piece(file: &mut File, left: &mut u64) -> io::Result<Bytes> {
    let mut piece = Vec::new();
    file.take(PIECE.min(*left)).read_to_end(&mut piece)?;
    if piece.is_empty() && *left > 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    *left -= piece.len() as u64;
    Ok(piece.into())
}
