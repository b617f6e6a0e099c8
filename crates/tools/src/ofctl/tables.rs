//! Commands about tables, queues, TLV maps, IPFIX and connections: settings and counters of the switch beside its flows.
//!
//! Where it sits: one request each, built from the arguments.

use openflow::msg::{
    ALL_QUEUES, Message, QueueRequest, TableMiss, TableMod, TlvCommand, TlvMap, TlvTableMod, Vacancy,
};
use openflow::text::ct;
use openflow::{Names, OfpPort, Version};

use super::vconn::Vconn;
use super::{Context, Fatal, fatal, flows, names};

async fn ask(cx: &Context, switch: &str, request: Message) -> Result<(), Fatal> {
    let mut vconn = Vconn::open(cx, switch).await?;
    flows::print_parts(cx, &mut vconn, &request, &Names::none()).await
}

async fn order(cx: &Context, vconn: &mut Vconn, order: Message) -> Result<(), Fatal> {
    let errors = vconn.transact_without_reply(&[order]).await?;
    match errors.first() {
        Some(error) => Err(flows::refused(cx, error)),
        None => Ok(()),
    }
}

/// A port by number, reserved name, or the name that the switch gives it.
async fn port(cx: &Context, switch: &str, text: &str) -> Result<OfpPort, Fatal> {
    if text.eq_ignore_ascii_case("all") {
        return Ok(OfpPort::NONE);
    }
    let number = text.parse::<u32>().ok().and_then(|n| OfpPort::from_of11(n).ok());
    if let Some(port) = number.or_else(|| OfpPort::from_reserved_name(text)) {
        return Ok(port);
    }
    let mut vconn = Vconn::open(cx, switch).await?;
    let found = names::ports(&mut vconn).await?.into_iter().find(|p| p.name == text);
    found.map(|p| p.port).ok_or_else(|| fatal(format!("{switch}: unknown port `{text}'")))
}

/// queue-stats
pub async fn queue_stats(cx: &Context, args: &[String]) -> Result<(), Fatal> {
    let port = match args.get(1).filter(|t| !t.is_empty()) {
        Some(text) => port(cx, &args[0], text).await?,
        None => OfpPort::NONE,
    };
    let queue = match args.get(2).filter(|t| !t.is_empty() && !t.eq_ignore_ascii_case("all")) {
        Some(text) => text.parse().unwrap_or(0),
        None => ALL_QUEUES,
    };
    ask(cx, &args[0], Message::QueueStatsRequest(QueueRequest { port, queue })).await
}

/// queue-get-config
pub async fn queue_get_config(cx: &Context, args: &[String]) -> Result<(), Fatal> {
    let switch = &args[0];
    let port = match args.get(1) {
        Some(text) => port(cx, switch, text).await?,
        None => OfpPort::NONE,
    };
    let queue = match args.get(2) {
        Some(text) => text.parse().unwrap_or(ALL_QUEUES),
        None => ALL_QUEUES,
    };
    let mut vconn = Vconn::open(cx, switch).await?;
    let mut wanted = vec![port];
    if port == OfpPort::NONE && vconn.version() == Version::V10 {
        // 1.0 asks for one port at a time.
        let ports = names::ports(&mut vconn).await?;
        wanted = ports.iter().map(|p| p.port).filter(|p| p.is_ordinary()).collect();
        wanted.sort();
    }
    for port in wanted {
        let request = Message::QueueConfigRequest(QueueRequest { port, queue });
        flows::print_parts(cx, &mut vconn, &request, &Names::none()).await?;
    }
    Ok(())
}

