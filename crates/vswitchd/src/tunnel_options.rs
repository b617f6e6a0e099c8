//! Options of tunnel interfaces: the row's strings as a [`Tunnel`].
//!
//! Where it sits: called when a port is set up. What is wrong is told in Open vSwitch's words: errors keep the port from
//! coming up, warnings do not.
//!
//! Spec: ovs-vswitchd.conf.db(5), "Tunnel Options".

use std::collections::BTreeMap;
use std::net::IpAddr;

use odp::TunnelKind;
use xlate::{Fixed, Outer, Tunnel};

/// A tunnel, what `dpif/show` says of it, and what was not understood.
pub(crate) struct Parsed {
    pub tunnel: Tunnel,
    pub shown: String,
    pub warnings: Vec<String>,
}

type Options = BTreeMap<String, String>;

/// Every option that some tunnel has.
const KNOWN: [&str; 24] = [
    "remote_ip",
    "local_ip",
    "in_key",
    "out_key",
    "key",
    "tos",
    "ttl",
    "df_default",
    "csum",
    "dst_port",
    "exts",
    "egress_pkt_mark",
    "packet_type",
    "seq",
    "erspan_ver",
    "erspan_idx",
    "erspan_dir",
    "erspan_hwid",
    "payload_type",
    "srv6_segs",
    "srv6_flowlabel",
    "psk",
    "remote_cert",
    "remote_name",
];

/// UDP or TCP port of a protocol that has one.
fn default_port(kind: TunnelKind) -> u16 {
    match kind {
        TunnelKind::Vxlan => 4789,
        TunnelKind::Geneve => 6081,
        TunnelKind::Gtpu => 2152,
        TunnelKind::BareUdp => 6635,
        TunnelKind::Stt => 7471,
        _ => 0,
    }
}

/// Reads the options of the interface `name`; an `Err` is why it cannot be.
pub(crate) fn parse(name: &str, kind: TunnelKind, options: &Options) -> Result<Parsed, String> {
    let mut warnings = Vec::new();
    let get = |key: &str| options.get(key).map(String::as_str);
    let unknown = options.keys().filter(|k| !KNOWN.contains(&k.as_str()) && !k.starts_with("ipsec_"));
    warnings.extend(unknown.map(|k| format!("{name}: unknown {} argument '{k}'", kind.name())));
    let (remote, local) = ends(name, kind, options)?;
    let key = |direction: &str| parse_key(get(direction).or(get("key")));
    let mut tunnel = Tunnel {
        kind,
        remote,
        local,
        in_key: key("in_key"),
        out_key: key("out_key"),
        dst_port: get("dst_port").and_then(|t| t.parse().ok()).unwrap_or(default_port(kind)),
        tos: Outer::Value(0),
        ttl: Outer::Value(64),
        df: get("df_default") != Some("false"),
        csum: get("csum").map(|v| v == "true"),
        gbp: false,
        gpe: false,
        sequence: get("seq") == Some("true"),
        erspan: erspan(name, kind, options)?,
        is_l3: matches!(kind, TunnelKind::Gtpu | TunnelKind::BareUdp | TunnelKind::Srv6),
        egress_mark: get("egress_pkt_mark").and_then(|t| t.parse().ok()),
        segments: Vec::new(),
    };
    if default_port(kind) == 0 {
        tunnel.dst_port = 0;
    }
    match get("tos") {
        Some("inherit") => tunnel.tos = Outer::Inherit,
        Some(text) => match number(text).and_then(|n| u8::try_from(n).ok()).filter(|n| n & 3 == 0) {
            Some(tos) => tunnel.tos = Outer::Value(tos),
            None => warnings.push(format!("{name}: invalid TOS {text}")),
        },
        None => {}
    }
    match get("ttl") {
        Some("inherit") => tunnel.ttl = Outer::Inherit,
        Some(text) => tunnel.ttl = Outer::Value(text.parse().ok().filter(|n| *n != 0).unwrap_or(64)),
        None => {}
    }
    for extension in get("exts").into_iter().flat_map(|t| t.split(',')) {
        match extension {
            "gbp" => tunnel.gbp = true,
            "gpe" => tunnel.gpe = true,
            other => warnings.push(format!("{name}: unknown extension '{other}'")),
        }
    }
    packet_type(name, &mut tunnel, get("packet_type"))?;
    segments(name, &mut tunnel, get("srv6_segs"))?;
    let shown = shown(kind, options);
    Ok(Parsed { tunnel, shown, warnings })
}

