//! What an administrator says while the switch runs: machines come, go and move, and get policies.
//!
//! Where it sits: `host` reads a line at a time from standard input, if it is told to, carries it out, and answers with a line.
//!
//! ~~~text
//! plug NAME=DEVICE       a machine's adapter comes, behind a device, with its port
//! unplug NAME            it goes, with its port
//! access NAME VLAN       its port's policy puts it into a VLAN; 0 for none
//! ~~~

use std::io::{self, Stdin};
use std::os::fd::{AsFd, BorrowedFd};

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Plug(String, String),
    Unplug(String),
    Access(String, u16),
}

impl Command {
    fn parse(line: &str) -> Option<Command> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let name = |text: &str| text.to_owned();
        match words[..] {
            ["plug", what] => {
                let (machine, device) = what.split_once('=')?;
                Some(Command::Plug(name(machine), name(device)))
            }
            ["unplug", machine] => Some(Command::Unplug(name(machine))),
            ["access", machine, vlan] => {
                let vlan = vlan.parse().ok().filter(|vlan| *vlan < 4095)?;
                Some(Command::Access(name(machine), vlan))
            }
            _ => None,
        }
    }
}

/// Bytes of a line at most.
const LONGEST: usize = 4096;

/// Where commands come from, and what has come of a line.
pub(crate) struct Commands {
    input: Option<Stdin>,
    line: Vec<u8>,
}

impl Commands {
    /// Those of standard input, or none.
    pub fn new(are_wanted: bool) -> Commands {
        Commands { input: are_wanted.then(io::stdin), line: Vec::new() }
    }

    /// What to wait for.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.input.as_ref().map(AsFd::as_fd)
    }

    /// Reads what is there; lines that are complete, each as a command or why it is none.
    pub fn read(&mut self) -> Vec<Result<Command, String>> {
        let mut bytes = [0; LONGEST];
        let n = match self.fd().map(|fd| rustix::io::read(fd, &mut bytes[..])) {
            Some(Ok(n @ 1..)) => n,
            Some(Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN)) => return Vec::new(),
            _ => {
                self.input = None;
                return Vec::new();
            }
        };
        self.take(&bytes[..n])
    }

    fn take(&mut self, bytes: &[u8]) -> Vec<Result<Command, String>> {
        let mut commands = Vec::new();
        for byte in bytes {
            if *byte != b'\n' && self.line.len() < LONGEST {
                self.line.push(*byte);
            } else if *byte == b'\n' {
                let line = String::from_utf8_lossy(&self.line).into_owned();
                commands.push(Command::parse(&line).ok_or(format!("{line}: not understood")));
                self.line.clear();
            }
        }
        commands
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_commands_wherever_they_are_cut() {
        let mut commands = Commands::new(false);
        assert_eq!(commands.take(b"plug vm1=ve"), []);
        let plugged = Command::Plug("vm1".into(), "veth0".into());
        let unplugged = Command::Unplug("vm1".into());
        assert_eq!(commands.take(b"th0\nunplug  vm1 \nacc"), [Ok(plugged), Ok(unplugged)]);
        let access = Command::Access("vm1".into(), 5);
        assert_eq!(commands.take(b"ess vm1 5\n"), [Ok(access)]);
        for wrong in ["", "plug vm1", "unplug", "access vm1 4095", "access vm1 x", "unplug a b", "x"] {
            let told = commands.take(format!("{wrong}\n").as_bytes());
            assert_eq!(told, [Err(format!("{wrong}: not understood"))]);
        }
        assert_eq!(commands.take(&[b'a'; 3 * LONGEST]), []);
        assert_eq!(commands.line.len(), LONGEST, "a line that does not end is not kept");
    }
}
