//! Names and entries of tapes.

use rustix::io::Errno;

use super::tape::{Entry, read, write};
use super::{described, letters_of};

/// Names that Open vSwitch's programs have given their files.
#[test]
fn names_of_tapes_are_those_of_open_vswitch() {
    for (name, letters) in [
        ("__uuid_generate", "_uuid_generate"),
        ("punix:s", "punix_s"),
        ("punix:a1b2.sock", "punix_a_b_sock"),
        ("ptcp:0:127.0.0.1", "ptcp"),
        ("punix:/run/ovs-2/ctl", "punix_run_ovs_ctl"),
        ("unix#0", "unix"),
        ("", ""),
    ] {
        assert_eq!(letters_of(name), letters, "{name}");
    }
}

/// What was written is read, and a torn end is left out, wherever it is cut.
#[test]
fn entries_survive_the_loss_of_the_end() {
    let entries: Vec<Entry> = [Ok(&b"abc"[..]), Err(Errno::CONNRESET), Ok(&[]), Ok(&[0; 100])]
        .into_iter()
        .zip(7..)
        .map(|(outcome, number)| Entry { number, outcome: outcome.map(<[u8]>::to_vec) })
        .collect();
    let mut file = Vec::new();
    let mut ends = Vec::new();
    for Entry { number, outcome } in &entries {
        write(&mut file, *number, outcome.as_deref().map_err(|error| *error)).unwrap();
        ends.push(file.len());
    }
    for cut in 0..=file.len() {
        let whole = ends.iter().filter(|end| **end <= cut).count();
        assert_eq!(read(&file[..cut]), entries[..whole], "{cut}");
    }
}

#[test]
fn what_is_told_of_a_stream_is_understood() {
    assert_eq!(described(b""), (false, None));
    assert_eq!(described(b"ssl"), (true, None));
    let (encrypted, addresses) = described(b"ssl 127.0.0.1:5 [::1]:7");
    let addresses = addresses.unwrap();
    assert!(encrypted && addresses.local.port() == 5 && addresses.peer.is_ipv6());
}
