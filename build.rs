//! Puts the shaders into the library, and the browser app, where `scripts/web` has built it, into the program that serves
//! it.

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

/// `SHADERS`: every file below `shaders` by its path there without `.wgsl`; training's by its name alone.
fn shaders(root: &Path) -> io::Result<String> {
    println!("cargo::rerun-if-changed=shaders");
    let folder = root.join("shaders");
    let mut found = Vec::new();
    files(&folder, &mut found)?;
    found.sort();
    let mut table = String::from("/// Every shader file by name.\npub const SHADERS: &[(&str, &str)] = &[\n");
    for path in found.iter().filter(|path| path.extension().is_some_and(|e| e == "wgsl")) {
        let inside = path.strip_prefix(&folder).map_err(io::Error::other)?.with_extension("");
        let name = inside.to_string_lossy().replace('\\', "/");
        let training = name.strip_prefix("train/");
        if training.is_none() || env::var_os("CARGO_FEATURE_TRAIN").is_some() {
            // Writing to a String cannot fail.
            let _ = writeln!(
                table,
                "    ({:?}, include_str!({:?})),",
                training.unwrap_or(&name),
                path.display().to_string()
            );
        }
    }
    table.push_str("];\n");
    Ok(table)
}

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR").map_err(io::Error::other)?);
    let out = PathBuf::from(env::var("OUT_DIR").map_err(io::Error::other)?);
    fs::write(out.join("shaders.rs"), shaders(&root)?)?;
    let mut table = String::from("&[\n");
    let app = root.join("www/dist");
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
    fs::write(out.join("app.rs"), table)
}
