//! The repository's own rules, as tests: layers, kernel-set flags, headers, sizes, words, unsafe code, licences, documents.
//!
//! Where it sits: compiled for tests only; reads the sources and `cargo metadata`, knows no crate's code.
//!
//! Every rule gathers all its complaints before it fails, so that one run shows all there is to mend.

mod documents;
mod headers;
mod kernel_set;
mod layers;
mod licences;
mod metadata;
mod unsafety;
mod words;

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::shell::workspace;

/// A text file of the repository.
struct Source {
    /// Its path from the top folder.
    path: String,
    /// All of it.
    text: String,
}

impl Source {
    /// What is not test code: test modules stand at the end of a file.
    fn production(&self) -> &str {
        if self.is_test() {
            return "";
        }
        self.text.split("\n#[cfg(test)]\nmod tests").next().unwrap_or(&self.text)
    }

    /// Whether the whole file is test code.
    fn is_test(&self) -> bool {
        ["/tests/", "/examples/"].iter().any(|folder| self.path.contains(folder))
            || self.path.ends_with("/tests.rs")
            || self.path.contains("/benches/")
    }

    /// The `//!` lines at the top.
    fn header(&self) -> Vec<&str> {
        self.text.lines().take_while(|line| line.starts_with("//!")).collect()
    }

    /// The crate's folder name, for files under `crates/`.
    fn krate(&self) -> Option<&str> {
        self.path.strip_prefix("crates/")?.split('/').next()
    }
}

/// All Rust sources.
fn rust_sources() -> Vec<Source> {
    files(&["crates", "dev", "xtask", "fuzz"], |path| path.extension().is_some_and(|kind| kind == "rs"))
}

/// All text that people wrote: sources, documents, manifests, scripts.
fn all_texts() -> Vec<Source> {
    let mut texts = files(&["crates", "dev", "xtask", "fuzz", "docs", ".ci", ".config", ".cargo"], |path| {
        let kinds = ["rs", "md", "toml", "sh", "txt", ""];
        path.extension().is_none_or(|kind| kinds.iter().any(|known| kind == *known))
    });
    let tops =
        fs::read_dir(workspace()).expect("the workspace can be read").flatten().map(|entry| entry.path());
    let wanted = |path: &PathBuf| path.extension().is_some_and(|kind| kind == "md" || kind == "toml");
    texts.extend(tops.filter(wanted).filter_map(|path| read(&path)));
    texts
}

fn files(folders: &[&str], wanted: impl Fn(&Path) -> bool) -> Vec<Source> {
    let mut found = Vec::new();
    let mut left: Vec<PathBuf> = folders.iter().map(|folder| workspace().join(folder)).collect();
    while let Some(path) = left.pop() {
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "target") {
                left.extend(
                    fs::read_dir(&path).expect("a folder can be read").flatten().map(|entry| entry.path()),
                );
            }
        } else if wanted(&path) {
            found.extend(read(&path));
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// None for what is no text.
fn read(path: &Path) -> Option<Source> {
    let text = fs::read_to_string(path).ok()?;
    let path = path.strip_prefix(workspace()).unwrap_or(path).display().to_string();
    Some(Source { path, text })
}

/// Fails with all complaints, one per line.
#[track_caller]
fn none(complaints: Vec<String>) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}
