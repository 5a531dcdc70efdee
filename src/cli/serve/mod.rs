//! `unetr serve`: the browser app, from this program's own copy, to this machine alone.

mod site;

use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use clap::Args;
use tiny_http::{Header, Request, Response, Server};

use super::console::{fact, note, print};
use super::error::{CliError, Context};
use crate::report::NOTICE;
use site::{Answer, Body, Question, Site};

/// Requests answered at a time: a page, its worker and a model that is being read.
const THREADS: usize = 4;

/// Serve the browser app on this machine only, from the program's own copy. Nothing is uploaded, nothing else is served.
#[derive(Debug, Args)]
pub(super) struct Serve {
    /// A scan to open: one file, several channels, or a header and its image.
    scan: Vec<PathBuf>,
    /// A model package or checkpoint to open instead of the app's own.
    #[arg(short, long)]
    model: Option<PathBuf>,
    /// Port on 127.0.0.1; 0 takes a free one.
    #[arg(long, default_value_t = 8731)]
    port: u16,
}

impl Serve {
    pub fn run(&self) -> Result<(), CliError> {
        let mut site = Site::of_app();
        if site.is_empty() {
            return Err(CliError::failed(
                "this program was built without the browser app: run scripts/web, then build the program again",
            ));
        }
        let mut query = Vec::new();
        let scans = self.scan.iter().map(|path| ("scan", path));
        for (key, path) in scans.chain(self.model.iter().map(|path| ("model", path))) {
            query.push(format!("{key}={}", site.add(path).at(path)?));
        }
        let place = format!("127.0.0.1:{}", self.port);
        let server = Server::http(&place).map_err(|e| {
            CliError::failed(format!(
                "cannot listen on {place}: {e}; choose another port with --port, 0 for a free one"
            ))
        })?;
        let port = server.server_addr().to_ip().map_or(self.port, |address| address.port());
        site.listens_on(port);
        let question = if query.is_empty() { String::new() } else { format!("?{}", query.join("&")) };
        print(&format!("http://127.0.0.1:{port}/{question}\n"))?;
        fact("serving", "to this machine only, until Ctrl-C");
        note(NOTICE);
        let (server, site) = (Arc::new(server), Arc::new(site));
        let threads: Vec<_> = (0..THREADS)
            .map(|_| {
                let (server, site) = (Arc::clone(&server), Arc::clone(&site));
                thread::spawn(move || {
                    while let Ok(request) = server.recv() {
                        answer(&site, request);
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().map_err(|_| CliError::failed("the server stopped"))?;
        }
        Ok(())
    }
}

fn answer(site: &Site, request: Request) {
    let header = |name: &'static str| {
        let found = request.headers().iter().find(|h| h.field.equiv(name));
        found.map(|h| h.value.as_str().to_owned())
    };
    let (host, tag) = (header("Host"), header("If-None-Match"));
    let method = request.method().to_string();
    let question = Question { method: &method, url: request.url(), host: host.as_deref(), tag: tag.as_deref() };
    let Answer { status, headers, body } = site.answer(&question);
    let headers: Vec<Header> =
        headers.iter().filter_map(|(name, value)| Header::from_bytes(name.as_bytes(), value.as_bytes()).ok()).collect();
    let (body, length): (Box<dyn Read + Send>, _) = match body {
        Body::Bytes(bytes) => (Box::new(bytes), Some(bytes.len())),
        Body::File(file, length) => (Box::new(file), usize::try_from(length).ok()),
    };
    // In one piece, whatever its length: a page shows how much of a model has arrived.
    let response = Response::new(status.into(), headers, body, length, None).with_chunked_threshold(usize::MAX);
    // Who hangs up before the end has lost interest; HEAD requests get no body from the library.
    let _ = request.respond(response);
}
