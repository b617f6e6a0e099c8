//! Scripts of virtual time against the lines that C's programs logged in the same situation.

use proptest::prelude::*;

use super::*;

/// What a peer does to the attempts and connections that the machine makes.
#[derive(Clone, Copy, Debug)]
enum Peer {
    Refuses,
    /// Accepts and closes after that many ms.
    Closes(u64),
    /// Accepts, speaks once after that many ms, then resets.
    SpeaksThenResets(u64),
    /// Accepts and says nothing.
    Mute,
    /// Never answers the attempt.
    Filtered,
}

/// Runs the machine against the peers in turn; returns the log with times, without state changes.
fn run(config: Config, peers: &[Peer]) -> Vec<String> {
    let mut fsm = Reconnect::new("tcp:127.0.0.1:1", config, 0);
    let (mut now, mut log, mut peers) = (0, Vec::new(), peers.iter());
    let mut end: Option<(u64, Cause)> = None;
    fsm.enable(now);
    loop {
        match fsm.run(now) {
            Some(Action::Connect) => {
                let Some(peer) = peers.next() else { break };
                fsm.connecting(now);
                match *peer {
                    Peer::Refuses => fsm.disconnected(now, &Cause::Error("Connection refused".into())),
                    Peer::Filtered => {}
                    Peer::Closes(after) => {
                        fsm.connected(now);
                        end = Some((now + after, Cause::Closed));
                    }
                    Peer::SpeaksThenResets(after) => {
                        fsm.connected(now);
                        fsm.activity(now + after);
                        end = Some((now + after, Cause::Error("Connection reset by peer".into())));
                    }
                    Peer::Mute => fsm.connected(now),
                }
            }
            Some(Action::Disconnect) => fsm.disconnected(now, &Cause::Commanded),
            Some(Action::Probe) => {}
            None => {
                let deadline = fsm.deadline();
                match end.take() {
                    Some((at, cause)) if deadline.is_none_or(|d| at <= d) => {
                        now = now.max(at);
                        fsm.disconnected(now, &cause);
                    }
                    other => {
                        end = other;
                        now = deadline.expect("every state of this script has a deadline");
                    }
                }
            }
        }
        drain(&mut fsm, now, &mut log);
    }
    drain(&mut fsm, now, &mut log);
    log
}

fn drain(fsm: &mut Reconnect, now: u64, log: &mut Vec<String>) {
    for (level, line) in fsm.take_log() {
        let line = line.strip_prefix("tcp:127.0.0.1:1: ").unwrap();
        if !line.starts_with("entering") {
            log.push(format!("{} {level} {line}", now / 1000));
        }
    }
}

#[test]
fn refused_attempts_back_off_and_fall_silent() {
    assert_eq!(
        run(Config::default(), &[Peer::Refuses; 6]),
        [
            "0 INFO connecting...",
            "0 INFO connection attempt failed (Connection refused)",
            "1 INFO connecting...",
            "1 INFO connection attempt failed (Connection refused)",
            "1 INFO waiting 2 seconds before reconnect",
            "3 INFO connecting...",
            "3 INFO connection attempt failed (Connection refused)",
            "3 INFO waiting 4 seconds before reconnect",
            "7 INFO connecting...",
            "7 INFO connection attempt failed (Connection refused)",
            "7 INFO continuing to reconnect in the background but suppressing further logging",
        ]
    );
}

#[test]
fn connections_that_do_not_last_back_off_too() {
    let peers = [Peer::Closes(0), Peer::Closes(0), Peer::SpeaksThenResets(3000), Peer::Refuses];
    assert_eq!(
        run(Config::default(), &peers),
        [
            "0 INFO connecting...",
            "0 INFO connected",
            "0 INFO connection closed by peer",
            "1 INFO connecting...",
            "1 INFO connected",
            "1 INFO connection closed by peer",
            "1 INFO waiting 2 seconds before reconnect",
            "3 INFO connecting...",
            "3 INFO connected",
            "6 WARN connection dropped (Connection reset by peer)",
            "7 INFO connecting...",
            "7 INFO connection attempt failed (Connection refused)",
            "7 INFO waiting 2 seconds before reconnect",
        ]
    );
}

#[test]
fn a_mute_peer_is_probed_then_dropped_and_a_filtered_one_times_out() {
    assert_eq!(
        run(Config::default(), &[Peer::Mute, Peer::Filtered]),
        [
            "0 INFO connecting...",
            "0 INFO connected",
            "5 DEBUG idle 5000 ms, sending inactivity probe",
            "10 ERROR no response to inactivity probe after 5 seconds, disconnecting",
            "11 INFO connecting...",
            "12 INFO connection attempt timed out",
            "12 INFO waiting 2 seconds before reconnect",
        ]
    );
}

