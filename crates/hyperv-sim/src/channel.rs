//! A netlink socket as Windows has one: an open file of the device, and messages by IOCTL.
//!
//! Where it sits: user space's side of the interface; what goes through are the bytes that a C daemon would send.
//!
//! Spec: ovsext 1.3, 1.6, 1.7 and 1.11.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use ndis_sys::STATUS_INSUFFICIENT_RESOURCES;
use netlink::{Builder, GenlHeader, Header, Messages, flags, kinds};
use odp::netlink::ids::{self, Family, cmd};

use crate::files::{File, Pending};

pub(crate) const GET_PID: u32 = 0xafc8_8400;
pub(crate) const READ: u32 = 0xafc8_4406;
pub(crate) const READ_EVENT: u32 = 0xafc8_440a;
pub(crate) const READ_PACKET: u32 = 0xafc8_440e;
pub(crate) const WRITE: u32 = 0xafc8_4411;
pub(crate) const TRANSACT: u32 = 0xafc8_8416;
/// Room for replies, as the C daemon gives, and for the largest frame with its key.
pub(crate) const ROOM: usize = 80 << 10;
/// The headers of every message but nfnetlink's.
const HEADERS: usize = 24;
/// Reads that may be refused for want of memory in the course of a dump.
const PATIENCE: usize = 100;

/// How a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The operation itself, with an NTSTATUS.
    Status(i32),
    /// What it asked for, with an error number.
    Errno(i32),
}

/// An open file of the device.
pub(crate) struct Channel {
    file: File,
    /// Its number in messages.
    pub pid: u32,
    seq: AtomicU32,
}

impl Channel {
    /// Opens the device.
    pub fn open() -> Result<Channel, Failure> {
        let file = File::open().map_err(Failure::Status)?;
        let pid = loop {
            match file.control(GET_PID, &[], 4) {
                Ok(bytes) => break u32::from_ne_bytes(bytes.try_into().expect("a number")),
                Err(status) if status == STATUS_INSUFFICIENT_RESOURCES => {}
                Err(status) => {
                    file.close();
                    return Err(Failure::Status(status));
                }
            }
        };
        Ok(Channel { file, pid, seq: AtomicU32::new(1) })
    }

    /// Closes it; nothing may be asked of it afterwards.
    pub fn close(&self) {
        self.file.close();
    }

    /// A message of this channel.
    pub fn message(
        &self,
        family: Family,
        command: u8,
        flags: u16,
        fill: impl FnOnce(&mut Builder),
    ) -> Vec<u8> {
        let mut b = Builder::new();
        let header = Header { kind: family.id, flags, seq: self.seq.fetch_add(1, Relaxed), pid: self.pid };
        let [c, v, r0, r1] = GenlHeader { command, version: family.version }.emit();
        b.begin(&header, &[c, v, r0, r1, 0, 0, 0, 0]);
        fill(&mut b);
        b.finish().expect("it fits a message")
    }

    /// Asks, and returns the reply's attributes.
    pub fn ask(
        &self,
        family: Family,
        command: u8,
        flags: u16,
        fill: impl FnOnce(&mut Builder),
    ) -> Result<Vec<u8>, Failure> {
        let message = self.message(family, command, flags::REQUEST | flags, fill);
        let reply = self.file.control(TRANSACT, &message, ROOM).map_err(Failure::Status)?;
        let Some(Ok(first)) = Messages::new(&reply).next() else { return Ok(Vec::new()) };
        crate::world::rule(
            message.get(8..16) == reply.get(8..16),
            "a reply has another number than its request",
        );
        match first.error() {
            Some(e) => Err(Failure::Errno(e.errno)),
            None => Ok(reply.get(HEADERS..).unwrap_or_default().to_vec()),
        }
    }

    /// Writes a message that has no reply.
    pub fn write(&self, family: Family, command: u8, fill: impl FnOnce(&mut Builder)) -> Result<(), Failure> {
        let message = self.message(family, command, flags::REQUEST, fill);
        self.file.control(WRITE, &message, 0).map(drop).map_err(Failure::Status)
    }

    /// Lists what there is: the attributes of each message. A dump has a file of its own: two on one would mix.
    pub fn dump(family: Family) -> Result<Vec<Vec<u8>>, Failure> {
        let channel = Channel::open()?;
        let all = channel.dump_here(family);
        channel.close();
        all
    }

    fn dump_here(&self, family: Family) -> Result<Vec<Vec<u8>>, Failure> {
        let message = self.message(family, cmd::GET, flags::REQUEST | flags::DUMP, |_| {});
        self.file.control(WRITE, &message, 0).map_err(Failure::Status)?;
        let mut all = Vec::new();
        let mut in_vain = 0;
        loop {
            let part = match self.file.control(READ, &[], ROOM) {
                // Without memory the dump stands where it stood.
                Err(STATUS_INSUFFICIENT_RESOURCES) if in_vain < PATIENCE => {
                    in_vain += 1;
                    continue;
                }
                part => part.map_err(Failure::Status)?,
            };
            if part.is_empty() {
                return Ok(all);
            }
            for message in Messages::new(&part).map_while(Result::ok) {
                if message.header.kind == kinds::DONE {
                    return Ok(all);
                }
                all.push(message.payload.get(8..).unwrap_or_default().to_vec());
            }
        }
    }

    /// Begins to wait for a queue: `command` is one of the control family's.
    pub fn wait(&self, command: u8) -> Pending {
        let message = self.message(ids::CONTROL, command, flags::REQUEST, |_| {});
        self.file.begin(WRITE, &message, 0)
    }

    /// Any IOCTL with any bytes.
    pub fn raw(&self, code: u32, input: &[u8], room: usize) -> Result<Vec<u8>, i32> {
        self.file.control(code, input, room)
    }

    /// Any IOCTL with any bytes, of which it is not known whether it waits.
    pub fn begin(&self, code: u32, input: &[u8]) -> Pending {
        self.file.begin(code, input, ROOM)
    }

    /// The oldest message of a queue; nothing if it is empty. `code` is READ_EVENT or READ_PACKET.
    pub fn read(&self, code: u32) -> Result<Vec<u8>, Failure> {
        self.file.control(code, &[], ROOM).map_err(Failure::Status)
    }
}