/// What mod-table changes.
enum Setting {
    Config(TableMod, &'static [Version]),
    Name(String),
}

fn vacancy(text: &str) -> Result<Vacancy, Fatal> {
    let percent = |text: &str, what: &str| {
        let n = text.parse::<u8>().ok().filter(|n| *n <= 100);
        n.ok_or_else(|| fatal(format!("Invalid vacancy {what} value \"{text}\"")))
    };
    let (down, up) = match text.split_once(',') {
        _ if text.is_empty() => return Err(fatal("Vacancy down value missing")),
        Some((_, "")) | None => return Err(fatal("Vacancy up value missing")),
        Some(both) => both,
    };
    let (down, up) = (percent(down, "down")?, percent(up, "up")?);
    if down > up {
        return Err(fatal(
            "Invalid vacancy range, vacancy up should be greater than vacancy down (OFPBPC_BAD_VALUE)",
        ));
    }
    Ok(Vacancy { down, up, now: 0 })
}

fn setting(table_id: u8, text: &str) -> Result<Setting, Fatal> {
    const MISS: &[Version] = &[Version::V11, Version::V12];
    const OF14: &[Version] = &[Version::V14, Version::V15];
    let tm = TableMod { table_id, ..TableMod::default() };
    let miss = |miss| Ok(Setting::Config(TableMod { miss, ..tm }, MISS));
    match text {
        "controller" => miss(TableMiss::Controller),
        "continue" => miss(TableMiss::Continue),
        "drop" => miss(TableMiss::Drop),
        "evict" => Ok(Setting::Config(TableMod { eviction: Some(true), ..tm }, OF14)),
        "noevict" => Ok(Setting::Config(TableMod { eviction: Some(false), ..tm }, OF14)),
        "novacancy" => Ok(Setting::Config(TableMod { vacancy: Some(false), ..tm }, OF14)),
        _ => match text.split_once(':').unwrap_or((text, "")) {
            ("vacancy", range) => {
                let table_vacancy = vacancy(range)?;
                Ok(Setting::Config(TableMod { vacancy: Some(true), table_vacancy, ..tm }, OF14))
            }
            ("name", name) => Ok(Setting::Name(name.to_owned())),
            _ => Err(fatal(format!("invalid table_mod setting {text}"))),
        },
    }
}

/// mod-table
pub async fn mod_table(cx: &Context, args: &[String]) -> Result<(), Fatal> {
    let (switch, table, text) = (&args[0], &args[1], &args[2]);
    let table_id = match table.parse::<u8>() {
        _ if table.eq_ignore_ascii_case("all") => 255,
        Ok(id) => id,
        Err(_) => {
            let names = names::to_accept(cx, switch).await?;
            let named = names.tables.number(table).and_then(|n| u8::try_from(n).ok());
            named.ok_or_else(|| fatal(format!("unknown table \"{table}\"")))?
        }
    };
    let setting = setting(table_id, text)?;
    let mut vconn = match &setting {
        Setting::Config(_, versions) if !versions.iter().any(|v| cx.versions().contains(*v)) => {
            let list: Vec<&str> = versions.iter().map(|v| v.name()).collect();
            let list = list.join(", ");
            return Err(fatal(format!("table_mod '{text}' requires one of the OpenFlow versions {list}")));
        }
        _ => Vconn::open(cx, switch).await?,
    };
    match setting {
        Setting::Config(tm, _) => {
            let tm = keep_other_half(&mut vconn, tm).await?;
            order(cx, &mut vconn, Message::TableMod(tm)).await
        }
        Setting::Name(name) => rename(cx, &mut vconn, table_id, name).await,
    }
}

/// TABLE_MOD of 1.4 sets eviction and vacancy at once: what was not named stays as it is.
async fn keep_other_half(vconn: &mut Vconn, mut tm: TableMod) -> Result<TableMod, Fatal> {
    if vconn.version() < Version::V14 {
        return Ok(tm);
    }
    for part in vconn.transact_parts(&Message::TableDescRequest).await? {
        let Ok(Message::TableDescReply(tables)) = part.decode() else { continue };
        if let Some(now) = tables.iter().find(|t| t.table_id == tm.table_id) {
            tm.eviction.get_or_insert(now.eviction);
            if tm.vacancy.is_none() {
                tm.vacancy = Some(now.vacancy.is_some());
                tm.table_vacancy = now.vacancy.map(|v| Vacancy { now: 0, ..v }).unwrap_or_default();
            }
        }
    }
    Ok(tm)
}

/// OFPTFC15_MODIFY.
const MODIFY: u8 = 1;

async fn rename(cx: &Context, vconn: &mut Vconn, table_id: u8, name: String) -> Result<(), Fatal> {
    if vconn.version() < Version::V13 {
        return Err(fatal("table names need OpenFlow 1.3 or later ('-O OpenFlow13')"));
    }
    let mut tables = Vec::new();
    for part in vconn.transact_parts(&Message::TableFeaturesRequest(Vec::new())).await? {
        match part.decode() {
            Ok(Message::TableFeaturesReply(part)) => tables.extend(part),
            _ => return Err(flows::refused(cx, &part)),
        }
    }
    if vconn.version() == Version::V15 {
        // Only there a request may leave the other tables as they are.
        tables.retain(|t| t.table_id == table_id);
    }
    for table in tables.iter_mut().filter(|t| t.table_id == table_id) {
        table.name.clone_from(&name);
        table.command = if vconn.version() == Version::V15 { MODIFY } else { 0 };
    }
    for reply in vconn.transact_parts(&Message::TableFeaturesRequest(tables)).await? {
        if let Ok(Message::Error(_)) = reply.decode() {
            return Err(flows::refused(cx, &reply));
        }
    }
    Ok(())
}

/// dump-table-desc
pub async fn dump_table_desc(cx: &Context, args: &[String]) -> Result<(), Fatal> {
    let mut vconn = Vconn::open(cx, &args[0]).await?;
    if vconn.version() < Version::V14 {
        return Err(fatal("dump-table-desc needs OpenFlow 1.4 or later ('-O OpenFlow14')"));
    }
    let show = names::to_show(cx, &args[0]).await?;
    flows::print_parts(cx, &mut vconn, &Message::TableDescRequest, &show).await
}

/// `{class=…,type=…,len=…}->tun_metadataN`, several with commas between.
fn tlv_maps(text: &str) -> Option<Vec<TlvMap>> {
    let mut maps = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (inside, after) = rest.strip_prefix('{')?.split_once('}')?;
        let mut map = TlvMap::default();
        let mut seen = [false; 3];
        for item in inside.split(',') {
            let (key, value) = item.trim().split_once('=')?;
            let number = match value.strip_prefix("0x") {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => value.parse().ok()?,
            };
            match key {
                "class" => (map.class, seen[0]) = (u16::try_from(number).ok()?, true),
                "type" => (map.kind, seen[1]) = (u8::try_from(number).ok()?, true),
                "len" => (map.len, seen[2]) = (u8::try_from(number).ok()?, true),
                _ => return None,
            }
        }
        let after = after.trim_start().strip_prefix("->tun_metadata")?;
        let end = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
        map.index = after.get(..end)?.parse().ok()?;
        if seen != [true; 3] {
            return None;
        }
        maps.push(map);
        rest = after.get(end..)?.trim_start_matches([',', ' ']);
    }
    (!maps.is_empty()).then_some(maps)
}

