//! Where a paused packet goes on: the private part of NXT_PACKET_IN2 and NXT_RESUME.
//!
//! Where it sits: written by the switch that paused the packet and read by that switch alone when the controller gives
//! it back; a controller sees bytes. Printing shows it, too.
//!
//! I1  A property that is not known is refused: only this switch writes them.
//!
//! Spec: ovs-actions(7), `controller(pause)`.

use crate::{Action, OfpError, PutBytes, Version, actions};

use super::{PutBody, Reader, Result, props};

/// Actions that remain, with the flow that they are of.
#[derive(Clone, Debug, PartialEq)]
pub struct RemainingActions {
    /// The flow's table.
    pub table_id: u8,
    /// The flow's cookie.
    pub cookie: u64,
    /// What is left to do.
    pub actions: Vec<Action>,
}

/// Where a paused packet goes on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Continuation {
    /// The bridge, as its UUID.
    pub bridge: [u8; 16],
    /// Entries of the stack, top first, as bytes.
    pub stack: Vec<Vec<u8>>,
    /// Mirrors that have the packet already.
    pub mirrors: u32,
    /// The packet went through conntrack.
    pub conntracked: bool,
    /// What remains, outermost last.
    pub frames: Vec<RemainingActions>,
    /// The action set.
    pub action_set: Vec<Action>,
    /// The datapath's port that the packet came in on.
    pub odp_port: Option<u32>,
}

const BRIDGE: u16 = 0x8000;
const STACK: u16 = 0x8001;
const MIRRORS: u16 = 0x8002;
const CONNTRACKED: u16 = 0x8003;
const TABLE_ID: u16 = 0x8004;
const COOKIE: u16 = 0x8005;
const ACTIONS: u16 = 0x8006;
const ACTION_SET: u16 = 0x8007;
const ODP_PORT: u16 = 0x8008;

/// Most bytes of a stack entry.
const MAX_STACK_ENTRY: usize = 128;

impl Continuation {
    /// Reads the bytes of [`super::PacketIn::continuation`].
    pub fn decode(bytes: &[u8], version: Version) -> Result<Continuation> {
        let mut c = Continuation::default();
        let (mut table_id, mut cookie) = (0, 0);
        let mut r = Reader::new(bytes);
        while !r.is_empty() {
            let prop = props::next(&mut r, &[0xffff])?;
            let payload = prop.payload.rest();
            match prop.kind {
                BRIDGE => c.bridge = payload.try_into().map_err(|_| OfpError::OFPBPC_BAD_LEN)?,
                STACK if payload.len() > MAX_STACK_ENTRY => return Err(OfpError::OFPBPC_BAD_LEN),
                STACK => c.stack.push(payload.to_vec()),
                MIRRORS => c.mirrors = prop.u32()?,
                CONNTRACKED => c.conntracked = true,
                TABLE_ID => table_id = prop.u8()?,
                COOKIE => cookie = prop.u64()?,
                ACTIONS => {
                    let actions = actions::decode(prop.nested()?.rest(), version)?;
                    c.frames.push(RemainingActions { table_id, cookie, actions });
                }
                ACTION_SET => c.action_set = actions::decode(prop.nested()?.rest(), version)?,
                ODP_PORT => c.odp_port = Some(prop.u32()?),
                _ => return Err(prop.unknown()),
            }
        }
        Ok(c)
    }

    /// The bytes for [`super::PacketIn::continuation`].
    pub fn encode(&self, version: Version) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        props::put(&mut out, BRIDGE, &self.bridge);
        for entry in &self.stack {
            props::put(&mut out, STACK, entry);
        }
        if self.mirrors != 0 {
            props::put_u32(&mut out, MIRRORS, self.mirrors);
        }
        if self.conntracked {
            props::put(&mut out, CONNTRACKED, &[]);
        }
        let (mut table_id, mut cookie) = (0, 0);
        for frame in &self.frames {
            if frame.table_id != table_id {
                table_id = frame.table_id;
                props::put_u8(&mut out, TABLE_ID, table_id);
            }
            if frame.cookie != cookie {
                cookie = frame.cookie;
                props::put_u64(&mut out, COOKIE, cookie);
            }
            put_actions(&mut out, ACTIONS, &frame.actions, version)?;
        }
        if !self.action_set.is_empty() {
            put_actions(&mut out, ACTION_SET, &self.action_set, version)?;
        }
        if let Some(port) = self.odp_port {
            props::put_u32(&mut out, ODP_PORT, port);
        }
        Ok(out)
    }
}

fn put_actions(out: &mut Vec<u8>, kind: u16, list: &[Action], version: Version) -> Result<()> {
    let at = props::begin(out, kind);
    out.put_zeros(4);
    let mut bytes = Vec::new();
    actions::encode(list, version, &mut bytes)?;
    out.put(&bytes);
    props::end(out, at);
    Ok(())
}
