//! What the operating system offers only to unsafe callers: forking, raising signals, calendar time.
//!
//! Where it sits: the bottom of this crate; nothing else in it is unsafe. Each function is safe to call as its comment says.
#![allow(unsafe_code, reason = "libc's process and calendar calls have no safe form in rustix")]

use std::io;
use std::mem::MaybeUninit;

/// The two sides of a fork.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fork {
    /// This is the new process.
    Child,
    /// This is the old one; the new one's id.
    Parent(libc::pid_t),
}

/// Forks, in a process that has one thread. An error is reported where there is more than one.
pub fn fork() -> io::Result<Fork> {
    if threads()? != 1 {
        return Err(io::Error::other("cannot fork with several threads"));
    }
    // SAFETY: the process has exactly one thread (checked above), so no lock or allocator state can be held by a thread that
    // does not exist in the child.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Fork::Child),
        pid => Ok(Fork::Parent(pid)),
    }
}

fn threads() -> io::Result<usize> {
    Ok(std::fs::read_dir("/proc/self/task")?.count())
}

/// Lets faults kill the process at once. Rust's own handler of them survives one that another process sends, which a monitor's
/// users do to see a restart.
pub fn die_of_faults() {
    for fault in [libc::SIGSEGV, libc::SIGBUS] {
        // SAFETY: SIG_DFL runs no code of ours; what is lost is only the message about stack overflows.
        unsafe { libc::signal(fault, libc::SIG_DFL) };
    }
}

/// Ends the process by `signal` as if nobody had caught it.
pub fn die_by_signal(signal: i32) -> ! {
    // SAFETY: signal() with SIG_DFL and raise() have no memory preconditions; an invalid number makes them fail.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
        libc::raise(signal);
    }
    // A signal whose default is not to kill, or that is blocked.
    std::process::exit(128 + signal)
}

/// A signal in the system's words.
pub fn signal_name(signal: i32) -> String {
    // SAFETY: strsignal() returns a string for every number, valid until the next call in this thread; it is copied at once.
    let text = unsafe { std::ffi::CStr::from_ptr(libc::strsignal(signal)) };
    text.to_string_lossy().into_owned()
}

/// Calls the shell of this thread's name in the process table.
pub fn set_thread_name(name: &str) {
    let mut bytes: Vec<u8> = name.bytes().filter(|byte| *byte != 0).take(15).collect();
    bytes.push(0);
    // SAFETY: PR_SET_NAME reads at most 16 bytes of a terminated string, which `bytes` is.
    unsafe { libc::prctl(libc::PR_SET_NAME, bytes.as_ptr()) };
}

/// `ms` since 1970 in UTC, laid out by strftime's `template`, where each `#` is a digit of the fraction of the second.
pub fn format_utc_time(ms: u64, template: &str) -> String {
    let seconds = (ms / 1000) as libc::time_t;
    let mut calendar = MaybeUninit::<libc::tm>::uninit();
    // SAFETY: both pointers are valid for the call.
    let result = unsafe { libc::gmtime_r(&seconds, calendar.as_mut_ptr()) };
    if result.is_null() {
        return String::new();
    }
    // SAFETY: gmtime_r() did not fail, so it has filled the structure.
    format_calendar(&unsafe { calendar.assume_init() }, ms, template)
}

/// Like `format_utc_time` in the local time zone.
pub fn format_local_time(ms: u64, template: &str) -> String {
    let seconds = (ms / 1000) as libc::time_t;
    let mut calendar = MaybeUninit::<libc::tm>::uninit();
    // SAFETY: both pointers are valid for the call.
    let result = unsafe { libc::localtime_r(&seconds, calendar.as_mut_ptr()) };
    if result.is_null() {
        return String::new();
    }
    // SAFETY: localtime_r() did not fail, so it has filled the structure.
    format_calendar(&unsafe { calendar.assume_init() }, ms, template)
}

fn format_calendar(calendar: &libc::tm, ms: u64, template: &str) -> String {
    let Ok(template) = std::ffi::CString::new(template) else { return String::new() };
    let mut buffer = [0u8; 256];
    // SAFETY: strftime() writes at most `buffer.len()` bytes to `buffer`; template and calendar are valid.
    let length =
        unsafe { libc::strftime(buffer.as_mut_ptr().cast(), buffer.len(), template.as_ptr(), calendar) };
    let fraction = format!("{:03}", ms % 1000);
    let mut digits = fraction.chars().chain(std::iter::repeat('0'));
    let text = String::from_utf8_lossy(&buffer[..length]);
    text.chars().map(|c| if c == '#' { digits.next().unwrap_or('0') } else { c }).collect()
}
