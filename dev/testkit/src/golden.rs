//! Golden comparison: what a program said against a committed file.
//!
//! Where it sits: called by tests with a path under their crate's `testdata/`. On a difference what was really said is
//! written to `target/golden/`; with `UPDATE_GOLDEN=1` the committed file is rewritten instead.

use std::{env, fs, path::Path};

/// Compares `actual` with the file, which is named from the crate's own folder.
///
/// # Panics
/// When they differ, naming the first line that does.
#[track_caller]
pub fn golden(file: impl AsRef<Path>, actual: &str) {
    let dir = env::var_os("CARGO_MANIFEST_DIR").expect("cargo and nextest set it for tests");
    compare(&Path::new(&dir).join(file), actual);
}

#[track_caller]
fn compare(file: &Path, actual: &str) {
    if env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1") {
        fs::create_dir_all(file.parent().expect("a file has a folder")).expect("testdata is writable");
        return fs::write(file, actual).expect("testdata is writable");
    }
    let expected = fs::read_to_string(file).unwrap_or_default();
    if expected == actual {
        return;
    }
    let kept = keep(file, actual);
    let line = expected.lines().zip(actual.lines()).take_while(|(a, b)| a == b).count();
    let at = |text: &str| text.lines().nth(line).unwrap_or("(end)").to_owned();
    panic!(
        "{} differs at line {}:\n  expected: {}\n  actual:   {}\nall of it: {kept}; UPDATE_GOLDEN=1 accepts it",
        file.display(),
        line + 1,
        at(&expected),
        at(actual),
    );
}

fn keep(file: &Path, actual: &str) -> String {
    let exe = env::current_exe().expect("a test program knows its own path");
    let target = exe.ancestors().nth(3).unwrap_or(Path::new("."));
    let kept = target.join("golden").join(file.file_name().expect("a golden file has a name"));
    let written = fs::create_dir_all(target.join("golden")).and_then(|()| fs::write(&kept, actual));
    written.map_or_else(|error| format!("(could not be kept: {error})"), |()| kept.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Scratch;

    #[test]
    fn difference_names_the_line() {
        let dir = Scratch::new();
        let file = dir.path().join("said.txt");
        fs::write(&file, "one\ntwo\nthree\n").expect("scratch is writable");
        compare(&file, "one\ntwo\nthree\n");
        let panic = std::panic::catch_unwind(|| compare(&file, "one\n2\nthree\n")).expect_err("they differ");
        let text = panic.downcast_ref::<String>().expect("a formatted panic");
        assert!(
            text.contains("line 2") && text.contains("expected: two") && text.contains("actual:   2"),
            "{text}"
        );
    }
}
