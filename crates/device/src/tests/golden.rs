//! The interface byte by byte: `golden.txt` beside this file.

use super::*;

/// Room for what is read, as the C daemon gives.
const ROOM: usize = 80 << 10;

fn bytes(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|b| *b != b' ').collect();
    let byte = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

fn hex(bytes: &[u8]) -> std::string::String {
    let word = |w: &[u8]| w.iter().map(|b| std::format!("{b:02x}")).collect::<std::string::String>();
    bytes.chunks(4).map(word).collect::<Vec<_>>().join(" ")
}

/// What an operation came to, as the file writes it.
fn came_to(result: Result<Vec<u8>, Status>) -> std::string::String {
    match result {
        Ok(bytes) if bytes.is_empty() => "= Nothing".into(),
        Ok(bytes) => std::format!("< {}", hex(&bytes)),
        Err(status) => std::format!("= {status:?}"),
    }
}

/// Does what a line says; `None` if nothing comes of it.
fn step(rig: &mut Rig, line: &str) -> Option<std::string::String> {
    let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
    let number = |n: usize| rest.split(' ').nth(n).unwrap().parse::<u16>().unwrap();
    let mut out = vec![0; ROOM];
    let n = match verb {
        "device" => {
            *rig = Rig::new();
            return None;
        }
        "refuse" => {
            rig.host.refuse = Some(number(0)).filter(|n| *n != 0).map(|n| Errno::from_number(n.into()));
            return None;
        }
        "miss" => {
            assert!(rig.device.upcall(&rig.host, &miss(number(0).into(), 60)));
            return None;
        }
        "commit" => {
            commit(&rig.dp, number(0) as u8, number(1));
            return None;
        }
        "write" => match rig.device.write(rig.env(), rig.me, &bytes(rest)) {
            Ok(Written::Done) => return Some("= Done".into()),
            Ok(Written::Wait(_)) => return Some("= Wait".into()),
            Err(status) => Err(status),
        },
        "transact" => match rig.device.transact(rig.env(), rig.me, &bytes(rest), &mut out) {
            Ok(Outcome::Reply(n)) => Ok(n),
            Ok(Outcome::Pending(_)) => panic!("ports are opened at once"),
            Err(status) => Err(status),
        },
        "read" => rig.device.read(rig.env(), rig.me, &mut out),
        "event" => rig.device.read_event(rig.me, &mut out),
        "packet" => rig.device.read_packet(rig.me, &mut out),
        _ => panic!("{line}: no such step"),
    };
    Some(came_to(n.map(|n| out[..n].to_vec())))
}

#[test]
#[cfg(target_endian = "little")]
fn every_operation_has_its_bytes() {
    let mut rig = Rig::new();
    let (mut came, mut wrong, mut checked) = (None, Vec::new(), 0);
    for (at, line) in include_str!("golden.txt").lines().enumerate() {
        match line.get(..1) {
            None | Some("#") => {}
            Some("<" | "=") => {
                let got = came.take().expect("a step came to something");
                checked += 1;
                if got != line {
                    wrong.push(std::format!("line {}\n  {line}\n  {got}", at + 1));
                }
            }
            Some(_) => {
                assert!(came.is_none(), "line {at}: what a step comes to is not said");
                came = step(&mut rig, line);
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(checked > 150, "{checked}");
}
