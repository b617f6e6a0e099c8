//! Packets that the extension does not have in one piece, and the bare core does; and what does not fit into a piece.

use packet::DropReason;
use scenarios::{Core, Extension, parse, run};

const TRANSLATED: &str = "scenario a long packet is tracked and translated
  flow in_port(1),eth_type(0x0800) => ct(commit,zone=1,nat(src=10.9.0.9:6000)),2
  packet 1: eth 02:00:00:00:00:01 > 02:00:00:00:00:02 / ip 10.0.0.1 > 10.0.0.2 / udp 1000 > 53 / count 8000
  out 2: eth 02:00:00:00:00:01 > 02:00:00:00:00:02 / ip 10.9.0.9 > 10.0.0.2 / udp 6000 > 53 / count 8000
";

#[test]
fn a_packet_that_lies_in_pieces_is_tracked_by_its_headers() {
    let scenario = parse("long", TRANSLATED).remove(0);
    run("long", &scenario, &mut Core::new(&scenario.ports)).unwrap_or_else(|why| panic!("{why}"));
    run("long", &scenario, &mut Extension::new(&scenario.ports)).unwrap_or_else(|why| panic!("{why}"));
}

#[test]
fn headers_go_on_while_there_is_room_before_the_frame() {
    // Elsewhere a frame moves where there is more room.
    let (reason, times) = (DropReason::NoHeadroom, 1);
    let label = "push_mpls(label=1,tc=0,ttl=1,bos=0,eth_type=0x8847),".repeat(512);
    let frame = "eth 02:00:00:00:00:01 > 02:00:00:00:00:02 type 5";
    let name = reason.name();
    let text = format!("scenario x\nflow in_port(1) => {label}2\npacket 1: {frame}\ndrop {name} {times}\n");
    let scenario = parse("labels", &text).remove(0);
    run("labels", &scenario, &mut Extension::new(&scenario.ports)).unwrap_or_else(|why| panic!("{why}"));
}
