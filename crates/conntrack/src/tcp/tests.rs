//! The machine's tables, printed whole.

use std::format;
use std::string::String;

use super::*;

#[test]
fn every_state_and_event() {
    let events = [TcpEvent::Sent, TcpEvent::SentFin, TcpEvent::Acknowledged, TcpEvent::Reset];
    let mut table = String::new();
    for state in TcpState::ALL {
        let [a, b, c, d] = events.map(|e| if state.on(e) == state { "-" } else { state.on(e).name() });
        table += &format!("{:<11} | {a:<8} | {b:<7} | {c:<11} | {d}\n", state.name());
    }
    assert_eq!(
        table,
        "\
CLOSED      | SYN_SENT | CLOSING | -           | TIME_WAIT
LISTEN      | SYN_SENT | CLOSING | -           | TIME_WAIT
SYN_SENT    | -        | CLOSING | ESTABLISHED | TIME_WAIT
SYN_RECV    | -        | CLOSING | -           | TIME_WAIT
ESTABLISHED | -        | CLOSING | -           | TIME_WAIT
CLOSE_WAIT  | -        | CLOSING | -           | TIME_WAIT
FIN_WAIT_1  | -        | CLOSING | -           | TIME_WAIT
CLOSING     | -        | -       | FIN_WAIT_2  | TIME_WAIT
LAST_ACK    | -        | -       | -           | TIME_WAIT
FIN_WAIT_2  | -        | -       | -           | TIME_WAIT
TIME_WAIT   | -        | -       | -           | -
"
    );
}

#[test]
fn lifetime_of_every_pair_that_occurs() {
    use TcpState::{Closed, Closing, Established, FinWait2, SynSent, TimeWait};
    let occurring = [Closed, SynSent, Established, Closing, FinWait2, TimeWait];
    let mut table = String::new();
    for a in occurring {
        table += &format!("{:<11}", a.name());
        for b in occurring {
            assert_eq!(lifetime(a, b), lifetime(b, a));
            table += match lifetime(a, b) {
                Timeout::TcpOpening => " opening",
                Timeout::TcpEstablished => " established",
                Timeout::TcpClosing => " closing",
                Timeout::TcpFinWait => " fin-wait",
                Timeout::TcpClosed => " closed",
                other => panic!("{other:?}"),
            };
        }
        table += "\n";
    }
    assert_eq!(
        table,
        "\
CLOSED      opening opening opening opening opening opening
SYN_SENT    opening opening opening opening opening opening
ESTABLISHED opening opening established closing closing closing
CLOSING     opening opening closing fin-wait fin-wait fin-wait
FIN_WAIT_2  opening opening closing fin-wait closed closed
TIME_WAIT   opening opening closing fin-wait closed closed
"
    );
}

fn segment(flags: u16, seq: u32, ack: u32, window: u16) -> TcpSegment {
    TcpSegment { seq, ack, window, flags, ..TcpSegment::default() }
}

#[test]
fn flags_that_no_endpoint_sends() {
    for flags in 0..64u16 {
        let nonsense = segment(flags, 0, 0, 1).is_nonsense();
        let want = match (flags & SYN != 0, flags & ACK != 0) {
            (true, _) => flags & (RST | FIN) != 0,
            (false, true) => false,
            (false, false) => flags & !(SYN | ACK) != RST,
        };
        assert_eq!(nonsense, want, "{flags:#b}");
    }
}

#[test]
fn a_scaled_window_reaches_as_far_as_it_says() {
    let open = |wscale| {
        let mut c = TcpConn::new(&TcpSegment { wscale: Some(7), ..segment(SYN, 99, 0, 1000) });
        let answer = TcpSegment { wscale, ..segment(SYN | ACK, 499, 100, 1000) };
        assert_eq!(
            c.handle_segment(&answer, Side::Reply, SeqCheck::On),
            TcpOutcome::Part(Timeout::TcpOpening)
        );
        let done = segment(ACK, 100, 500, 1000);
        assert_eq!(
            c.handle_segment(&done, Side::Orig, SeqCheck::On),
            TcpOutcome::Part(Timeout::TcpEstablished)
        );
        c
    };
    let answer = |c: &mut TcpConn, payload| {
        let s = TcpSegment { payload, ..segment(ACK, 500, 100, 1000) };
        c.handle_segment(&s, Side::Reply, SeqCheck::On)
    };
    assert_eq!(answer(&mut open(Some(0)), 128_000), TcpOutcome::Part(Timeout::TcpEstablished));
    assert_eq!(answer(&mut open(Some(0)), 128_001), TcpOutcome::Invalid);
    assert_eq!(answer(&mut open(None), 1000), TcpOutcome::Part(Timeout::TcpEstablished));
    assert_eq!(answer(&mut open(None), 128_000), TcpOutcome::Invalid);
}

#[test]
fn sequence_numbers_wrap() {
    let mut c = TcpConn::new(&segment(SYN, u32::MAX, 0, 1000));
    c.handle_segment(&segment(SYN | ACK, u32::MAX - 1, 0, 1000), Side::Reply, SeqCheck::On);
    let data = TcpSegment { payload: 10, ..segment(ACK, 0, u32::MAX, 1000) };
    assert_eq!(c.handle_segment(&data, Side::Orig, SeqCheck::On), TcpOutcome::Part(Timeout::TcpEstablished));
}