async fn change_tlv(cx: &Context, switch: &str, change: TlvTableMod) -> Result<(), Fatal> {
    let mut vconn = Vconn::open(cx, switch).await?;
    order(cx, &mut vconn, Message::TlvTableMod(change)).await
}

/// add-tlv-map
pub async fn add_tlv_map(cx: &Context, args: &[String]) -> Result<(), Fatal> {
    let maps = tlv_maps(&args[1]).ok_or_else(|| fatal("invalid tlv mapping"))?;
    change_tlv(cx, &args[0], TlvTableMod { command: TlvCommand::Add, maps }).await
}

/// del-tlv-map
pub async fn del_tlv_map(cx: &Context, args: &[String]) -> Result<(), Fatal> {
    let change = match args.get(1) {
        None => TlvTableMod { command: TlvCommand::Clear, maps: Vec::new() },
        Some(text) => {
            let maps = tlv_maps(text).ok_or_else(|| fatal("invalid tlv mapping"))?;
            TlvTableMod { command: TlvCommand::Delete, maps }
        }
    };
    change_tlv(cx, &args[0], change).await
}

/// dump-tlv-map
pub async fn dump_tlv_map(cx: &Context, args: &[String]) -> Result<(), Fatal> {
    ask(cx, &args[0], Message::TlvTableRequest).await
}

/// dump-ipfix-bridge
pub async fn dump_ipfix_bridge(cx: &Context, args: &[String]) -> Result<(), Fatal> {
    ask(cx, &args[0], Message::IpfixBridgeRequest).await
}

/// dump-ipfix-flow
pub async fn dump_ipfix_flow(cx: &Context, args: &[String]) -> Result<(), Fatal> {
    ask(cx, &args[0], Message::IpfixFlowRequest).await
}

/// ct-flush-zone
pub async fn ct_flush_zone(cx: &Context, args: &[String]) -> Result<(), Fatal> {
    let zone = args[1].parse().map_err(|_| fatal(format!("invalid zone_id \"{}\"", args[1])))?;
    let mut vconn = Vconn::open(cx, &args[0]).await?;
    order(cx, &mut vconn, Message::CtFlushZone(zone)).await
}

/// ct-flush
pub async fn ct_flush(cx: &Context, args: &[String]) -> Result<(), Fatal> {
    let flush = ct::parse(&args[1..]).map_err(|e| fatal(e.to_string()))?;
    let mut vconn = Vconn::open(cx, &args[0]).await?;
    order(cx, &mut vconn, Message::CtFlush(flush)).await
}
