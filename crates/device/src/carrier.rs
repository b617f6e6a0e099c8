//! The device on a socket of messages (SOCK_SEQPACKET): how an operation and its answer are written.
//!
//! Where it sits: `ovsextd` serves it, `dpif-device` calls it. One connection is one handle; whoever connects has opened
//! the device. DeviceIoControl needs none of this: the numbers of operations are its codes.
//!
//! ~~~text
//! connect ─► server: [status]                        the outcome of open
//! client: [operation][room for the answer][message]  ─► server: [status][answer]
//! ~~~
//!
//! All words have 32 bits in the machine's order. Operations of one connection are answered in their order. One that waits
//! for a queue is answered when the queue fills, or as given up when the next operation comes.
//!
//! Spec: ovsext 1.3.

use alloc::vec::Vec;

use crate::{Device, Env, Handle, Outcome, Status, VportHost, Written};

/// What may be asked of the device, by the code of its IOCTL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Operation {
    /// The handle's number.
    GetPid = 0xafc8_8400,
    /// The next part of a dump.
    Read = 0xafc8_4406,
    /// The oldest event.
    ReadEvent = 0xafc8_440a,
    /// The oldest upcall.
    ReadPacket = 0xafc8_440e,
    /// Begins a dump, subscribes, waits.
    Write = 0xafc8_4411,
    /// A request and its reply.
    Transact = 0xafc8_8416,
}

impl Operation {
    const ALL: [Operation; 6] = [
        Operation::GetPid,
        Operation::Read,
        Operation::ReadEvent,
        Operation::ReadPacket,
        Operation::Write,
        Operation::Transact,
    ];

    /// The operation of a code.
    pub fn from_code(code: u32) -> Option<Operation> {
        Self::ALL.into_iter().find(|op| *op as u32 == code)
    }
}

/// Bytes before the message of an operation.
pub const REQUEST_HEADER: usize = 8;
/// Bytes before an answer.
pub const REPLY_HEADER: usize = 4;
/// Most bytes of an operation or an answer, headers included: a whole upcall with room.
pub const MAX_MESSAGE: usize = 160 << 10;
/// Status of what succeeded.
pub const SUCCESS: u32 = 0;

/// Writes the header of an operation.
pub fn request_header(operation: Operation, room: u32) -> [u8; REQUEST_HEADER] {
    let ([a, b, c, d], [e, f, g, h]) = ((operation as u32).to_ne_bytes(), room.to_ne_bytes());
    [a, b, c, d, e, f, g, h]
}

/// Splits an operation into its code, the room for its answer, and its message; `None` for bytes that are none.
pub fn split_request(bytes: &[u8]) -> Option<(u32, usize, &[u8])> {
    let (code, rest) = bytes.split_first_chunk()?;
    let (room, message) = rest.split_first_chunk()?;
    let room = usize::try_from(u32::from_ne_bytes(*room)).unwrap_or(usize::MAX);
    Some((u32::from_ne_bytes(*code), room.min(MAX_MESSAGE.saturating_sub(REPLY_HEADER)), message))
}

/// Splits an answer; `None` for bytes that are none.
pub fn split_reply(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (status, rest) = bytes.split_first_chunk()?;
    Some((u32::from_ne_bytes(*status), rest))
}

/// What became of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Served {
    /// `out` holds the answer.
    Answered,
    /// The answer is due when the host is woken: [`finish_wait`] writes it.
    Waiting,
}

fn start(out: &mut Vec<u8>, status: u32) {
    out.clear();
    out.extend_from_slice(&status.to_ne_bytes());
}

/// Writes the answer to an operation that had to wait.
pub fn finish_wait(out: &mut Vec<u8>, result: Result<(), Status>) {
    start(out, result.err().map_or(SUCCESS, Status::ntstatus));
}

/// Carries out one operation of `handle` and writes its answer to `out`.
pub fn serve<H: VportHost + ?Sized>(
    device: &Device,
    env: Env<'_, H>,
    handle: Handle,
    request: &[u8],
    out: &mut Vec<u8>,
) -> Served {
    start(out, SUCCESS);
    let result = carry_out(device, env, handle, request, out);
    match result {
        Ok(served) => served,
        Err(status) => {
            start(out, status.ntstatus());
            Served::Answered
        }
    }
}

fn carry_out<H: VportHost + ?Sized>(
    device: &Device,
    env: Env<'_, H>,
    handle: Handle,
    request: &[u8],
    out: &mut Vec<u8>,
) -> Result<Served, Status> {
    let (code, room, message) = split_request(request).ok_or(Status::InvalidLength)?;
    let operation = Operation::from_code(code).ok_or(Status::InvalidRequest)?;
    let mut fill = |read: &mut dyn FnMut(&mut [u8]) -> Result<usize, Status>| {
        let all = REPLY_HEADER.saturating_add(room);
        out.try_reserve(room).map_err(|_| Status::NoResources)?;
        out.resize(all, 0);
        let written = read(out.get_mut(REPLY_HEADER..).unwrap_or_default())?;
        out.truncate(REPLY_HEADER.saturating_add(written));
        Ok(Served::Answered)
    };
    match operation {
        Operation::GetPid => fill(&mut |to| {
            let pid = device.pid(handle)?.to_ne_bytes();
            to.get_mut(..pid.len()).ok_or(Status::InvalidLength)?.copy_from_slice(&pid);
            Ok(pid.len())
        }),
        Operation::Read => fill(&mut |to| device.read(env, handle, to)),
        Operation::ReadEvent => fill(&mut |to| device.read_event(handle, to)),
        Operation::ReadPacket => fill(&mut |to| device.read_packet(handle, to)),
        Operation::Transact => fill(&mut |to| match device.transact(env, handle, message, to)? {
            Outcome::Reply(n) => Ok(n),
            // The hosts of this carrier open ports at once.
            Outcome::Pending(_) => Err(Status::InvalidRequest),
        }),
        Operation::Write => match device.write(env, handle, message)? {
            Written::Done => Ok(Served::Answered),
            Written::Wait(_) => Ok(Served::Waiting),
        },
    }
}
