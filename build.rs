//! Puts the browser app, where `scripts/web` has built it, into the program that serves it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn files(folder: &Path, out: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            files(&path, out)?;
        } else if path.file_name().is_some_and(|name| name != ".gitignore") {
            out.push(path);
        }
    }
    Ok(())
}

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    let mut table = String::from("&[\n");
    let app = PathBuf::from(env::var("CARGO_MANIFEST_DIR").map_err(io::Error::other)?).join("www/dist");
    // The crate as it is published has no app, and other builds do not depend on it.
    if env::var_os("CARGO_FEATURE_SERVE").is_some() && app.is_dir() {
        println!("cargo::rerun-if-changed=www/dist");
        let mut found = Vec::new();
        files(&app, &mut found)?;
        found.sort();
        for path in found {
            let name = path.strip_prefix(&app).map_err(io::Error::other)?.to_string_lossy().replace('\\', "/");
            // Writing to a String cannot fail.
            let _ = writeln!(table, "    ({name:?}, include_bytes!({:?})),", path.display().to_string());
        }
    }
    table.push_str("]\n");
    let out = PathBuf::from(env::var("OUT_DIR").map_err(io::Error::other)?).join("app.rs");
    fs::write(out, table)
}