/// A decimal or hexadecimal number.
fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

fn parse_key(text: Option<&str>) -> Option<Fixed<u64>> {
    match text? {
        "flow" => Some(Fixed::Flow),
        text => Some(Fixed::To(number(text).unwrap_or(0))),
    }
}

type Ends = (Fixed<IpAddr>, Option<Fixed<IpAddr>>);

fn ends(name: &str, kind: TunnelKind, options: &Options) -> Result<Ends, String> {
    let kind = kind.name();
    let read = |key: &str| match options.get(key).map(String::as_str) {
        None => Ok(None),
        Some("flow") => Ok(Some(Fixed::Flow)),
        Some(text) => match text.parse::<IpAddr>() {
            Ok(addr) if addr.is_multicast() => Err(format!("{name}: multicast {key}={text} not allowed")),
            Ok(addr) => Ok(Some(Fixed::To(addr))),
            Err(_) => Err(format!("{name}: bad {kind} '{key}'")),
        },
    };
    let wanted = format!("{name}: {kind} type requires valid 'remote_ip' argument");
    let remote = match read("remote_ip") {
        Ok(Some(remote)) => remote,
        Ok(None) => return Err(wanted),
        Err(e) if e.contains("multicast") => return Err(e),
        Err(e) => return Err(format!("{e}\n{wanted}")),
    };
    let local = read("local_ip")?;
    if local == Some(Fixed::Flow) && remote != Fixed::Flow {
        return Err(format!("{name}: {kind} type requires 'remote_ip=flow' with 'local_ip=flow'"));
    }
    if let (Fixed::To(r), Some(Fixed::To(l))) = (remote, local)
        && r.is_ipv4() != l.is_ipv4()
    {
        return Err(format!("{name}: 'remote_ip' and 'local_ip' has to be of the same address family"));
    }
    Ok((remote, local))
}

fn erspan(name: &str, kind: TunnelKind, options: &Options) -> Result<(u8, u32, u8, u8), String> {
    if !matches!(kind, TunnelKind::Erspan | TunnelKind::Ip6Erspan) {
        return Ok((0, 0, 0, 0));
    }
    let hex = |key: &str| {
        options.get(key).and_then(|t| u32::from_str_radix(t.trim_start_matches("0x"), 16).ok()).unwrap_or(0)
    };
    match options.get("erspan_ver").map(String::as_str) {
        None | Some("flow") => Ok((0, 0, 0, 0)),
        Some("1") => Ok((1, hex("erspan_idx") & 0xf_ffff, 0, 0)),
        Some("2") => Ok((2, 0, hex("erspan_dir") as u8 & 1, hex("erspan_hwid") as u8 & 0x3f)),
        Some(other) => Err(format!("{name}: invalid erspan version: {other}")),
    }
}

fn packet_type(name: &str, tunnel: &mut Tunnel, text: Option<&str>) -> Result<(), String> {
    match text {
        None | Some("legacy_l2") => Ok(()),
        Some("legacy_l3") => {
            tunnel.is_l3 = true;
            Ok(())
        }
        // Packets as they are, frames or not: nothing is taken off.
        Some("ptap") => {
            tunnel.is_l3 = false;
            Ok(())
        }
        Some(other) => Err(format!("{name}: unknown packet_type '{other}'")),
    }
}

