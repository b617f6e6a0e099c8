//! Dialogues: what user space asks of the driver by IOCTL, request by request, and what each comes to, as text.
//!
//! Where it sits: in place of the administrator's script; beside `scenario.rs`. Requests go the way that a program's go, and
//! what they say are bytes: nothing here knows what they mean.
//!
//! ~~~text
//! driver                     a fresh one, on a switch without ports; a first file is open, and does what follows
//! plug N NAME [internal]     a port with an adapter comes: a machine's, or the host's
//! unplug N                   and goes
//! detach, attach             the extension is disabled, and enabled again
//! short, enough              memory is short from here on: no allocation succeeds; or it is enough again
//! open, close N, file N      another file; a file goes; what follows is done by another one. The first is 1
//! fill                       files are opened until that is refused, and closed again
//! pid                        GET_PID
//! transact BYTES             TRANSACT; write BYTES: WRITE; read, event, packet: READ, READ_EVENT, READ_PACKET
//! ioctl CODE ROOM BYTES      any IOCTL, with room for so many bytes
//! over, cancel               the oldest request that waits: whether it is over; it is cancelled
//! second                     a second passes, and a bit
//! send N BYTES               a frame comes from an adapter
//! got N                      frames that came to an adapter
//! commit N ZONE              a UDP connection of 10.0.0.N to 10.0.1.1 is tracked in a zone, by an EXECUTE
//! < BYTES                    is what it came to
//! = STATUS                   or the operation ended so, without bytes; 00000103: it waits
//! ~~~
//!
//! Bytes are written in words of 32 bits, in the order of the wire.

use std::sync::{Arc, Mutex, PoisonError};

use ndis_sys::*;
use odp::Action;
use odp::netlink::{ids, ids::packet_cmd, packet as packet_attrs};
use switch_ext::NicId;

use crate::administrator::{create_port, delete_port, plug_in, unplug};
use crate::channel::{Channel, GET_PID, READ, READ_EVENT, READ_PACKET, ROOM, TRANSACT, WRITE};
use crate::files::{File, Pending};
use crate::guest::Guest;
use crate::packets::{OutOfBand, to_driver};
use crate::processors::wait_until;
use crate::scenario::{self, Plan};
use crate::world::{Driver, with};

/// The step with which a life begins.
const DRIVER: &str = "driver";

/// Does what the lines of a dialogue say; returns the dialogue with what each comes to.
pub fn retell(text: &str, driver: &Driver) -> String {
    let is_step = |line: &&str| !line.is_empty() && !line.starts_with('#');
    let lines = text.lines().filter(|line| !line.starts_with(['<', '=']));
    let mut lives: Vec<Vec<String>> = Vec::new();
    for step in lines.clone().filter(is_step) {
        match lives.last_mut().filter(|_| step != DRIVER) {
            Some(life) => life.push(step.to_owned()),
            None => lives.push(Vec::new()),
        }
    }
    let mut answers = lives.into_iter().flat_map(|life| play(life, driver));
    let mut told = String::new();
    for line in lines {
        told.push_str(line);
        told.push('\n');
        if is_step(&line)
            && line != DRIVER
            && let Some(answer) = answers.next().expect("a step is answered or is not")
        {
            told.push_str(&answer);
            told.push('\n');
        }
    }
    told
}

/// What each step of one driver's life comes to.
fn play(life: Vec<String>, driver: &Driver) -> Vec<Option<String>> {
    let answers = Arc::new(Mutex::new(Vec::new()));
    let said = answers.clone();
    let plan = Plan { driver: driver.clone(), tunnel: None, fail_one_in: 0, ..Plan::of(1) };
    scenario::live(&plan, move || {
        // What is written down has times in it.
        with(|w| w.administrator.as_mut().expect("running").keeps_time = true);
        let image = scenario::begin();
        let mut user_space = UserSpace::new();
        let all: Vec<_> = life.iter().map(|step| user_space.step(step)).collect();
        *said.lock().unwrap_or_else(PoisonError::into_inner) = all;
        user_space.leave();
        scenario::finish(image);
    });
    let mut answers = answers.lock().unwrap_or_else(PoisonError::into_inner);
    std::mem::take(&mut answers)
}

