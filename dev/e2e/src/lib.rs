//! End-to-end tests: the real daemons and tools, driven as users drive them.
//!
//! Where it sits: above everything; it knows the programs by their command lines only. The tests are in `tests/`: this
//! holds what they share.

pub mod load;

use std::process::{Child, Command, Stdio};

use testkit::{Suite, SwitchUnderTest};

/// The tools that are compared with their C namesakes.
pub const TOOLS: [&str; 3] = ["ovs-vsctl", "ovs-ofctl", "ovs-appctl"];

/// The database server and what drives it.
pub const DATABASE: [&str; 3] = ["ovsdb-tool", "ovsdb-server", "ovs-vsctl"];

/// Everything that a switch and its database take.
pub const SWITCH: [&str; 6] =
    ["ovsdb-tool", "ovsdb-server", "ovs-vswitchd", "ovs-vsctl", "ovs-ofctl", "ovs-appctl"];

/// Options with which the switch starts where no real device is wanted.
pub const DUMMY: [&str; 3] = ["--enable-dummy=override", "--disable-system", "--disable-system-route"];

/// Our programs; None, after reporting the skip, while one of a whole switch does not exist.
pub fn ours() -> Option<Suite> {
    testkit::ours(&SWITCH)
}

/// A running pair of daemons with a bridge `br0` on the dummy datapath.
///
/// # Panics
/// When something does not start.
pub fn dummy_bridge(suite: &Suite, more: &[&str]) -> SwitchUnderTest {
    let pair = SwitchUnderTest::started(suite, &DUMMY);
    let mut args = "add-br br0 -- set bridge br0 datapath-type=dummy fail-mode=secure other-config:datapath-id=fedcba9876543210 \
        other-config:hwaddr=aa:55:aa:55:00:00 protocols=[OpenFlow10,OpenFlow11,OpenFlow12,OpenFlow13,OpenFlow14,OpenFlow15]"
        .split_whitespace()
        .collect::<Vec<_>>();
    args.extend(more);
    pair.ok(suite, "ovs-vsctl", &args);
    pair
}

/// Fails with every step of which our switch and the C one say different things; each is a step and what it said.
///
/// # Panics
/// When there is such a step.
#[track_caller]
pub fn assert_alike(ours: Vec<(String, String)>, theirs: Vec<(String, String)>) {
    assert_eq!(ours.len(), theirs.len(), "as many steps");
    let different = ours.into_iter().zip(theirs).filter(|(ours, theirs)| ours != theirs);
    let told: Vec<String> = different
        .map(|((step, ours), (_, theirs))| {
            format!("{step}\n  ours:   {ours:.2500}\n  theirs: {theirs:.2500}")
        })
        .collect();
    assert!(told.is_empty(), "{}", told.join("\n"));
}

/// Blanks what two runs never agree on in a flow dump: durations, ages, and the transaction id, which counts messages.
pub fn timeless(dump: &str) -> String {
    let blank = |line: &str| {
        if let Some((head, rest)) = line.split_once("(xid=0x") {
            return format!("{head}(xid=?){}", rest.split_once(')').map_or("", |(_, rest)| rest));
        }
        let parts =
            line.split(", ").filter(|part| !part.starts_with("idle_age=") && !part.starts_with("hard_age="));
        let parts = parts.map(|part| match part.split_once(" idle_age=") {
            _ if part.starts_with("duration=") => "duration=?",
            // Flags are not set off from it.
            Some((flags, _)) => flags,
            None => part,
        });
        parts.collect::<Vec<_>>().join(", ")
    };
    dump.lines().map(|line| blank(line) + "\n").collect()
}

/// How many descriptors a process of ours has open.
pub fn descriptors(pid: impl std::fmt::Display) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).expect("our process").count()
}

/// Blanks what is numbered in the order of its making.
pub fn numberless(line: &str) -> String {
    let mut out = line.to_owned();
    for name in ["recirc(0x", "recirc_id=0x", "recirc_id="] {
        if let Some((head, tail)) = out.split_once(name) {
            out = format!("{head}{name}?{}", tail.trim_start_matches(|c: char| c.is_ascii_hexdigit()));
        }
    }
    out
}