fn segments(name: &str, tunnel: &mut Tunnel, text: Option<&str>) -> Result<(), String> {
    let Some(text) = text.filter(|_| tunnel.kind == TunnelKind::Srv6) else { return Ok(()) };
    let bad = || format!("{name}: bad srv6 'srv6_segs'");
    for part in text.split(',') {
        tunnel.segments.push(part.trim().parse().map_err(|_| bad())?);
    }
    let first = tunnel.segments.first().map(|s| Fixed::To(IpAddr::V6(*s)));
    if tunnel.segments.len() > wire::tunnel::srh::MAX_SEGMENTS || first != Some(tunnel.remote) {
        return Err(bad());
    }
    Ok(())
}

/// The options as `dpif/show` lists them: sorted, without those that say the default.
fn shown(kind: TunnelKind, options: &Options) -> String {
    let is_default = |key: &str, value: &str| match key {
        "dst_port" => value.parse() == Ok(default_port(kind)),
        "df_default" => value != "false",
        "ttl" => value == "64",
        _ => false,
    };
    let parts: Vec<String> = options
        .iter()
        .filter(|(k, v)| KNOWN.contains(&k.as_str()) && !is_default(k, v))
        .map(|(k, v)| match k.as_str() {
            "erspan_idx" | "erspan_hwid" => format!("{k}=0x{}", v.trim_start_matches("0x")),
            _ => format!("{k}={v}"),
        })
        .collect();
    if parts.is_empty() { String::new() } else { format!(": {}", parts.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kind: &str, options: &[(&str, &str)]) -> Result<Parsed, String> {
        let options = options.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        parse("x9", TunnelKind::from_name(kind).unwrap(), &options)
    }

    #[test]
    fn errors_are_open_vswitchs() {
        let error = |kind, options: &[(&str, &str)]| read(kind, options).err().unwrap();
        assert_eq!(error("vxlan", &[]), "x9: vxlan type requires valid 'remote_ip' argument");
        assert_eq!(
            error("vxlan", &[("remote_ip", "zz")]),
            "x9: bad vxlan 'remote_ip'\nx9: vxlan type requires valid 'remote_ip' argument"
        );
        assert_eq!(
            error("vxlan", &[("remote_ip", "224.0.0.1")]),
            "x9: multicast remote_ip=224.0.0.1 not allowed"
        );
        let r = ("remote_ip", "1.1.1.1");
        assert_eq!(
            error("vxlan", &[r, ("local_ip", "flow")]),
            "x9: vxlan type requires 'remote_ip=flow' with 'local_ip=flow'"
        );
        assert_eq!(
            error("vxlan", &[r, ("local_ip", "2000::1")]),
            "x9: 'remote_ip' and 'local_ip' has to be of the same address family"
        );
        assert_eq!(error("erspan", &[r, ("erspan_ver", "5")]), "x9: invalid erspan version: 5");
        assert_eq!(error("gre", &[r, ("packet_type", "zz")]), "x9: unknown packet_type 'zz'");
    }

    #[test]
    fn what_is_not_understood_is_told_and_left_out() {
        let p = read("vxlan", &[("remote_ip", "1.1.1.1"), ("foo", "1"), ("exts", "zz"), ("tos", "zz")])
            .ok()
            .unwrap();
        assert_eq!(
            p.warnings,
            ["x9: unknown vxlan argument 'foo'", "x9: invalid TOS zz", "x9: unknown extension 'zz'"]
        );
    }

    #[test]
    fn options_are_shown_as_open_vswitch_shows_them() {
        let options = [
            ("csum", "true"),
            ("df_default", "false"),
            ("dst_port", "8472"),
            ("in_key", "5"),
            ("out_key", "flow"),
            ("remote_ip", "1.1.1.1"),
            ("tos", "inherit"),
            ("ttl", "inherit"),
        ];
        let p = read("vxlan", &options).ok().unwrap();
        assert_eq!(
            p.shown,
            ": csum=true, df_default=false, dst_port=8472, in_key=5, out_key=flow, remote_ip=1.1.1.1, tos=inherit, ttl=inherit"
        );
        assert_eq!((p.tunnel.in_key, p.tunnel.out_key), (Some(Fixed::To(5)), Some(Fixed::Flow)));
        assert_eq!((p.tunnel.ttl, p.tunnel.df, p.tunnel.csum), (Outer::Inherit, false, Some(true)));
    }
}