fn bytes(text: &str) -> Vec<u8> {
    let digits: Vec<char> = text.chars().filter(|c| *c != ' ').collect();
    let byte =
        |pair: &[char]| u8::from_str_radix(&pair.iter().collect::<String>(), 16).expect("hexadecimal digits");
    digits.chunks(2).map(byte).collect()
}

fn hex(bytes: &[u8]) -> String {
    let word = |w: &[u8]| w.iter().map(|b| format!("{b:02x}")).collect::<String>();
    bytes.chunks(4).map(word).collect::<Vec<_>>().join(" ")
}

/// What an operation came to, as the file writes it.
fn came_to(result: Result<Vec<u8>, i32>) -> String {
    match result {
        Ok(bytes) if bytes.is_empty() => "= 00000000".into(),
        Ok(bytes) => format!("< {}", hex(&bytes)),
        Err(status) => format!("= {status:08x}"),
    }
}

fn nic(port: &str) -> NicId {
    NicId { port: port.parse().expect("a port's number"), index: 0 }
}

/// Programs with files, and what waits.
struct UserSpace {
    files: Vec<Option<File>>,
    current: usize,
    waiting: Vec<Pending>,
}

impl UserSpace {
    fn new() -> UserSpace {
        UserSpace { files: vec![Some(File::open().expect("memory"))], current: 0, waiting: Vec::new() }
    }

    fn leave(&mut self) {
        self.files.iter().flatten().for_each(File::close);
        self.waiting.drain(..).for_each(|pending| drop(pending.finish()));
    }

    /// Does what a line says; `None` if it comes to nothing.
    fn step(&mut self, line: &str) -> Option<String> {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        let words: Vec<&str> = rest.split(' ').collect();
        match verb {
            "plug" => plug(&words),
            "unplug" => {
                unplug(nic(words[0]));
                delete_port(nic(words[0]).port);
            }
            "detach" => scenario::detach_under_way(),
            "attach" => scenario::enable(),
            "second" => {
                with(|w| w.now_ns += 1_100_000_000);
                wait_until(|| with(|w| w.ledger.timers.values().all(|t| !t.is_busy(w.now_ns))));
            }
            "short" => with(|w| w.fail_one_in = 1),
            "enough" => with(|w| w.fail_one_in = 0),
            "file" => self.current = rest.parse::<usize>().expect("a file's number") - 1,
            "send" => {
                let frame = bytes(&words[1..].concat());
                to_driver(&[(nic(words[0]), vec![frame], OutOfBand::default())]);
                wait_until(|| with(|w| w.sent.is_empty() && w.done.is_empty()));
            }
            "commit" => commit(words[0].parse().expect("a byte"), words[1].parse().expect("a zone")),
            _ => return Some(self.ask(verb, rest, &words)),
        }
        None
    }