#[test]
fn openflow_wording() {
    let config = Config { wording: Wording::Rconn, ..Config::default() };
    assert_eq!(
        run(
            config,
            &[Peer::Refuses, Peer::Mute, Peer::Filtered, Peer::Refuses, Peer::Refuses, Peer::Refuses]
        ),
        [
            "0 INFO connecting...",
            "0 WARN connection failed (Connection refused)",
            "0 INFO waiting 1 seconds before reconnect",
            "1 INFO connecting...",
            "1 INFO connected",
            "6 DEBUG idle 5 seconds, sending inactivity probe",
            "11 ERROR no response to inactivity probe after 5 seconds, disconnecting",
            "11 INFO waiting 2 seconds before reconnect",
            "13 INFO connecting...",
            "15 INFO connection timed out",
            "15 INFO waiting 4 seconds before reconnect",
            "19 INFO connecting...",
            "19 WARN connection failed (Connection refused)",
            "19 INFO continuing to retry connections in the background but suppressing further logging",
            "27 WARN connection failed (Connection refused)",
            "35 WARN connection failed (Connection refused)",
        ]
    );
}

#[test]
fn tries_are_counted_down_to_void() {
    let mut fsm = Reconnect::new("x", Config { tries: Some(1), ..Config::default() }, 0);
    fsm.enable(0);
    assert_eq!(fsm.run(0), Some(Action::Connect));
    fsm.connecting(0);
    fsm.disconnected(0, &Cause::Error("no".into()));
    assert_eq!((fsm.state(), fsm.deadline()), (State::Void, None));
}

#[test]
fn seconds_have_three_digits() {
    let texts = [0, 1, 500, 1000, 2000, 1500, 4250, 10_000, 60_000, 123_456].map(significant3);
    assert_eq!(texts, ["0", "0.001", "0.5", "1", "2", "1.5", "4.25", "10", "60", "123"]);
}

/// Anything an owner or a peer can do to the machine.
#[derive(Clone, Debug)]
enum Op {
    Run(u64),
    Connected,
    Activity,
    Disconnected(bool),
    Enable,
    Disable,
    Force,
    Probe(u64),
}

fn arbitrary_op() -> impl Strategy<Value = Op> {
    prop_oneof![
        5 => (0u64..20_000).prop_map(Op::Run),
        2 => Just(Op::Connected),
        2 => Just(Op::Activity),
        2 => any::<bool>().prop_map(Op::Disconnected),
        1 => Just(Op::Enable),
        1 => Just(Op::Disable),
        1 => Just(Op::Force),
        1 => (0u64..10_000).prop_map(Op::Probe),
    ]
}

proptest! {
    #[test]
    fn backoff_stays_in_bounds_and_nothing_hangs(ops in prop::collection::vec(arbitrary_op(), 0..200)) {
        let mut fsm = Reconnect::new("x", Config::default(), 0);
        let mut now = 0;
        fsm.enable(now);
        for op in ops {
            match op {
                Op::Run(ms) => {
                    now += ms;
                    match fsm.run(now) {
                        Some(Action::Connect) => fsm.connecting(now),
                        Some(Action::Disconnect) => fsm.disconnected(now, &Cause::Commanded),
                        Some(Action::Probe) | None => {}
                    }
                    // What was due is done: nothing but an attempt without waiting is due at once again.
                    prop_assert!(fsm.deadline().is_none_or(|d| d >= now) || fsm.backoff() == 0);
                }
                Op::Connected => if fsm.state() == State::Connecting { fsm.connected(now) },
                Op::Activity => if fsm.is_connected() { fsm.activity(now) },
                Op::Disconnected(error) => {
                    let cause = if error { Cause::Error("e".into()) } else { Cause::Closed };
                    fsm.disconnected(now, &cause);
                }
                Op::Enable => fsm.enable(now),
                Op::Disable => fsm.disable(now),
                Op::Force => fsm.force_reconnect(now),
                Op::Probe(ms) => fsm.set_probe_interval(ms),
            }
            prop_assert!(fsm.backoff() <= 8000);
            let connected = fsm.is_connected();
            prop_assert_eq!(fsm.stats().seqno % 2 == 1, connected);
            fsm.take_log();
        }
    }
}
