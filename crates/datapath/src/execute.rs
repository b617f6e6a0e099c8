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

use ::core::sync::atomic::Ordering;
use conntrack::{Alg, Commit, CtPacket, CtVerdict, PortChoice, Rewrite};
use flow::{FlowKey, Layers};
use odp::{Action, HashAlg, MAX_DEPTH, MplsLayer, Ufid, Userspace};
use packet::{DropReason, L4Checksum, Now, OdpPort, PacketBuf, PacketMeta, TunnelKey};

use crate::counters::Tally;
use crate::egress::{Queues, Upcall};
use crate::encap::{self, Ttl};
use crate::meter::{self, MeterVerdict};
use crate::worker::WAITING;
use crate::{Datapath, Host, UpcallKind, rewrite};

/// A packet in execution.
pub(crate) struct Packet<B> {
    pub meta: PacketMeta,
    pub buf: B,
    pub layers: Layers,
    /// Length to which the next output cuts.
    pub trunc: Option<u32>,
}

/// Where execution begins.
pub(crate) struct Start<'a> {
    pub actions: &'a [Action],
    /// The flow, if the actions are one's.
    pub flow: Option<Ufid>,
}

/// A place in a tree of lists: the index in each list from the root on.
#[derive(Clone, Copy, Default)]
struct Place {
    index: [u16; MAX_DEPTH + 1],
    /// Bit n: the list at depth n + 1 is `check_pkt_len`'s `if_less_equal`.
    second: u16,
    depth: usize,
}

impl Place {
    /// The list that the place is in.
    fn list<'a>(&self, root: &'a [Action]) -> &'a [Action] {
        let mut list = root;
        for (depth, index) in self.index.iter().enumerate().take(self.depth) {
            list = match list.get(usize::from(*index)) {
                Some(
                    Action::Clone(inner) | Action::Sample { actions: inner, .. } | Action::DecTtl(inner),
                ) => inner,
                Some(Action::CheckPktLen { if_greater, if_less_equal, .. }) => {
                    if self.second >> depth & 1 != 0 { if_less_equal } else { if_greater }
                }
                _ => &[],
            };
        }
        list
    }

    fn at(&self) -> usize {
        self.index.get(self.depth).copied().map_or(0, usize::from)
    }

    fn step(&mut self) {
        if let Some(index) = self.index.get_mut(self.depth) {
            *index = index.saturating_add(1);
        }
    }

    /// Enters the list of the action at this place; false if that is deeper than validation allows.
    fn enter(&mut self, second: bool) -> bool {
        if self.depth >= MAX_DEPTH {
            return false;
        }
        self.second = self.second & !(1 << self.depth) | u16::from(second) << self.depth;
        self.depth += 1;
        if let Some(index) = self.index.get_mut(self.depth) {
            *index = 0;
        }
        true
    }
}

/// Packets that go on when a nested list has ended; one for each depth at most.
pub(crate) struct Stack<B>(Vec<(Packet<B>, Place)>);

impl<B> Stack<B> {
    pub fn try_new() -> Option<Stack<B>> {
        let mut items = Vec::new();
        items.try_reserve_exact(MAX_DEPTH + 1).ok()?;
        Some(Stack(items))
    }
}

/// What an action did with the packet.
enum Step<B> {
    /// It goes on to the next action.
    Next(Packet<B>),
    /// It (or a copy) goes on in the list that the place now points into.
    Enter(Packet<B>),
    /// It is gone.
    Gone,
}

/// Everything that execution touches.
pub(crate) struct Executor<'a, B, H> {
    pub dp: &'a Datapath,
    pub host: &'a mut H,
    pub now: Now,
    pub queues: &'a mut Queues<B>,
    pub waiting: &'a mut Vec<(PacketMeta, B)>,
    pub stack: &'a mut Stack<B>,
    pub tally: &'a mut Tally,
    pub random: &'a mut u64,
    /// The packet's key, as of the last [`Executor::refresh`].
    pub key: &'a mut FlowKey,
    /// Bytes or metadata have changed since.
    pub stale: bool,
}

