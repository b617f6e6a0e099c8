//! Guests: namespaces of their own behind veth pairs, and threads inside them.
//!
//! Where it sits: shared by the tests of ports and of what they lose.
#![allow(dead_code, reason = "each test program uses its part")]

use std::fs::File;
use std::process::Command;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use netdev_linux::LinuxDevices;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Runs a command that must succeed.
pub fn run(line: &str) {
    let words: Vec<&str> = line.split_whitespace().collect();
    let out = Command::new(words[0]).args(&words[1..]).output().expect("iproute2 is there");
    assert!(out.status.success(), "{line}: {}", String::from_utf8_lossy(&out.stderr));
}

/// A namespace `ns` with one end, `eth0`, of a veth pair whose other end is `port` here.
pub fn guest(ns: &str, port: &str, addr: &str) {
    run(&format!("ip netns add {ns}"));
    run(&format!("ip link add {port} type veth peer name eth0 netns {ns}"));
    run(&format!("ip link set {port} up"));
    // A fixed address: who talked to this guest before need not ask again.
    let last = addr.rsplit('.').next().unwrap();
    run(&format!("ip -n {ns} link set eth0 address 02:00:00:00:01:0{last} up"));
    run(&format!("ip -n {ns} addr add {addr}/24 dev eth0"));
}

/// Runs `f` on a thread inside the namespace `ns`.
pub fn inside<T: Send + 'static>(ns: &str, f: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    let file = File::open(format!("/run/netns/{ns}")).expect("the namespace was made");
    std::thread::spawn(move || {
        move_into_link_name_space(std::os::fd::AsFd::as_fd(&file), Some(LinkNameSpaceType::Network)).unwrap();
        f()
    })
}

/// The devices of this namespace.
pub fn devices() -> LinuxDevices {
    LinuxDevices::new(Arc::new(|| ())).unwrap()
}

/// Waits until something holds.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..3000 {
        if holds() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("{what}: not within half a minute");
}