/// The frames in a capture file that a dummy port writes, as hexadecimal digits. It is whole once the command that caused
/// the last frame has been answered.
pub fn captured(file: &str) -> Vec<String> {
    let bytes = std::fs::read(file).unwrap_or_default();
    let mut frames = Vec::new();
    let mut rest = bytes.get(24..).unwrap_or_default();
    while let Some((head, more)) = rest.split_at_checked(16) {
        let len = u32::from_le_bytes(head[8..12].try_into().expect("four bytes")) as usize;
        let Some((frame, more)) = more.split_at_checked(len) else { break };
        frames.push(testkit::to_hex(frame));
        rest = more;
    }
    frames
}

/// Runs a system program that must succeed.
///
/// # Panics
/// When it fails.
#[track_caller]
pub fn system(words: &str) -> String {
    let mut parts = words.split_whitespace();
    let program = parts.next().expect("a program");
    let out = Command::new(program).args(parts).output().unwrap_or_else(|error| panic!("{words}: {error}"));
    assert!(out.status.success(), "{words}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).into_owned()
}

/// Machines `a` (10.0.0.1) and `b` (10.0.0.2), each behind a veth pair whose other end is `port-a` or `port-b` here, with
/// offloads as they are.
///
/// # Panics
/// When the system refuses.
pub fn machines() {
    for (name, address, mac) in
        [("a", "10.0.0.1", "02:00:00:00:00:01"), ("b", "10.0.0.2", "02:00:00:00:00:02")]
    {
        system(&format!("ip netns add {name}"));
        system(&format!("ip link add port-{name} type veth peer name eth0 netns {name}"));
        system(&format!("ip -n {name} addr add {address}/24 dev eth0"));
        system(&format!("ip -n {name} link set lo up"));
        system(&format!("ip -n {name} link set eth0 address {mac} up"));
        system(&format!("ip link set port-{name} up"));
    }
}

/// Packets that a device has received and sent, as the kernel counts them; in the machine `a` or `b`, or here.
///
/// # Panics
/// When there is no such device.
#[track_caller]
pub fn packets(machine: Option<&str>, device: &str) -> (u64, u64) {
    let file = "cat /proc/thread-self/net/dev";
    let text = match machine {
        Some(machine) => system(&format!("ip netns exec {machine} {file}")),
        None => system(file),
    };
    let line = text.lines().find_map(|line| line.trim().strip_prefix(device)?.strip_prefix(':'));
    let n: Vec<u64> = line
        .unwrap_or_else(|| panic!("no {device}: {text}"))
        .split_whitespace()
        .map(|n| n.parse().expect("a number"))
        .collect();
    (n[1], n[9])
}

/// Runs one of the probes of the demonstration in machine `a`.
///
/// # Panics
/// When it cannot be started.
pub fn probe(suite: &Suite, words: &str) -> bool {
    let oxvs = suite.command("oxvs").get_program().to_owned();
    let mut command = Command::new("ip");
    command.args(["netns", "exec", "a"]).arg(oxvs).arg("probe").args(words.split_whitespace());
    command.status().expect("ip runs").success()
}

/// Starts the program that answers in machine `b`; the sandbox ends it.
///
/// # Panics
/// When it does not start.
pub fn answer_in_b(suite: &Suite) -> Child {
    let oxvs = suite.command("oxvs").get_program().to_owned();
    let mut command = Command::new("ip");
    command.args(["netns", "exec", "b"]).arg(oxvs).arg("answer").stdout(Stdio::piped());
    let mut child = command.spawn().expect("ip runs");
    let mut ready = String::new();
    let out = child.stdout.take().expect("a pipe");
    std::io::BufRead::read_line(&mut std::io::BufReader::new(out), &mut ready)
        .expect("it says that it is ready");
    child
}
