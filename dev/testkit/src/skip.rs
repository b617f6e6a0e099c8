//! Reported skips, and running a test inside namespaces of its own.
//!
//! Where it sits: [`skip!`] and [`sandboxed!`] stand on the first lines of tests that need what a machine may lack.

use std::process::Stdio;

/// Ends the test as a reported skip: `skip!("no {tool} here")`.
#[macro_export]
macro_rules! skip {
    ($($reason:tt)*) => {{
        println!("skip: {}", format!($($reason)*));
        return;
    }};
}

/// First line of a test that wants namespaces of its own: runs the rest of it inside, or skips with the reason.
#[macro_export]
macro_rules! sandboxed {
    () => {{
        fn here() {}
        match $crate::skip::enter($crate::skip::name_of(&here)) {
            $crate::skip::Entered::Inside => {}
            $crate::skip::Entered::Done => return,
        }
    }};
}

/// What [`sandboxed!`] does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entered {
    /// This process is inside: run the test.
    Inside,
    /// The test ran in a process inside, or was skipped.
    Done,
}

/// The test's name as the test runner spells it, from a function inside it.
#[doc(hidden)]
pub fn name_of<T>(_: &T) -> &'static str {
    let path = std::any::type_name::<T>();
    let path = path.strip_suffix("::here").unwrap_or(path);
    path.split_once("::").map_or(path, |(_, name)| name)
}

/// Runs the test `name` of this same test program inside a sandbox, unless this is the inside.
///
/// # Panics
/// When the test inside failed.
#[doc(hidden)]
pub fn enter(name: &str) -> Entered {
    if sandbox::is_inside() {
        return Entered::Inside;
    }
    let this = std::env::current_exe().expect("a test program knows its own path");
    let mut command = match sandbox::command(this) {
        Ok(command) => command,
        Err(why) => {
            println!("skip: {why}");
            return Entered::Done;
        }
    };
    command.args(["--exact", name, "--nocapture", "--test-threads", "1"]).stdin(Stdio::null());
    let out = command.output().expect("setpriv was there a moment ago");
    // through print!, so that the runner attributes it to this test
    print!("{}", String::from_utf8_lossy(&out.stdout));
    eprint!("{}", String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{name}, inside its namespaces: {}", out.status);
    let ran = String::from_utf8_lossy(&out.stdout);
    assert!(ran.contains("running 1 test"), "no test called {name} ran inside the namespaces");
    Entered::Done
}

#[cfg(test)]
mod tests {
    use std::fs;

    #[test]
    fn sandboxed_runs_inside() {
        sandboxed!();
        let devices = fs::read_to_string("/proc/net/dev").expect("/proc is mounted");
        assert_eq!(devices.lines().skip(2).count(), 1, "{devices}");
        // pid 1 and what it runs, nothing of the machine's
        assert!(std::process::id() < 20);
    }
}