impl<B: PacketBuf, H: Host<B>> Executor<'_, B, H> {
    /// Executes a list on a packet to its end.
    // apart from `run`: each holds packets by value, and kernel frames are small
    #[inline(never)]
    pub fn begin(&mut self, (meta, buf): (PacketMeta, B), layers: Layers, start: Start<'_>) {
        if start.actions.is_empty() {
            return self.drop(DropReason::Policy);
        }
        self.run(Some(Packet { meta, buf, layers, trunc: None }), &start);
    }

    #[inline(never)]
    fn run(&mut self, mut packet: Option<Packet<B>>, start: &Start<'_>) {
        let mut place = Place::default();
        while packet.is_some() {
            self.advance(&mut packet, &mut place, start);
        }
    }

    /// Carries out one action; the packet that goes on, if one does, is in `packet` afterwards.
    // apart from `run`, `dispatch` and `resume` for the same reason
    #[inline(never)]
    fn advance(&mut self, packet: &mut Option<Packet<B>>, place: &mut Place, start: &Start<'_>) {
        match packet.take() {
            Some(p) if place.list(start.actions).get(place.at()).is_some() => {
                self.dispatch(p, packet, place, start);
            }
            _ => self.resume(packet, place),
        }
    }

    /// Carries out the action at `place` on `p`.
    #[inline(never)]
    fn dispatch(
        &mut self,
        p: Packet<B>,
        packet: &mut Option<Packet<B>>,
        place: &mut Place,
        start: &Start<'_>,
    ) {
        let list = place.list(start.actions);
        let Some(action) = list.get(place.at()) else { return };
        match self.step(p, action, place, list, start) {
            Step::Next(p) => {
                place.step();
                *packet = Some(p);
            }
            Step::Enter(p) => *packet = Some(p),
            Step::Gone => self.resume(packet, place),
        }
    }

    /// Goes on with the packet that waits behind the innermost nested list.
    #[inline(never)]
    fn resume(&mut self, packet: &mut Option<Packet<B>>, place: &mut Place) {
        let Some((p, at)) = self.stack.0.pop() else { return };
        *place = at;
        self.stale = true;
        self.refresh(packet.insert(p));
    }

    #[inline(never)]
    fn step(
        &mut self,
        mut p: Packet<B>,
        action: &Action,
        place: &mut Place,
        list: &[Action],
        start: &Start<'_>,
    ) -> Step<B> {
        let last = place.at() + 1 == list.len();
        match action {
            Action::Output(port) => return self.consume(p, last, |x, p| x.output(p, *port)),
            Action::Userspace(u) => return self.consume(p, last, |x, p| x.userspace(p, u, start.flow)),
            Action::Recirc(id) => return self.consume(p, last, |x, p| x.recirc(p, *id)),
            Action::Clone(_) => return self.enter(p, place, last, false),
            Action::Sample { probability, .. } => {
                let chosen = self.next_random() <= *probability;
                return if chosen { self.enter(p, place, last, false) } else { Step::Next(p) };
            }
            Action::CheckPktLen { len, .. } => {
                let second = p.buf.len() <= usize::from(*len);
                return self.enter(p, place, last, second);
            }
            Action::Drop(code) => {
                self.drop(drop_reason(*code));
                return Step::Gone;
            }
            Action::Ct(ct) => {
                if let Err(reason) = self.conntrack(&mut p, ct) {
                    self.drop(reason);
                    return Step::Gone;
                }
            }
            Action::CtClear => {
                p.meta.clear_ct();
                self.stale = true;
            }
            Action::Hash { alg, basis } => {
                self.refresh(&mut p);
                p.meta.dp_hash = hash(self.key, *alg, *basis);
                self.stale = true;
            }
            Action::Trunc(len) => p.trunc = Some(*len),
            Action::Meter(id) => return self.meter(p, *id),
            Action::PushMpls { lse, eth_type }
            | Action::AddMpls { lse, eth_type, layer: MplsLayer::Network } => {
                return self.reshaped(p, |p, _| encap::push_mpls(p, *lse, *eth_type));
            }
            Action::AddMpls { lse, eth_type, .. } => {
                return self.reshaped(p, |p, _| encap::add_mpls(p, *lse, *eth_type));
            }
            Action::PopMpls { eth_type } => {
                return self.reshaped(p, |p, key| encap::pop_mpls(p, key, *eth_type));
            }
            Action::PushEth { src, dst } => return self.reshaped(p, |p, _| encap::push_eth(p, *src, *dst)),
            Action::PopEth => return self.reshaped(p, encap::pop_eth),
            Action::PushNsh(push) => return self.reshaped(p, |p, _| encap::push_nsh(p, push)),
            Action::PopNsh => return self.reshaped(p, |p, _| encap::pop_nsh(p)),
            Action::DecTtl(_) => return self.dec_ttl(p, place),
            Action::Psample(sample) => self.host.sample(sample.group, &sample.cookie, &p.buf),
            Action::TnlPush(push) => return self.tunnel_push(p, push),
            Action::TnlPop(port) => return self.consume(p, last, |x, p| x.tunnel_pop(p, *port)),
            Action::LbOutput(bond) => return self.consume(p, last, |x, p| x.bond_output(p, *bond)),
            Action::Set(header) => return self.rewritten(p, |p, key| rewrite::set(p, key, header, None)),
            Action::SetMasked { value, mask } => {
                return self.rewritten(p, |p, key| rewrite::set(p, key, value, Some(mask)));
            }
            Action::PushVlan { tpid, tci } => {
                return self.reshaped(p, |p, _| rewrite::push_vlan(&mut p.buf, *tpid, *tci));
            }
            Action::PopVlan => return self.reshaped(p, |p, _| rewrite::pop_vlan(&mut p.buf)),
        }
        Step::Next(p)
    }

    /// Gives the packet, or a copy if it is still needed, to `f`.
    #[inline(never)]
    fn consume(&mut self, mut p: Packet<B>, last: bool, f: impl FnOnce(&mut Self, Packet<B>)) -> Step<B> {
        if last {
            f(self, p);
            return Step::Gone;
        }
        match self.copy(&p) {
            Some(copy) => f(self, copy),
            None => self.drop(DropReason::NoMemory),
        }
        p.trunc = None;
        Step::Next(p)
    }

    #[inline(never)]
    fn copy(&mut self, p: &Packet<B>) -> Option<Packet<B>> {
        let buf = self.host.try_clone(&p.buf)?;
        Some(Packet { meta: p.meta, buf, layers: p.layers, trunc: p.trunc })
    }

    /// Enters the list at `place`: with the packet itself if nothing follows, else with a copy.
    #[inline(never)]
    fn enter(&mut self, p: Packet<B>, place: &mut Place, last: bool, second: bool) -> Step<B> {
        let mut after = *place;
        after.step();
        if !place.enter(second) {
            self.drop(DropReason::InvalidAction);
            return Step::Gone;
        }
        if last {
            return Step::Enter(p);
        }
        let Some(copy) = self.copy(&p) else {
            self.drop(DropReason::NoMemory);
            *place = after;
            return Step::Enter(p);
        };
        self.stack.0.push((p, after));
        Step::Enter(copy)
    }

    #[inline(never)]
    fn output(&mut self, mut p: Packet<B>, port: OdpPort) {
        if let Some(len) = p.trunc {
            p.buf.truncate(len as usize);
        }
        if let Some(kind) = self.tunnel_of(&p, port) {
            return self.tunnel_output(p, kind);
        }
        if !self.queues.transmit(port, p.buf) {
            self.drop(DropReason::WorklistFull);
        }
    }

    #[inline(never)]
    fn userspace(&mut self, mut p: Packet<B>, u: &Userspace, flow: Option<Ufid>) {
        let mut userdata = Vec::new();
        if userdata.try_reserve_exact(u.userdata.len()).is_err() {
            self.tally.lost += 1;
            return self.drop(DropReason::NoMemory);
        }
        userdata.extend_from_slice(&u.userdata);
        self.refresh(&mut p);
        if let Some(len) = p.trunc {
            p.buf.truncate(len as usize);
        }
        let kind = UpcallKind::Action { flow, userdata, tunnel_out_port: u.tunnel_out_port };
        let upcall = Upcall { kind, key: *self.key, meta: p.meta, packet: p.buf };
        if !self.queues.upcall(upcall) {
            self.tally.lost += 1;
            self.drop(DropReason::UpcallQueueFull);
        }
    }

    #[inline(never)]
    fn recirc(&mut self, mut p: Packet<B>, id: u32) {
        p.meta.recirc_id = id;
        if self.waiting.len() < WAITING {
            self.waiting.push((p.meta, p.buf));
        } else {
            self.drop(DropReason::WorklistFull);
        }
    }

    #[inline(never)]
    fn meter(&mut self, mut p: Packet<B>, id: u32) -> Step<B> {
        let verdict = self.dp.meters.read().pass(id, self.now.mono, p.buf.len());
        match verdict {
            MeterVerdict::Pass => Step::Next(p),
            MeterVerdict::Drop => {
                self.drop(DropReason::Meter);
                Step::Gone
            }
            MeterVerdict::Remark(by) => {
                self.refresh(&mut p);
                let tos = meter::remark(self.key.nw_tos(), by);
                self.rewritten(p, |p, key| rewrite::set_tos(p, key, tos).ok_or(DropReason::InvalidAction))
            }
        }
    }

    /// A packet whose TTL ends here goes through the action's list, and no further.
    #[inline(never)]
    fn dec_ttl(&mut self, mut p: Packet<B>, place: &mut Place) -> Step<B> {
        self.refresh(&mut p);
        match encap::dec_ttl(&mut p, self.key) {
            Some(Ttl::Decremented) => {
                self.stale = true;
                Step::Next(p)
            }
            // The packet goes into the list, and nothing waits behind it.
            Some(Ttl::Expired) if place.enter(false) => Step::Enter(p),
            Some(Ttl::Expired) | None => {
                self.drop(DropReason::TtlExceeded);
                Step::Gone
            }
        }
    }

    #[inline(never)]
    fn tunnel_push(&mut self, mut p: Packet<B>, push: &odp::TnlPush) -> Step<B> {
        self.refresh(&mut p);
        let hash = hash(self.key, HashAlg::L4, 0);
        let src_port = self.dp.tunnels.read().source_port(hash);
        if let Err(e) = tunnel::push(&mut p.buf, &push.header, src_port) {
            self.drop(match e {
                tunnel::PushError::NoHeadroom => DropReason::NoHeadroom,
                tunnel::PushError::Malformed | tunnel::PushError::Nested => DropReason::TunnelEncap,
            });
            return Step::Gone;
        }
        self.sequence(&mut p, push);
        p.meta.packet_type = 0;
        p.meta.tunnel = TunnelKey::default();
        self.stale = true;
        self.refresh(&mut p);
        Step::Next(p)
    }

    /// Numbers the packets of a GRE or ERSPAN tunnel.
    fn sequence(&mut self, p: &mut Packet<B>, push: &odp::TnlPush) {
        if let Some(at) = tunnel::sequence_at(&push.header) {
            let number = self.dp.sequence.fetch_add(1, Ordering::Relaxed);
            // The place lies in what was just pushed.
            let _ = wire::bytes::put(p.buf.head_mut(), at, &number.to_be_bytes());
        }
    }

    #[inline(never)]
    fn tunnel_pop(&mut self, mut p: Packet<B>, port: OdpPort) {
        let kind = self.dp.tunnels.read().kind(port);
        let Some(popped) = kind.and_then(|kind| tunnel::pop(kind, p.buf.head())) else {
            return self.drop(DropReason::TunnelDecap);
        };
        // A partial checksum is the inner packet's, or else of headers that go.
        if let L4Checksum::Partial { start, .. } = p.buf.offload().l4
            && usize::from(start) < popped.len
        {
            p.buf.offload_mut().l4 = L4Checksum::Unknown;
        }
        if !p.buf.pull_front(popped.len) {
            return self.drop(DropReason::TunnelDecap);
        }
        p.buf.offload_mut().outer = 0;
        p.meta.clear_ct();
        p.meta.tunnel = popped.key;
        p.meta.packet_type = popped.packet_type;
        p.meta.in_port = port;
        self.recirc(p, 0);
    }

    #[inline(never)]
    fn bond_output(&mut self, mut p: Packet<B>, bond: u32) {
        self.refresh(&mut p);
        let hash = if p.meta.dp_hash != 0 { p.meta.dp_hash } else { hash(self.key, HashAlg::L4, 0) };
        match self.dp.bonds.read().member(bond, hash) {
            Some(port) => self.output(p, port),
            None => self.drop(DropReason::InvalidPort),
        }
    }

    #[inline(never)]
    fn conntrack(&mut self, p: &mut Packet<B>, ct: &odp::CtAction) -> Result<(), DropReason> {
        self.refresh(p);
        // The quoted packet of an ICMP error, or an ALG's payload, may reach beyond the headers.
        if !p.buf.pull_up(usize::from(p.layers.end)) {
            return Err(DropReason::NoMemory);
        }
        let action = tracked(ct);
        let l4_checksum = p.buf.offload().l4;
        let len = p.buf.len();
        let eth_type = self.key.eth_type();
        let l3 = p.layers.l3.map_or(0, usize::from);
        let head = p.buf.head_mut();
        let mut view = CtPacket { head, len, l3, eth_type, l4_checksum };
        match self.dp.conntrack().process(self.now, &mut p.meta, &mut view, &action) {
            CtVerdict::Drop(reason) => Err(reason),
            CtVerdict::Pass(Rewrite::None | Rewrite::Nat) => {
                self.stale = true;
                Ok(())
            }
        }
    }

    /// After a set action: bytes changed, headers stayed where they were.
    #[inline(never)]
    fn rewritten(
        &mut self,
        mut p: Packet<B>,
        f: impl FnOnce(&mut Packet<B>, &FlowKey) -> Result<(), DropReason>,
    ) -> Step<B> {
        // The fields that `f` reads of a stale key (types, protocol, fragment) are none that actions can set.
        self.stale = true;
        match f(&mut p, self.key) {
            Ok(()) => Step::Next(p),
            Err(reason) => {
                self.drop(reason);
                Step::Gone
            }
        }
    }

    /// After an action that moves headers.
    #[inline(never)]
    fn reshaped(
        &mut self,
        mut p: Packet<B>,
        f: impl FnOnce(&mut Packet<B>, &FlowKey) -> Result<(), DropReason>,
    ) -> Step<B> {
        self.refresh(&mut p);
        match f(&mut p, self.key) {
            Ok(()) => {
                self.stale = true;
                self.refresh(&mut p);
                Step::Next(p)
            }
            Err(reason) => {
                self.drop(reason);
                Step::Gone
            }
        }
    }

    /// Brings the key and the packet's layers up to date with its bytes.
    pub fn refresh(&mut self, p: &mut Packet<B>) {
        if ::core::mem::take(&mut self.stale) {
            let (head, len) = (p.buf.head(), p.buf.len());
            p.layers = flow::extract(&p.meta, head, len, self.dp.vlan_limit, self.key);
        }
    }

    pub fn drop(&mut self, reason: DropReason) {
        self.tally.drop_of(OdpPort(self.key.in_port()), reason);
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
fn tracked(ct: &odp::CtAction) -> conntrack::CtAction {
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
        timeout_policy: 0,
        event_mask: ct.eventmask,
    }
}

/// `hash`: of the transport flow. Never zero, which means "not computed".
pub(crate) fn hash(key: &FlowKey, alg: HashAlg, basis: u32) -> u32 {
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
    let mut summary = FlowKey::ZERO;
    summary.set_ipv6_src(a.0);
    summary.set_ipv6_dst(b.0);
    summary.set_tp_src(a.1);
    summary.set_tp_dst(b.1);
    summary.set_nw_proto(key.nw_proto());
    (classifier::hash_key(&summary, u64::from(basis)) as u32).max(1)
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
