//! What is served, to whom, and with which headers: a list of exact paths, and nothing that is not on it.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use crate::digest::sha256;

/// The app's files, by their path below its root.
static APP: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/app.rs"));

/// As in the app's page, and against being framed, which only a header can say.
const POLICY: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; \
    img-src 'self' data: blob:; connect-src 'self'; worker-src 'self'; manifest-src 'self'; base-uri 'none'; \
    form-action 'none'; frame-ancestors 'none'";

/// What a browser asks.
pub(super) struct Question<'a> {
    pub method: &'a str,
    /// Path and query.
    pub url: &'a str,
    pub host: Option<&'a str>,
    /// `If-None-Match`.
    pub tag: Option<&'a str>,
}

/// What it is told.
pub(super) struct Answer {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Body,
}

pub(super) enum Body {
    Bytes(&'static [u8]),
    /// A file and its length.
    File(File, u64),
}

enum Content {
    Embedded {
        bytes: &'static [u8],
        tag: String,
    },
    /// A file that the user named; read when it is asked for.
    Named(PathBuf),
}

/// The list.
pub(super) struct Site {
    contents: BTreeMap<String, Content>,
    hosts: Vec<String>,
}

impl Site {
    /// The app that this program was built with.
    pub fn of_app() -> Self {
        Self::of(APP)
    }

