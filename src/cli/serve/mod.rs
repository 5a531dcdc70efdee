//! `unetr serve`: the browser app, from this program's own copy, to this machine alone.

mod server;
mod site;

use std::path::{Path, PathBuf};
use std::{fs, io};

use clap::Args;

use super::console::{fact, note, print};
use super::error::{CliError, Context};
use crate::report::NOTICE;
use server::Server;
use site::Site;

/// Serve the browser app on this machine only, from the program's own copy. Nothing is uploaded, nothing else is served.
#[derive(Debug, Args)]
pub(super) struct Serve {
    /// A scan to open: one file, several channels, a header and its image, or a folder of a series or of scans.
    scan: Vec<PathBuf>,
    /// A model package or checkpoint to open instead of the app's own.
    #[arg(short, long)]
    model: Option<PathBuf>,
    /// Port on 127.0.0.1; 0 takes a free one.
    #[arg(long, default_value_t = 8731)]
    port: u16,
    /// Open the page in the default browser.
    #[arg(long)]
    open: bool,
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
        for path in &self.scan {
            for file in files(path).at(path)? {
                query.push(format!("scan={}", site.add(&file).at(&file)?));
            }
        }
        if let Some(path) = &self.model {
            query.push(format!("model={}", site.add(path).at(path)?));
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
        let address = format!("http://127.0.0.1:{port}/{question}");
        print(&format!("{address}\n"))?;
        if self.open {
            // The server answers as soon as this is done; a browser takes longer to ask.
            if let Err(e) = open::that_detached(&address) {
                note(format!("no browser could be opened ({e}): open the address above"));
            }
        }
        fact("serving", "to this machine only, until Ctrl-C");
        note(NOTICE);
        server.answer(site).map_err(|e| CliError::failed(format!("the server stopped: {e}")))
    }
}

/// A file itself; of a folder the files in it and below it, in order of their names, without hidden ones.
fn files(path: &Path) -> io::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut entries = fs::read_dir(path)?.map(|e| e.map(|e| e.path())).collect::<io::Result<Vec<_>>>()?;
    entries.sort();
    let mut found = Vec::new();
    for entry in entries {
        let hidden = entry.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        // A link to a folder may lead back here.
        if hidden || (entry.is_symlink() && entry.is_dir()) {
            continue;
        }
        found.extend(files(&entry)?);
    }
    Ok(found)
}
