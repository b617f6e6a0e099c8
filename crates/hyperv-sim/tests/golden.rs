//! The interface byte by byte, by requests of user space: `golden.txt` beside this file.

use hyperv_sim::{Driver, retell};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden.txt");

#[test]
fn every_request_has_its_bytes() {
    let text = std::fs::read_to_string(FILE).expect("it is there");
    let told = retell(&text, &Driver::Native);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(FILE, told).expect("it can be written");
        return;
    }
    let wrong: Vec<String> = text
        .lines()
        .zip(told.lines())
        .enumerate()
        .filter(|(_, (is, comes))| is != comes)
        .map(|(at, (is, comes))| format!("line {}\n  {is}\n  {comes}", at + 1))
        .collect();
    assert!(wrong.is_empty() && text.len() == told.len(), "{}", wrong.join("\n"));
    let checked = text.lines().filter(|line| line.starts_with(['<', '='])).count();
    assert!(checked > 200, "{checked}");
}