    fn of(files: &[(&str, &'static [u8])]) -> Self {
        let mut contents = BTreeMap::new();
        for &(name, bytes) in files {
            let tag = format!("\"{}\"", sha256(bytes).get(..32).unwrap_or_default());
            if name == "index.html" {
                contents.insert("/".to_owned(), Content::Embedded { bytes, tag: tag.clone() });
            }
            contents.insert(format!("/{}", encoded(name)), Content::Embedded { bytes, tag });
        }
        Self { contents, hosts: Vec::new() }
    }

    pub fn is_empty(&self) -> bool {
        self.contents.is_empty()
    }

    /// Serves one file of the user's; gives its path.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn add(&mut self, path: &Path) -> io::Result<String> {
        if !File::open(path)?.metadata()?.is_file() {
            return Err(io::Error::other("not a file"));
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let at = format!("/local/{}/{}", self.contents.len(), encoded(&name));
        self.contents.insert(at.clone(), Content::Named(path.to_owned()));
        Ok(at)
    }

    /// A page of elsewhere whose name was made to resolve to this machine still sends its own name as host.
    pub fn listens_on(&mut self, port: u16) {
        let names = ["127.0.0.1", "localhost"];
        self.hosts = names.map(|name| format!("{name}:{port}")).to_vec();
        if port == 80 {
            // Browsers leave the port of http out.
            self.hosts.extend(names.map(str::to_owned));
        }
    }

    pub fn answer(&self, question: &Question<'_>) -> Answer {
        let host = question.host.unwrap_or_default().to_ascii_lowercase();
        if !self.hosts.contains(&host) {
            return plain(403, b"this server answers to 127.0.0.1 and localhost only\n");
        }
        if !matches!(question.method, "GET" | "HEAD") {
            let mut answer = plain(405, b"only GET and HEAD\n");
            answer.headers.push(("Allow", "GET, HEAD".to_owned()));
            return answer;
        }
        let path = question.url.split(['?', '#']).next().unwrap_or_default();
        match self.contents.get(path) {
            None => plain(404, b"not found\n"),
            Some(Content::Named(file)) => named(path, file),
            Some(Content::Embedded { bytes, tag }) => {
                let known = question.tag.is_some_and(|sent| sent.split(',').any(|t| t.trim() == tag));
                let (status, body): (u16, &'static [u8]) = if known { (304, b"") } else { (200, bytes) };
                let mut headers = common(if path == "/" { "index.html" } else { path });
                headers.push(("ETag", tag.clone()));
                Answer { status, headers, body: Body::Bytes(body) }
            }
        }
    }
}

fn named(path: &str, file: &Path) -> Answer {
    let opened = File::open(file).and_then(|f| f.metadata().map(|m| (f, m.len())));
    match opened {
        Ok((file, length)) => Answer { status: 200, headers: common(path), body: Body::File(file, length) },
        Err(_) => plain(404, b"the file is gone\n"),
    }
}

fn plain(status: u16, text: &'static [u8]) -> Answer {
    Answer { status, headers: common("x.txt"), body: Body::Bytes(text) }
}

fn common(name: &str) -> Vec<(&'static str, String)> {
    let ending = name.rsplit('.').next().unwrap_or_default();
    let kind = match ending {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "json" => "application/json",
        "webmanifest" => "application/manifest+json",
        "wasm" => "application/wasm",
        "txt" | "md" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    };
    let fixed = [
        ("Content-Type", kind),
        ("Content-Security-Policy", POLICY),
        ("X-Content-Type-Options", "nosniff"),
        ("Cross-Origin-Resource-Policy", "same-origin"),
        ("Cross-Origin-Opener-Policy", "same-origin"),
        ("Referrer-Policy", "no-referrer"),
        ("Cache-Control", "no-cache"),
    ];
    fixed.into_iter().map(|(name, value)| (name, value.to_owned())).collect()
}

/// A path as a browser sends it: everything but letters, digits and `-._~/` as `%XX`.
fn encoded(name: &str) -> String {
    let mut path = String::new();
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => path.push(byte as char),
            // Writing to a String cannot fail.
            _ => drop(write!(path, "%{byte:02X}")),
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site() -> Site {
        let mut site = Site::of(&[("index.html", b"<p>"), ("app.js", b"1"), ("models/a.safetensors", b"weights")]);
        site.listens_on(8000);
        site
    }

    fn ask(site: &Site, method: &str, url: &str, host: &str) -> Answer {
        site.answer(&Question { method, url, host: Some(host), tag: None })
    }

    #[test]
    fn only_what_is_listed_is_served() {
        let site = site();
        for path in ["/", "/index.html", "/app.js?x=1", "/models/a.safetensors"] {
            assert_eq!(ask(&site, "GET", path, "localhost:8000").status, 200, "{path}");
        }
        for path in [
            "",
            "/.",
            "/../Cargo.toml",
            "/models/../app.js",
            "/%2e%2e/Cargo.toml",
            "//app.js",
            "/models",
            "/models/",
            "/models\\a.safetensors",
            "/APP.JS",
            "/app.js/",
            "/etc/passwd",
            "/local/0/x",
            "http://localhost/app.js",
        ] {
            assert_eq!(ask(&site, "GET", path, "localhost:8000").status, 404, "{path}");
        }
    }

    #[test]
    fn only_this_machine_is_answered() {
        let site = site();
        for host in ["127.0.0.1:8000", "LOCALHOST:8000"] {
            assert_eq!(ask(&site, "GET", "/", host).status, 200, "{host}");
        }
        for host in ["evil.example", "localhost", "localhost:8001", "127.0.0.1", "localhost:8000.evil.example", ""] {
            assert_eq!(ask(&site, "GET", "/", host).status, 403, "{host}");
        }
        let mut usual = site;
        usual.listens_on(80);
        assert_eq!(ask(&usual, "GET", "/", "localhost").status, 200);
        assert_eq!(ask(&usual, "GET", "/", "evil.example").status, 403);
        let site = usual;
        let nobody = Question { method: "GET", url: "/", host: None, tag: None };
        assert_eq!(site.answer(&nobody).status, 403);
        assert_eq!(ask(&site, "POST", "/", "localhost").status, 405);
    }

    #[test]
    fn what_a_browser_has_is_not_sent_again() {
        let site = site();
        let first = ask(&site, "GET", "/app.js", "localhost:8000");
        let tag = first.headers.iter().find(|h| h.0 == "ETag").map(|h| h.1.clone()).expect("a tag");
        let again = Question { method: "GET", url: "/app.js", host: Some("localhost:8000"), tag: Some(&tag) };
        assert_eq!(site.answer(&again).status, 304);
        let other = Question { tag: Some("\"another\""), ..again };
        assert_eq!(site.answer(&other).status, 200);
    }

    #[test]
    fn files_of_the_user_are_served_by_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("my scan #1.nii");
        std::fs::write(&path, b"voxels").expect("a file");
        let mut site = site();
        let at = site.add(&path).expect("a file");
        assert!(at.ends_with("/my%20scan%20%231.nii"), "{at}");
        assert!(matches!(ask(&site, "GET", &at, "localhost:8000").body, Body::File(_, 6)));
        assert!(site.add(folder.path()).is_err(), "folders are not served");
        std::fs::remove_file(&path).expect("removed");
        assert_eq!(ask(&site, "GET", &at, "localhost:8000").status, 404);
    }
}
