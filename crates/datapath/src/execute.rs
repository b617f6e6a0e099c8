//! Executing a megaflow's actions on a packet.
//!
//! Where it sits: called by the worker for each packet that hit, and for EXECUTE. Rewrites bytes through `rewrite`,
//! tracks connections through `conntrack`; sends nothing (outputs go to the worker's queues).
//!
//! Nested lists (`clone`, `sample`, `check_pkt_len`) are walked without recursion: when a list is entered that is not
//! the last action, the packet itself is put on a stack with the place where it goes on, and a copy enters the list.
//!
//! ~~~text
//! [a, clone(b, c), d]   at clone: push (packet, d); copy runs b, c; list ends: pop, packet runs d
//! ~~~
//!
//! I1  The last action of a list consumes the packet; any other that needs one takes a copy.
//! I2  A list that ends without consuming the packet ends the packet, silently: the rules wanted that.
//!
//! Next: `rewrite.rs`, then `conntrack/src/lib.rs`.

use alloc::vec::Vec;

use conntrack::{Alg, Commit, CtPacket, CtVerdict, PortChoice, Rewrite};
use flow::extract::HEADER_BYTES;
use flow::{FlowKey, Layers, PlainKey};
use odp::{Action, HashAlg, Header, MAX_DEPTH, MplsLayer, Ufid, Userspace};
use packet::{Batch, DropReason, L4Checksum, Now, OdpPort, PacketBuf, PacketMeta, TunnelKey};
use tunnel::Reassembly;

use crate::carry::{Way, needs_cutting};
use crate::counters::Tally;
use crate::egress::Queues;
use crate::encap::{self, Ttl};
use crate::meter::{self, MeterVerdict};
use crate::place::Place;
use crate::{Datapath, Host, More, UpcallKind, edit, quick, rewrite};

/// A packet in execution, as rewriting sees it.
pub(crate) struct Packet<'p, B> {
    pub meta: &'p mut PacketMeta,
    pub buf: &'p mut B,
    pub layers: Layers,
}

/// Where execution begins.
pub(crate) struct Start<'a> {
    pub actions: &'a [Action],
    /// The flow, if the actions are one's.
    pub flow: Option<Ufid>,
    /// The packet is not any more as it came.
    pub is_changed: bool,
}

/// A packet that goes on when a nested list has ended.
struct Waiting<B> {
    meta: PacketMeta,
    buf: B,
    layers: Layers,
    trunc: Option<u32>,
    place: Place,
}

/// Packets that go on when a nested list has ended, one for each depth at most; and pieces of a packet that was cut up.
pub(crate) struct Stack<B>(Vec<Waiting<B>>);

/// Pieces into which a packet is cut at most while its actions run.
pub(crate) const PIECES: usize = 128;

impl<B> Stack<B> {
    pub fn try_new() -> Option<Stack<B>> {
        let mut items = Vec::new();
        items.try_reserve_exact(MAX_DEPTH + 1 + PIECES).ok()?;
        Some(Stack(items))
    }
}

/// What an action did with the packet.
enum Step {
    /// It goes on to the next action.
    Next,
    /// It (or a copy) goes on in the list that the place now points into.
    Enter,
    /// It is gone.
    Gone,
}

/// What the executor knows of the packet's key.
#[derive(Clone, Copy)]
pub(crate) enum Known<'k> {
    /// The whole key, as the packet is.
    Key,
    /// The whole key, as the packet was before bytes or metadata changed.
    Stale,
    /// The short key of a plain packet, which is as it came; the whole key is somebody else's.
    Short(&'k PlainKey),
    /// Nothing: the packet changed, and the whole key is somebody else's.
    Nothing,
}

