//! Imports only point one way, and each outside library is used where it belongs.

use std::path::{Path, PathBuf};

/// Modules and what they may import, as in `docs/architecture.md`.
const RULES: &[(&str, &[&str])] = &[
    ("tensor", &[]),
    ("fields", &[]),
    ("filetype", &[]),
    ("digest", &[]),
    ("dataset", &["fields", "volume"]),
    ("gpu", &["tensor"]),
    ("graph", &["tensor", "gpu"]),
    ("kernels", &["tensor", "gpu", "graph"]),
    ("volume", &["tensor", "filetype", "digest"]),
    ("metrics", &["tensor", "volume"]),
    ("nets", &["tensor", "fields", "graph", "kernels"]),
    ("weights", &["tensor", "fields", "filetype", "digest", "volume", "nets"]),
    ("infer", &["tensor", "gpu", "graph", "kernels", "volume", "metrics", "nets", "weights"]),
    ("report", &["tensor", "gpu", "volume", "metrics", "weights", "infer"]),
    (
        "train",
        &[
            "tensor", "fields", "digest", "dataset", "gpu", "graph", "kernels", "volume", "metrics", "nets", "weights",
            "report", "infer",
        ],
    ),
    ("cli", &["*"]),
    ("web", &["*"]),
];

/// Words, and the modules that may use them.
const WORDS: &[(&str, &[&str])] = &[
    ("wgpu::", &["gpu", "graph"]),
    ("wasm_bindgen", &["web"]),
    ("web_sys", &["web"]),
    ("js_sys", &["web"]),
    ("clap::", &["cli"]),
    ("println!", &["cli"]),
    ("eprintln!", &["cli"]),
    ("std::env", &["cli"]),
];

fn files(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder").map(|e| e.expect("an entry").path()) {
        if entry.is_dir() {
            files(&entry, out);
        } else if entry.extension().is_some_and(|e| e == "rs") {
            out.push(entry);
        }
    }
}

/// (module, path, code lines without comments) of every file in a module.
fn sources() -> Vec<(String, String, Vec<String>)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    files(&src, &mut paths);
    let module = |p: &Path| {
        let relative = p.strip_prefix(&src).expect("below src").to_string_lossy().replace('\\', "/");
        let first = relative.split('/').next().expect("a name").trim_end_matches(".rs").to_owned();
        (first, relative)
    };
    paths
        .iter()
        .map(|p| {
            let text = std::fs::read_to_string(p).expect("a source file");
            let code = text.lines().filter(|l| !l.trim_start().starts_with("//")).map(str::to_owned).collect();
            let (first, relative) = module(p);
            (first, relative, code)
        })
        .filter(|(first, ..)| first != "lib" && first != "main")
        .collect()
}

#[test]
fn imports_only_point_left() {
    let mut bad = Vec::new();
    for (module, path, code) in sources() {
        let rule = RULES.iter().find(|(m, _)| *m == module);
        let (_, allowed) = rule.unwrap_or_else(|| panic!("{path}: module '{module}' has no rule"));
        for line in &code {
            for (at, _) in line.match_indices("crate::") {
                let rest = &line[at + "crate::".len()..];
                let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                let known = RULES.iter().any(|(m, _)| *m == name);
                if known && name != module && !allowed.contains(&"*") && !allowed.contains(&name.as_str()) {
                    bad.push(format!("{path}: {}", line.trim()));
                }
            }
        }
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

/// What data must fit is a `Task`; a network is none of its business.
#[test]
fn training_data_knows_no_networks() {
    for (_, path, code) in sources().into_iter().filter(|(_, path, _)| path.starts_with("train/data/")) {
        let bad: Vec<_> = code.iter().filter(|line| line.contains("crate::nets") || line.contains("nets::")).collect();
        assert!(bad.is_empty(), "{path}: {bad:?}");
    }
}

#[test]
fn outside_libraries_stay_where_they_belong() {
    let mut bad = Vec::new();
    for (module, path, code) in sources() {
        for (word, allowed) in WORDS {
            if !allowed.contains(&module.as_str()) {
                bad.extend(code.iter().filter(|l| l.contains(word)).map(|l| format!("{path}: {}", l.trim())));
            }
        }
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

/// An op whose cases are not in the list would be tested nowhere.
#[test]
fn every_op_with_cases_is_in_the_list() {
    let told = |line: &String| line.contains("fn cases()") || line.starts_with("pub use") && line.contains("cases");
    let has_cases = |code: &[String]| code.iter().any(told);
    let mut written: Vec<String> = sources()
        .into_iter()
        .filter(|(module, path, code)| module == "kernels" && !path.ends_with("kernels/mod.rs") && has_cases(code))
        .map(|(_, path, _)| path.trim_start_matches("kernels/").trim_end_matches(".rs").replace("/mod", ""))
        .collect();
    written.sort();
    let mut listed: Vec<&str> = unetr_wgpu::kernels::all_cases().iter().map(|(name, _)| *name).collect();
    listed.sort_unstable();
    assert_eq!(written, listed);
}
