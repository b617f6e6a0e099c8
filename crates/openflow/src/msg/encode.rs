//! From a message to bytes: which row, then the body.
//!
//! Where it sits: the other half of `mod.rs`; bodies that are more than a number are written by their own modules.

use super::*;

impl Message {
    /// Appends the message, or the messages that it takes, to `out`. An error says that the dialect cannot say it;
    /// `out` is then as it was.
    pub fn encode(&self, dialect: Dialect, xid: u32, out: &mut Vec<u8>) -> Result<()> {
        let before = out.len();
        let result = self.encode_any(dialect, xid, out);
        if result.is_err() {
            out.truncate(before);
        }
        result
    }

    /// The message as fresh bytes.
    pub fn to_bytes(&self, dialect: Dialect, xid: u32) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        self.encode(dialect, xid, &mut out).map(|()| out)
    }

    fn encode_any(&self, dialect: Dialect, xid: u32, out: &mut Vec<u8>) -> Result<()> {
        let version = dialect.version();
        if let Some(result) = families::encode(self, dialect, xid, out) {
            return result;
        }
        match self {
            Message::Hello(hello) => {
                let at = header::start(out, Raw::OfptHello, hello.header_version(), xid);
                hello.encode(out);
                header::finish(out, at);
                Ok(())
            }
            Message::Error(e) => simple(Raw::OfptError, dialect, xid, out, |out| {
                let at = out.len() - header::HEADER_LEN;
                e.encode(out, at);
            }),
            Message::PacketIn(pin) => {
                pin.encode(dialect, xid, out);
                Ok(())
            }
            Message::Resume(pin) => {
                simple(Raw::NxtResume, dialect, xid, out, |out| pin.encode_properties(version, out))
            }
            Message::FlowRemoved(fr) => {
                fr.encode(dialect, xid, out);
                Ok(())
            }
            Message::PacketOut(po) => po.encode(version, xid, out),
            Message::FlowMod(fm) => flow_mod::encode(fm, dialect, xid, out),
            Message::BundleControl(bc) => bc.encode(version, xid, out),
            Message::BundleAdd(ba) => ba.encode(version, xid, out),
            _ if self.is_statistics() => self.encode_stats(dialect, xid, out),
            _ => self.encode_session(dialect, xid, out),
        }
    }

    fn encode_session(&self, dialect: Dialect, xid: u32, out: &mut Vec<u8>) -> Result<()> {
        let version = dialect.version();
        let mut plain = |rows: &[Raw], body: &dyn Fn(&mut Vec<u8>)| {
            let raw = Raw::pick(rows, version.wire()).ok_or(OfpError::OFPBRC_BAD_VERSION)?;
            simple(raw, dialect, xid, out, body)
        };
        match self {
            Message::EchoRequest(data) => plain(&[Raw::OfptEchoRequest], &|out| out.put(data)),
            Message::EchoReply(data) => plain(&[Raw::OfptEchoReply], &|out| out.put(data)),
            Message::FeaturesRequest => plain(&[Raw::OfptFeaturesRequest], &|_| {}),
            Message::FeaturesReply(f) => plain(
                &[Raw::Ofpt10FeaturesReply, Raw::Ofpt11FeaturesReply, Raw::Ofpt13FeaturesReply],
                &|out| {
                    let at = out.len() - header::HEADER_LEN;
                    f.encode(version, out, at);
                },
            ),
            Message::GetConfigRequest => plain(&[Raw::OfptGetConfigRequest], &|_| {}),
            Message::GetConfigReply(c) => plain(&[Raw::OfptGetConfigReply], &|out| c.encode(version, out)),
            Message::SetConfig(c) => plain(&[Raw::OfptSetConfig], &|out| c.encode(version, out)),
            Message::PortStatus(ps) => {
                plain(&[Raw::Ofpt10PortStatus, Raw::Ofpt11PortStatus, Raw::Ofpt14PortStatus], &|out| {
                    ps.encode(version, out)
                })
            }
            Message::PortMod(pm) => {
                plain(&[Raw::Ofpt10PortMod, Raw::Ofpt11PortMod, Raw::Ofpt14PortMod], &|out| {
                    pm.encode(version, out)
                })
            }
            Message::BarrierRequest => {
                plain(&[Raw::Ofpt10BarrierRequest, Raw::Ofpt11BarrierRequest], &|_| {})
            }
            Message::BarrierReply => plain(&[Raw::Ofpt10BarrierReply, Raw::Ofpt11BarrierReply], &|_| {}),
            Message::SetFlowFormat(nxm) => {
                plain(&[Raw::NxtSetFlowFormat], &|out| out.put_u32(if *nxm { 2 } else { 0 }))
            }
            Message::FlowModTableId(on) => plain(&[Raw::NxtFlowModTableId], &|out| {
                out.put_u8(u8::from(*on));
                out.put_zeros(7);
            }),
            Message::SetPacketInFormat(f) => {
                plain(&[Raw::NxtSetPacketInFormat], &|out| out.put_u32(*f as u32))
            }
            Message::FlowAge => plain(&[Raw::NxtFlowAge], &|_| {}),
            Message::SetControllerId(id) => plain(&[Raw::NxtSetControllerId], &|out| {
                out.put_zeros(6);
                out.put_u16(*id);
            }),
            Message::GetAsyncRequest => {
                plain(&[Raw::Ofpt13GetAsyncRequest, Raw::Ofpt14GetAsyncRequest], &|_| {})
            }
            Message::GetAsyncReply(c) => {
                c.encode(&[Raw::Ofpt13GetAsyncReply, Raw::Ofpt14GetAsyncReply], version, xid, out)
            }
            Message::SetAsync(c) => c.encode(
                &[Raw::Ofpt13SetAsync, Raw::Ofpt14SetAsync, Raw::NxtSetAsyncConfig],
                version,
                xid,
                out,
            ),
            Message::RoleRequest(role) => {
                role.encode(Raw::NxtRoleRequest, Raw::Ofpt12RoleRequest, version, xid, out);
                Ok(())
            }
            Message::RoleReply(role) => {
                role.encode(Raw::NxtRoleReply, Raw::Ofpt12RoleReply, version, xid, out);
                Ok(())
            }
            Message::RoleStatus(status) => status.encode(version, xid, out),
            _ => Err(OfpError::OFPBRC_BAD_TYPE),
        }
    }

    fn is_statistics(&self) -> bool {
        matches!(
            self,
            Message::DescRequest
                | Message::DescReply(_)
                | Message::FlowStatsRequest(_)
                | Message::FlowStatsReply(_)
                | Message::AggregateRequest(_)
                | Message::AggregateReply(_)
                | Message::TableStatsRequest
                | Message::TableStatsReply(_)
                | Message::TableFeaturesRequest(_)
                | Message::TableFeaturesReply(_)
                | Message::PortStatsRequest(_)
                | Message::PortStatsReply(_)
                | Message::PortDescRequest(_)
                | Message::PortDescReply(_)
        )
    }

    fn encode_stats(&self, dialect: Dialect, xid: u32, out: &mut Vec<u8>) -> Result<()> {
        let version = dialect.version();
        let wire = version.wire();
        let port_number = |port: OfpPort, out: &mut Vec<u8>| {
            if version == Version::V10 {
                out.put_u16(port.to_of10());
                out.put_zeros(6);
            } else {
                out.put_u32(port.0);
                out.put_zeros(4);
            }
        };
        match self {
            Message::DescRequest => simple(Raw::OfpstDescRequest, dialect, xid, out, |_| {}),
            Message::DescReply(d) => simple(Raw::OfpstDescReply, dialect, xid, out, |out| d.encode(out)),
            Message::FlowStatsRequest(q) => {
                let raw = dialect.flow_format(
                    Raw::Ofpst10FlowRequest,
                    Raw::NxstFlowRequest,
                    Raw::Ofpst11FlowRequest,
                );
                simple(raw, dialect, xid, out, |out| q.encode(raw, version, out))
            }
            Message::AggregateRequest(q) => {
                let of11 = if version == Version::V15 {
                    Raw::Ofpst15AggregateRequest
                } else {
                    Raw::Ofpst11AggregateRequest
                };
                let raw = dialect.flow_format(Raw::Ofpst10AggregateRequest, Raw::NxstAggregateRequest, of11);
                simple(raw, dialect, xid, out, |out| q.encode(raw, version, out))
            }
            Message::FlowStatsReply(flows) => flow_stats::encode(flows, dialect, xid, out),
            Message::AggregateReply(stats) => {
                stats.encode(dialect, xid, out);
                Ok(())
            }
            Message::TableStatsRequest => simple(Raw::OfpstTableRequest, dialect, xid, out, |_| {}),
            Message::TableStatsReply(tables) => {
                table_stats::encode(tables, version, xid, out);
                Ok(())
            }
            Message::TableFeaturesRequest(tables) | Message::TableFeaturesReply(tables) => {
                if version < Version::V13 {
                    return Err(OfpError::OFPBRC_BAD_VERSION);
                }
                let raw = match self {
                    Message::TableFeaturesReply(_) => Raw::Ofpst13TableFeaturesReply,
                    _ => Raw::Ofpst13TableFeaturesRequest,
                };
                table_features::encode(tables, raw, version, xid, out);
                Ok(())
            }
            Message::PortStatsRequest(port) => {
                let raw = Raw::pick(&[Raw::Ofpst10PortRequest, Raw::Ofpst11PortRequest], wire);
                simple(raw.ok_or(OfpError::OFPBRC_BAD_VERSION)?, dialect, xid, out, |out| {
                    port_number(*port, out)
                })
            }
            Message::PortStatsReply(ports) => {
                port_stats::encode(ports, version, xid, out);
                Ok(())
            }
            Message::PortDescRequest(port) => match version {
                Version::V15 => {
                    simple(Raw::Ofpst15PortDescRequest, dialect, xid, out, |out| port_number(*port, out))
                }
                _ => simple(Raw::Ofpst10PortDescRequest, dialect, xid, out, |_| {}),
            },
            Message::PortDescReply(ports) => {
                let rows = [Raw::Ofpst10PortDescReply, Raw::Ofpst11PortDescReply, Raw::Ofpst14PortDescReply];
                let raw = Raw::pick(&rows, wire).ok_or(OfpError::OFPBRC_BAD_VERSION)?;
                let mut parts = header::Parts::new(out, raw, wire, xid);
                for port in ports {
                    parts.record(|out| port.encode(version, out));
                }
                parts.finish();
                Ok(())
            }
            _ => Err(OfpError::OFPBRC_BAD_STAT),
        }
    }
}

/// One message with a body that cannot fail.
fn simple(
    raw: Raw,
    dialect: Dialect,
    xid: u32,
    out: &mut Vec<u8>,
    body: impl FnOnce(&mut Vec<u8>),
) -> Result<()> {
    let version = dialect.version().wire();
    if !(raw.def().first..=raw.def().last).contains(&version) {
        return Err(OfpError::OFPBRC_BAD_VERSION);
    }
    let at = header::start(out, raw, version, xid);
    body(out);
    header::finish(out, at);
    Ok(())
}
