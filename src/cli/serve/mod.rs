//! `unetr serve`: the browser app, from this program's own copy, to this machine alone.

mod server;
mod site;

use std::path::PathBuf;

use clap::Args;

use super::console::{fact, note, print};
use super::error::{CliError, Context};
use crate::report::NOTICE;
use server::Server;
use site::Site;

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
        let server = Server::listen(&place).map_err(|e| {
            CliError::failed(format!(
                "cannot listen on {place}: {e}; choose another port with --port, 0 for a free one"
            ))
        })?;
        let port = server.port;
        site.listens_on(port);
        let question = if query.is_empty() { String::new() } else { format!("?{}", query.join("&")) };
        print(&format!("http://127.0.0.1:{port}/{question}\n"))?;
        fact("serving", "to this machine only, until Ctrl-C");
        note(NOTICE);
        server.answer(site).map_err(|e| CliError::failed(format!("the server stopped: {e}")))
    }
}