/// Everything that execution touches.
pub(crate) struct Executor<'a, B, H> {
    pub dp: &'a Datapath,
    pub host: &'a mut H,
    pub now: Now,
    pub queues: &'a mut Queues<B>,
    pub waiting: &'a mut Batch<B>,
    pub stack: &'a mut Stack<B>,
    pub stt: &'a mut Reassembly<B>,
    /// Where a datagram is put together.
    pub datagram: &'a mut Vec<u8>,
    pub tally: &'a mut Tally,
    pub random: &'a mut u64,
    /// The packet's key, as far as `known` says.
    pub key: &'a mut FlowKey,
    pub known: Known<'a>,
    pub meta: &'a mut PacketMeta,
    /// The packet, until it is gone.
    pub buf: Option<B>,
    pub layers: Layers,
    /// Length to which the next output cuts.
    pub trunc: Option<u32>,
    /// A copy has gone somewhere, or is counted as dropped: the packet may end where a list does.
    pub is_settled: bool,
}

impl<B: PacketBuf, H: Host<B>> Executor<'_, B, H> {
    /// Executes a list on the packet to its end.
    pub fn run(&mut self, start: &Start<'_>) {
        if start.actions.is_empty() {
            return self.drop(DropReason::Policy);
        }
        let mut place = Place::default();
        let mut list = start.actions;
        loop {
            let Some(action) = list.get(place.at()) else {
                let Some(next) = self.resume() else {
                    if self.buf.is_some() && !self.is_settled {
                        self.drop(DropReason::Policy);
                    }
                    return;
                };
                place = next;
                list = place.list(start.actions);
                continue;
            };
            match self.step(action, &mut place, list, start) {
                Step::Next => place.step(),
                Step::Enter => list = place.list(start.actions),
                Step::Gone => {
                    self.buf = None;
                    let Some(next) = self.resume() else { return };
                    place = next;
                    list = place.list(start.actions);
                }
            }
        }
    }

    /// Goes on with the packet that waits behind the innermost nested list.
    #[inline(never)]
    fn resume(&mut self) -> Option<Place> {
        let w = self.stack.0.pop()?;
        *self.meta = w.meta;
        self.buf = Some(w.buf);
        (self.layers, self.trunc) = (w.layers, w.trunc);
        self.known = Known::Stale;
        self.refresh();
        Some(w.place)
    }

    fn step(&mut self, action: &Action, place: &mut Place, list: &[Action], start: &Start<'_>) -> Step {
        let last = place.at() + 1 == list.len();
        match action {
            Action::Output(port) => return self.output(last, *port),
            Action::Userspace(u) => return self.consume(last, |x, buf| x.userspace(buf, u, start)),
            Action::Recirc(id) => return self.consume(last, |x, buf| x.recirc(buf, *id)),
            Action::Clone(_) => return self.enter(place, last, false),
            Action::Sample { probability, .. } => {
                let chosen = self.next_random() <= *probability;
                return if chosen { self.enter(place, last, false) } else { Step::Next };
            }
            Action::CheckPktLen { len, .. } => {
                let second = self.len() <= usize::from(*len);
                return self.enter(place, last, second);
            }
            Action::Drop(code) => {
                self.drop(drop_reason(*code));
                return Step::Gone;
            }
            Action::Ct(ct) => return self.conntrack(ct, place),
            Action::CtClear => {
                self.whole();
                self.meta.clear_ct();
                self.known = Known::Stale;
            }
            Action::Hash { alg, basis } => {
                self.refresh();
                self.meta.dp_hash = hash(self.key, *alg, *basis);
                self.known = Known::Stale;
            }
            Action::Trunc(len) => self.trunc = Some(*len),
            Action::Meter(id) => return self.meter(*id),
            Action::PushMpls { lse, eth_type }
            | Action::AddMpls { lse, eth_type, layer: MplsLayer::Network } => {
                return self.reshaped(|p, _| encap::push_mpls(p, *lse, *eth_type));
            }
            Action::AddMpls { lse, eth_type, .. } => {
                return self.reshaped(|p, _| encap::add_mpls(p, *lse, *eth_type));
            }
            Action::PopMpls { eth_type } => {
                return self.reshaped(|p, key| encap::pop_mpls(p, key, *eth_type));
            }
            Action::PushEth { src, dst } => return self.reshaped(|p, _| encap::push_eth(p, *src, *dst)),
            Action::PopEth => return self.reshaped(encap::pop_eth),
            Action::PushNsh(push) => return self.reshaped(|p, _| encap::push_nsh(p, push)),
            Action::PopNsh => return self.reshaped(|p, _| encap::pop_nsh(p)),
            Action::DecTtl(list) => return self.dec_ttl(place, list),
            Action::Psample(sample) => {
                if let Some(buf) = &self.buf {
                    self.host.sample(sample.group, &sample.cookie, buf);
                    self.is_settled = true;
                }
            }
            Action::TnlPush(push) => return self.tunnel_push(push, place),
            Action::TnlPop(port) => return self.consume(last, |x, buf| x.tunnel_pop(buf, *port)),
            Action::LbOutput(bond) => return self.bond_output(last, *bond),
            Action::Set(Header::Tunnel(key)) => self.set_tunnel(key),
            Action::Set(header) => return self.rewritten(|p, key| rewrite::set(p, key, header, None)),
            Action::SetMasked { value, mask } => {
                return self.rewritten(|p, key| rewrite::set(p, key, value, Some(mask)));
            }
            Action::PushVlan { tpid, tci } => {
                return self.reshaped(|p, _| rewrite::push_vlan(p.buf, *tpid, *tci));
            }
            Action::PopVlan => return self.reshaped(|p, _| rewrite::pop_vlan(p.buf)),
        }
        Step::Next
    }

    fn len(&self) -> usize {
        self.buf.as_ref().map_or(0, B::len)
    }

    /// The packet, or a copy if it is still needed.
    fn take(&mut self, last: bool) -> Option<B> {
        if last {
            return self.buf.take();
        }
        let copy = self.buf.as_ref().and_then(|buf| self.host.try_clone(buf));
        if copy.is_none() {
            self.drop(DropReason::NoMemory);
        }
        copy
    }

    /// Gives the packet, or a copy if it is still needed, to `f`, which may change the metadata.
    #[inline(never)]
    fn consume(&mut self, last: bool, f: impl FnOnce(&mut Self, B)) -> Step {
        self.is_settled = true;
        if last {
            if let Some(buf) = self.take(last) {
                f(self, buf);
            }
            return Step::Gone;
        }
        let saved = *self.meta;
        if let Some(copy) = self.take(last) {
            f(self, copy);
        }
        *self.meta = saved;
        self.trunc = None;
        Step::Next
    }

    /// Enters the list at `place`: with the packet itself if nothing follows, else with a copy.
    #[inline(never)]
    fn enter(&mut self, place: &mut Place, last: bool, second: bool) -> Step {
        let mut after = *place;
        after.step();
        if !place.enter(second) {
            self.drop(DropReason::InvalidAction);
            return Step::Gone;
        }
        if last {
            return Step::Enter;
        }
        let Some(copy) = self.take(false) else {
            *place = after;
            return Step::Enter;
        };
        if let Some(buf) = self.buf.replace(copy) {
            let (meta, layers, trunc) = (*self.meta, self.layers, self.trunc);
            self.stack.0.push(Waiting { meta, buf, layers, trunc, place: after });
        }
        Step::Enter
    }

    fn output(&mut self, last: bool, port: OdpPort) -> Step {
        if let Some(kind) = self.tunnel_of(port) {
            return self.consume(last, |x, buf| x.tunnel_output(buf, kind));
        }
        self.is_settled = true;
        if let Some(mut buf) = self.take(last) {
            if let Some(len) = self.trunc {
                buf.truncate(len as usize);
            }
            if !self.queues.transmit(port, buf) {
                self.drop(DropReason::WorklistFull);
            }
        }
        if last {
            return Step::Gone;
        }
        self.trunc = None;
        Step::Next
    }

    #[inline(never)]
    fn userspace(&mut self, mut buf: B, u: &Userspace, start: &Start<'_>) {
        let Some(kind) = self.told(&buf, u, start) else {
            self.tally.lost += 1;
            return self.drop(DropReason::NoMemory);
        };
        self.refresh_of(&buf);
        if let Some(len) = self.trunc {
            buf.truncate(len as usize);
        }
        if !self.queues.upcall(kind, (self.key, self.meta), buf) {
            self.tally.lost += 1;
            self.drop(DropReason::UpcallQueueFull);
        }
    }

    /// What user space is told with a packet; `None` if memory is short.
    #[inline(never)]
    fn told(&mut self, buf: &B, u: &Userspace, start: &Start<'_>) -> Option<UpcallKind> {
        let mut userdata = Vec::new();
        userdata.try_reserve_exact(u.userdata.len()).ok()?;
        userdata.extend_from_slice(&u.userdata);
        let more = More {
            tunnel: u.tunnel_out_port.and_then(|port| self.egress_tunnel(buf, port)),
            actions: if u.actions { Some(odp::try_copy(start.actions)?) } else { None },
            whole_len: self.trunc.filter(|len| (*len as usize) < buf.len()).map(|_| buf.len() as u32),
        };
        let more = if more == More::default() { None } else { Some(sync::try_box(more)?) };
        Some(UpcallKind::Action { flow: start.flow, userdata, more })
    }

    #[inline(never)]
    pub fn recirc(&mut self, buf: B, id: u32) {
        self.meta.recirc_id = id;
        if self.waiting.push_like(self.meta, buf).is_err() {
            self.drop(DropReason::WorklistFull);
        }
    }

    #[inline(never)]
    fn meter(&mut self, id: u32) -> Step {
        let verdict = self.dp.meters.read().pass(id, self.now.mono, self.len());
        match verdict {
            MeterVerdict::Pass => Step::Next,
            MeterVerdict::Drop => {
                self.drop(DropReason::Meter);
                Step::Gone
            }
            MeterVerdict::Remark(by) => {
                self.refresh();
                let tos = meter::remark(self.key.nw_tos(), by);
                self.rewritten(|p, key| rewrite::set_tos(p, key, tos).ok_or(DropReason::InvalidAction))
            }
        }
    }

    /// A packet whose TTL ends here goes through the action's list, if there is one, and no further.
    #[inline(never)]
    fn dec_ttl(&mut self, place: &mut Place, list: &[Action]) -> Step {
        self.refresh();
        let (meta, layers) = (&mut *self.meta, self.layers);
        let done =
            self.buf.as_mut().and_then(|buf| encap::dec_ttl(&mut Packet { meta, buf, layers }, self.key));
        match done {
            Some(Ttl::Decremented) => {
                self.known = Known::Stale;
                Step::Next
            }
            // The packet goes into the list, and nothing waits behind it.
            Some(Ttl::Expired) if !list.is_empty() && place.enter(false) => Step::Enter,
            Some(Ttl::Expired) | None => {
                self.drop(DropReason::TtlExceeded);
                Step::Gone
            }
        }
    }

    #[inline(never)]
    fn tunnel_push(&mut self, push: &odp::TnlPush, place: &Place) -> Step {
        let Some(mut buf) = self.buf.take() else { return Step::Gone };
        let hash = self.flow_hash(&buf);
        let src_port = self.dp.tunnels.read().source_port(hash);
        if needs_cutting(push.kind, &buf) {
            self.push_pieces(&buf, place);
            return Step::Gone;
        }
        let way = Way { kind: push.kind, header: &push.header, src_port, out_port: push.out_port };
        if let Err(reason) = self.encapsulate(&mut buf, &way) {
            self.drop(reason);
            return Step::Gone;
        }
        self.buf = Some(buf);
        self.meta.packet_type = 0;
        self.meta.tunnel = TunnelKey::default();
        // Headers are elsewhere now: whoever asks for them reads them.
        self.known = Known::Nothing;
        Step::Next
    }

    /// The hash of the transport flow of the packet as it is.
    pub fn flow_hash(&mut self, buf: &B) -> u32 {
        if let Known::Short(short) = self.known {
            let ((src, dst), (src_port, dst_port)) = (short.addresses(), short.ports());
            return hash_ends((src.into(), src_port), (dst.into(), dst_port), short.nw_proto(), 0);
        }
        self.refresh_of(buf);
        hash(self.key, HashAlg::L4, 0)
    }

    /// Sets the headers to leave with; what the packet's bytes tell is as it was.
    fn set_tunnel(&mut self, key: &TunnelKey) {
        if !matches!(self.known, Known::Short(_)) {
            self.whole();
            self.known = Known::Stale;
        }
        self.meta.tunnel = *key;
        self.meta.tunnel.flags |= TunnelKey::SEND;
    }

    /// Has each piece of a packet go on at `place`, the first one first.
    #[inline(never)]
    fn push_pieces(&mut self, buf: &B, place: &Place) {
        let before = self.stack.0.len();
        self.cut(buf, |x, buf| x.push_piece(buf, place, before));
        self.reverse_pieces(before);
    }

    /// Has a piece of a packet go on at `place`; `before` is how many packets waited before the first one.
    pub fn push_piece(&mut self, buf: B, place: &Place, before: usize) {
        if self.stack.0.len() < before + PIECES && self.stack.0.len() < self.stack.0.capacity() {
            let (meta, layers, trunc) = (*self.meta, self.layers, self.trunc);
            self.stack.0.push(Waiting { meta, buf, layers, trunc, place: *place });
        } else {
            self.drop(DropReason::WorklistFull);
        }
    }

    /// Has pieces go on in the order in which they were pushed.
    pub fn reverse_pieces(&mut self, before: usize) {
        if let Some(pieces) = self.stack.0.get_mut(before..) {
            pieces.reverse();
        }
    }

    /// Packets that go on later.
    pub fn waiting_pieces(&self) -> usize {
        self.stack.0.len()
    }

    #[inline(never)]
    fn bond_output(&mut self, last: bool, bond: u32) -> Step {
        self.refresh();
        let hash = if self.meta.dp_hash != 0 { self.meta.dp_hash } else { hash(self.key, HashAlg::L4, 0) };
        let member = self.dp.bonds.read().member(bond, hash);
        match member {
            Some(port) => self.output(last, port),
            None => {
                self.drop(DropReason::InvalidPort);
                if last { Step::Gone } else { Step::Next }
            }
        }
    }

    #[inline(never)]
    fn conntrack(&mut self, ct: &odp::CtAction, place: &Place) -> Step {
        if !matches!(self.known, Known::Short(_)) {
            self.refresh();
            if self.key.nw_frag() != 0 && self.fragment(ct, place) {
                return Step::Gone;
            }
        }
        let Some(mut buf) = self.buf.take() else { return Step::Gone };
        // The quoted packet of an ICMP error, or an ALG's payload, may reach beyond the headers.
        let end = usize::from(self.layers.end);
        // What a host cannot have in one piece is tracked by its headers; its checksum is then not verified.
        let tracked = if buf.pull_up(end) || buf.pull_up(end.min(HEADER_BYTES)) {
            let (l4, len) = (buf.offload().l4, buf.len());
            self.track(ct, buf.head_mut(), len, l4).and_then(|rewrite| {
                if let Rewrite::Payload(edit) = rewrite { edit::apply(&mut buf, &edit) } else { Ok(()) }
            })
        } else {
            Err(DropReason::NoMemory)
        };
        if let Err(reason) = tracked {
            self.drop(reason);
            return Step::Gone;
        }
        self.buf = Some(buf);
        Step::Next
    }

    /// Tracks a packet of `len` bytes that begins with `head`, and of which the key and the layers are.
    pub fn track(
        &mut self,
        ct: &odp::CtAction,
        head: &mut [u8],
        len: usize,
        l4_checksum: L4Checksum,
    ) -> Result<Rewrite, DropReason> {
        let (eth_type, plain) = match self.known {
            Known::Short(short) => (short.eth_type(), quick::headers(short, &self.layers)),
            Known::Key | Known::Stale | Known::Nothing => (self.key.eth_type(), None),
        };
        let l3 = self.layers.l3.map_or(0, usize::from);
        let mut view = CtPacket { head, len, l3, eth_type, l4_checksum };
        let (table, action) = (self.dp.conntrack(), tracked(ct));
        let verdict = match &plain {
            Some(headers) => table.process_plain(self.now, self.meta, &mut view, headers, &action),
            None => table.process(self.now, self.meta, &mut view, &action),
        };
        self.known = match self.known {
            Known::Key | Known::Stale => Known::Stale,
            Known::Short(_) | Known::Nothing => Known::Nothing,
        };
        match verdict {
            CtVerdict::Drop(reason) => Err(reason),
            CtVerdict::Pass(rewrite) => Ok(rewrite),
        }
    }

    /// Calls `f` with the packet; false, and a drop is counted, if it does not fit.
    fn changed(&mut self, f: impl FnOnce(&mut Packet<'_, B>, &FlowKey) -> Result<(), DropReason>) -> bool {
        let (meta, layers) = (&mut *self.meta, self.layers);
        let Some(buf) = &mut self.buf else { return false };
        let done = f(&mut Packet { meta, buf, layers }, self.key);
        self.known = Known::Stale;
        if let Err(reason) = done {
            self.drop(reason);
        }
        done.is_ok()
    }

    /// After a set action: bytes changed, headers stayed where they were.
    fn rewritten(&mut self, f: impl FnOnce(&mut Packet<'_, B>, &FlowKey) -> Result<(), DropReason>) -> Step {
        // The fields that `f` reads of a stale key (types, protocol, fragment) are none that actions can set.
        self.whole();
        if self.changed(f) { Step::Next } else { Step::Gone }
    }

    /// After an action that moves headers.
    #[inline(never)]
    fn reshaped(&mut self, f: impl FnOnce(&mut Packet<'_, B>, &FlowKey) -> Result<(), DropReason>) -> Step {
        self.refresh();
        if !self.changed(f) {
            return Step::Gone;
        }
        self.refresh();
        Step::Next
    }

    /// Sees to it that `key` is this packet's, if perhaps an old one.
    fn whole(&mut self) {
        match self.known {
            Known::Key | Known::Stale => {}
            Known::Short(short) => {
                short.to_key(self.meta, self.key);
                self.known = Known::Key;
            }
            Known::Nothing => self.refresh(),
        }
    }

    /// Brings the key and the packet's layers up to date with its bytes.
    fn refresh(&mut self) {
        if let Some(buf) = self.buf.take() {
            self.refresh_of(&buf);
            self.buf = Some(buf);
        }
    }

    #[inline(never)]
    pub fn refresh_of(&mut self, buf: &B) {
        match ::core::mem::replace(&mut self.known, Known::Key) {
            Known::Key => {}
            Known::Short(short) => short.to_key(self.meta, self.key),
            Known::Stale | Known::Nothing => {
                self.layers = flow::extract(self.meta, buf.head(), buf.len(), self.dp.vlan_limit, self.key);
            }
        }
    }

    pub fn drop(&mut self, reason: DropReason) {
        self.tally.drop_of(self.meta.in_port, reason);
        self.is_settled = true;
    }

    /// Xorshift: good enough for sampling.
    fn next_random(&mut self) -> u32 {
        let mut x = *self.random;
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        *self.random = x;
        (x >> 32) as u32
    }
}

/// The tracker's form of a `ct` action.
pub(crate) fn tracked(ct: &odp::CtAction) -> conntrack::CtAction {
    let commit = match (ct.force, ct.commit) {
        (true, _) => Commit::Force,
        (false, true) => Commit::Yes,
        _ => Commit::No,
    };
    let nat = ct.nat.map(|n| conntrack::Nat {
        kind: n.kind.map(|k| match k {
            odp::NatKind::Src => conntrack::NatKind::Src,
            odp::NatKind::Dst => conntrack::NatKind::Dst,
        }),
        addr: n.addr,
        is_ipv6: n.is_ipv6,
        port: n.port,
        choice: if n.random { PortChoice::Random } else { PortChoice::Hash },
        persistent: n.persistent,
    });
    conntrack::CtAction {
        zone: ct.zone,
        commit,
        mark: ct.mark,
        label: ct.label,
        nat,
        alg: ct.helper.as_deref().and_then(Alg::parse),
        timeout_policy: ct.timeout.as_deref().and_then(|name| name.parse().ok()).unwrap_or(0),
        event_mask: ct.eventmask,
    }
}

/// `hash`: of the transport flow. Never zero, which means "not computed".
fn hash(key: &FlowKey, alg: HashAlg, basis: u32) -> u32 {
    let ends = |src: u128, port: u16| (src, port);
    let (src, dst) = if key.eth_type() == wire::eth::TYPE_IPV6 {
        (key.ipv6_src(), key.ipv6_dst())
    } else {
        (u128::from(key.nw_src()), u128::from(key.nw_dst()))
    };
    let (mut a, mut b) = (ends(src, key.tp_src()), ends(dst, key.tp_dst()));
    if alg == HashAlg::SymL4 && a > b {
        ::core::mem::swap(&mut a, &mut b);
    }
    hash_ends(a, b, key.nw_proto(), basis)
}

/// An address and a port.
type End = (u128, u16);

fn hash_ends((src, src_port): End, (dst, dst_port): End, proto: u8, basis: u32) -> u32 {
    let fold = |x: u64, y: u64| {
        let product = u128::from(x) * u128::from(y);
        (product >> 64) as u64 ^ product as u64
    };
    let halves = |address: u128| ((address >> 64) as u64, address as u64);
    let ((src_high, src), (dst_high, dst)) = (halves(src), halves(dst));
    let ports = u64::from(src_port) << 32 | u64::from(dst_port) << 8 | u64::from(proto);
    let a = fold(src ^ 0x9e37_79b9_7f4a_7c15, dst.rotate_left(32) ^ ports ^ 0xe703_7ed1_a0b4_28db);
    let b = fold(src_high ^ a, dst_high ^ u64::from(basis) ^ 0xa076_1d64_78bd_642f);
    ((b ^ b >> 32) as u32).max(1)
}

/// The reason that a `drop` action's code (Open vSwitch's `xlate_error`) stands for.
fn drop_reason(code: u32) -> DropReason {
    match code {
        1 => DropReason::BridgeNotFound,
        2 => DropReason::RecursionTooDeep,
        3 => DropReason::TooManyResubmits,
        4 => DropReason::StackTooDeep,
        5 => DropReason::NoRecirculationContext,
        6 => DropReason::RecirculationConflict,
        7 => DropReason::TooManyMplsLabels,
        8 => DropReason::InvalidTunnelMetadata,
        9 => DropReason::UnsupportedPacketType,
        10 => DropReason::CongestionDrop,
        11 => DropReason::ForwardingDisabled,
        12 => DropReason::TunnelRoutingFailed,
        13 => DropReason::TunnelOutputNoEthernet,
        14 => DropReason::TunnelNeighCacheMiss,
        15 => DropReason::TunnelHeaderBuildFailed,
        _ => DropReason::Policy,
    }
}