    fn ask(&mut self, verb: &str, rest: &str, words: &[&str]) -> String {
        match verb {
            "open" => match File::open() {
                Ok(file) => {
                    self.files.push(Some(file));
                    "= 00000000".into()
                }
                Err(status) => came_to(Err(status)),
            },
            "close" => {
                let file = self.files[rest.parse::<usize>().expect("a file's number") - 1].take();
                file.expect("an open file").close();
                "= 00000000".into()
            }
            "fill" => fill(),
            "pid" => self.control(GET_PID, &[], 4),
            "transact" => self.control(TRANSACT, &bytes(rest), ROOM),
            "write" => self.control(WRITE, &bytes(rest), 0),
            "read" => self.control(READ, &[], ROOM),
            "event" => self.control(READ_EVENT, &[], ROOM),
            "packet" => self.control(READ_PACKET, &[], ROOM),
            "ioctl" => {
                let code = u32::from_str_radix(words[0], 16).expect("a code");
                self.control(code, &bytes(&words[2..].concat()), words[1].parse().expect("a length"))
            }
            "over" => match self.waiting.first() {
                Some(pending) if !pending.is_over() => came_to(Err(STATUS_PENDING)),
                _ => came_to(self.waiting.remove(0).finish()),
            },
            "cancel" => {
                let mut pending = self.waiting.remove(0);
                pending.cancel();
                came_to(pending.finish())
            }
            "got" => got(nic(words[0])),
            _ => panic!("{verb}: no such step"),
        }
    }

    fn control(&mut self, code: u32, input: &[u8], room: usize) -> String {
        let file = self.files[self.current].as_ref().expect("an open file");
        if code & 3 == 0 {
            return came_to(file.control(code, input, room));
        }
        let pending = file.begin(code, input, room);
        if pending.is_over() {
            return came_to(pending.finish());
        }
        self.waiting.push(pending);
        came_to(Err(STATUS_PENDING))
    }
}

fn plug(words: &[&str]) {
    let (at, name) = (nic(words[0]), words[1]);
    let (port_kind, kind) = match words.get(2) {
        Some(&"internal") => (NdisSwitchPortTypeInternal, NdisSwitchNicTypeInternal),
        _ => (NdisSwitchPortTypeSynthetic, NdisSwitchNicTypeSynthetic),
    };
    scenario::insist(|| create_port(at.port, port_kind, name));
    scenario::insist(|| plug_in(at, kind, name, [2, 0, 0, 0, 0, at.port as u8]));
    // One that only keeps what comes.
    with(|w| match w.guest_at(at) {
        None => w.guests.push(Guest::new(at.port as u8, name, at, false, w.mtu)),
        Some(guest) => w.guests[guest].is_connected = false,
    });
}

/// Opens files until that is refused.
fn fill() -> String {
    let mut files = Vec::new();
    let refused = loop {
        match File::open() {
            Ok(file) => files.push(file),
            Err(status) => break status,
        }
    };
    files.iter().for_each(File::close);
    format!("= {refused:08x} after {}", files.len())
}

/// The frames that came to an adapter: all that are on their way come first.
fn got(nic: NicId) -> String {
    wait_until(|| with(|w| w.sent.is_empty()));
    let frames = with(|w| {
        let guest = w.guest_at(nic).expect("an adapter that was plugged in");
        std::mem::take(&mut w.guests[guest].inbox)
    });
    let frames: Vec<String> = frames.iter().map(|frame| hex(frame)).collect();
    if frames.is_empty() { "= 00000000".into() } else { format!("< {}", frames.join(" | ")) }
}

/// Has a connection tracked.
fn commit(n: u8, zone: u16) {
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
    frame.extend([0x45, 0, 0, 28, 0, 1, 0, 0, 64, 17, 0, 0, 10, 0, 0, n, 10, 0, 1, 1]);
    let sum = !crate::guest::sum(&frame[14..34], 0);
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
    frame.extend([0, 53, 0, 99, 0, 8, 0, 0]);
    let mut key = flow::FlowKey::ZERO;
    flow::extract::extract(&packet::PacketMeta::default(), &frame, frame.len(), 2, &mut key);
    let track = odp::CtAction { commit: true, zone, ..odp::CtAction::default() };
    let channel = Channel::open().expect("memory");
    let done = channel.ask(ids::PACKET, packet_cmd::EXECUTE, 0, |b| {
        packet_attrs::put_key(b, &key);
        packet_attrs::put_actions(b, &[Action::Ct(Box::new(track))]);
        packet_attrs::put_packet(b, &frame);
    });
    done.expect("it is executed");
    channel.close();
}
