//! `unetr serve` over real connections: what is served, to whom, and with which headers. Where the program was built
//! without the app, that it says so.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A running server, ended with the test.
struct Server {
    process: Child,
    /// `127.0.0.1:PORT`
    place: String,
    /// Path and query that it tells to open.
    address: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Starts it on a free port; `None`, with the reason checked, where there is no app in the program.
fn serve(arguments: &[&str]) -> Option<Server> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_unetr"));
    command.args(["serve", "--port", "0"]).args(arguments);
    let mut process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program");
    let mut line = String::new();
    BufReader::new(process.stdout.take().expect("stdout")).read_line(&mut line).expect("a line");
    if line.is_empty() {
        let output = process.wait_with_output().expect("an end");
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(text.contains("built without the browser app: run scripts/web"), "{text}");
        assert_eq!(output.status.code(), Some(1));
        println!("not run: the program was built without the app");
        return None;
    }
    let (place, path) = line.trim().strip_prefix("http://").and_then(|r| r.split_once('/')).expect("an address");
    Some(Server { process, place: place.to_owned(), address: format!("/{path}") })
}

/// Status, headers in lower case, body.
fn ask(server: &Server, request: &str) -> (u16, String, Vec<u8>) {
    let mut stream = TcpStream::connect(&server.place).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    stream.write_all(request.as_bytes()).expect("sent");
    let mut all = Vec::new();
    stream.read_to_end(&mut all).expect("an answer");
    let end = all.windows(4).position(|w| w == b"\r\n\r\n").expect("headers");
    let head = String::from_utf8_lossy(&all[..end]).to_lowercase();
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).expect("a status");
    (status, head, all[end + 4..].to_vec())
}

fn get(server: &Server, path: &str) -> (u16, String, Vec<u8>) {
    ask(server, &format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", server.place))
}

#[test]
fn the_app_is_served_to_this_machine_and_nothing_else_is() {
    let Some(server) = serve(&[]) else {
        return;
    };
    assert!(server.place.starts_with("127.0.0.1:"));
    let (status, head, page) = get(&server, &server.address);
    assert_eq!(status, 200, "{head}");
    assert!(String::from_utf8_lossy(&page).contains("Research use only"));
    for header in [
        "content-security-policy: default-src 'none'",
        "frame-ancestors 'none'",
        "x-content-type-options: nosniff",
        "content-type: text/html",
        "cross-origin-resource-policy: same-origin",
    ] {
        assert!(head.contains(header), "{header} in:\n{head}");
    }
    let (status, head, wasm) = get(&server, "/unetr-wgpu/unetr_wgpu_bg.wasm");
    assert!(status == 200 && head.contains("application/wasm") && wasm.starts_with(b"\0asm"), "{head}");
    assert!(head.contains(&format!("content-length: {}", wasm.len())), "{head}");
    let models = get(&server, "/models/index.json").2;
    let listed: serde_json::Value = serde_json::from_slice(&models).expect("JSON");
    let (name, bytes) = (listed[0]["file"].as_str().expect("a file"), listed[0]["bytes"].as_u64());
    assert_eq!(Some(get(&server, &format!("/models/{name}")).2.len() as u64), bytes);

    for path in
        ["/../Cargo.toml", "/%2e%2e/Cargo.toml", "/..%2fCargo.toml", "//etc/passwd", "/.gitignore", "/models/", "/x"]
    {
        assert_eq!(get(&server, path).0, 404, "{path}");
    }
    let evil = "GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n";
    let (status, _, body) = ask(&server, evil);
    assert_eq!(status, 403);
    assert!(!String::from_utf8_lossy(&body).contains("html"));
    let post = format!("POST / HTTP/1.1\r\nHost: {}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", server.place);
    assert_eq!(ask(&server, &post).0, 405);
    let head_only = format!("HEAD / HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", server.place);
    let (status, head, body) = ask(&server, &head_only);
    assert!(status == 200 && body.is_empty() && head.contains(&format!("content-length: {}", page.len())), "{head}");
}

#[test]
fn connections_that_stay_open_hold_up_no_other() {
    // On a busy machine, where all arrive before the server has looked at one, many times over.
    for _ in 0..10 {
        let Some(server) = serve(&[]) else {
            return;
        };
        // As browsers do: some opened in advance and silent, the others kept for the next file.
        let connect = || TcpStream::connect(&server.place).expect("a connection");
        let mut open: Vec<_> = (0..24).map(|_| connect()).collect();
        for stream in &mut open[8..] {
            write!(stream, "GET / HTTP/1.1\r\nHost: {}\r\n\r\n", server.place).expect("sent");
        }
        for stream in &mut open[8..] {
            stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
            let mut start = [0; 12];
            stream.read_exact(&mut start).expect("an answer on every connection");
            assert_eq!(&start, b"HTTP/1.1 200");
        }
    }
}

#[test]
fn a_scan_of_the_user_is_served_under_the_address_it_prints() {
    let scan = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/samples/hippocampus.nii.gz");
    let Some(server) = serve(&[scan.to_str().expect("UTF-8")]) else {
        return;
    };
    let path = server.address.strip_prefix("/?scan=").expect("a parameter");
    let (status, head, body) = get(&server, path);
    assert!(status == 200 && body == std::fs::read(&scan).expect("the scan"), "{head}");
    let run = Command::new(env!("CARGO_BIN_EXE_unetr")).args(["serve", "no-such-scan.nii"]).output().expect("a run");
    assert!(String::from_utf8_lossy(&run.stderr).contains("no-such-scan.nii"), "{run:?}");
    assert_eq!(run.status.code(), Some(1));
}

#[test]
fn a_folder_is_served_file_by_file_without_hidden_ones() {
    let folder = tempfile::tempdir().expect("a folder");
    let inner = folder.path().join("series");
    std::fs::create_dir(&inner).expect("made");
    for (name, text) in [("b.dcm", "second"), ("a.dcm", "first"), (".hidden", "not")] {
        std::fs::write(inner.join(name), text).expect("written");
    }
    let Some(server) = serve(&[folder.path().to_str().expect("text")]) else {
        return;
    };
    let named: Vec<&str> = server.address.split("scan=").skip(1).map(|s| s.trim_end_matches('&')).collect();
    assert_eq!(named.len(), 2, "{}", server.address);
    for (path, text) in named.iter().zip(["first", "second"]) {
        let (status, _, body) = get(&server, path);
        assert_eq!((status, String::from_utf8_lossy(&body).as_ref()), (200, text));
    }
}
