//! Commands that print what a switch says of itself.
//!
//! Where it sits: one request each; the reply is printed by `openflow::print`.

use openflow::msg::{FragMode, Message, SwitchConfig};
use openflow::print::{self, Verbosity};
use openflow::{Names, OfpPort, Version};

use super::vconn::Vconn;
use super::{Context, Fatal, fatal, flows, names, say};

/// show
pub async fn show(cx: &Context, args: &[String]) -> Result<(), Fatal> {
    let mut vconn = Vconn::open(cx, &args[0]).await?;
    let reply = vconn.transact(&Message::FeaturesRequest).await?;
    say(&print::message(&reply.bytes, &Names::none(), Verbosity(cx.more + 1)));
    if vconn.version() >= Version::V13 {
        let request = Message::PortDescRequest(OfpPort::NONE);
        flows::print_parts(cx, &mut vconn, &request, &Names::none()).await?;
    }
    flows::print_parts(cx, &mut vconn, &Message::GetConfigRequest, &Names::none()).await
}

/// dump-desc
pub async fn dump_desc(cx: &Context, args: &[String]) -> Result<(), Fatal> {
    let mut vconn = Vconn::open(cx, &args[0]).await?;
    flows::print_parts(cx, &mut vconn, &Message::DescRequest, &Names::none()).await
}

/// dump-tables
pub async fn dump_tables(cx: &Context, args: &[String]) -> Result<(), Fatal> {
    let mut vconn = Vconn::open(cx, &args[0]).await?;
    flows::print_parts(cx, &mut vconn, &Message::TableStatsRequest, &Names::none()).await
}

/// dump-table-features
pub async fn dump_table_features(cx: &Context, args: &[String]) -> Result<(), Fatal> {
    let mut vconn = Vconn::open(cx, &args[0]).await?;
    let mut tables = Vec::new();
    for part in vconn.transact_parts(&Message::TableFeaturesRequest(Vec::new())).await? {
        match part.decode() {
            Ok(Message::TableFeaturesReply(part)) => tables.extend(part),
            _ => return Err(flows::refused(cx, &part)),
        }
    }
    say(&print::table_features(&tables, vconn.version().wire(), &Names::none()));
    say("\n");
    Ok(())
}

/// dump-ports
pub async fn dump_ports(cx: &Context, args: &[String]) -> Result<(), Fatal> {
    let port = match args.get(1) {
        None => OfpPort::NONE,
        Some(text) => port_number(cx, &args[0], text).await?,
    };
    let show = names::to_show(cx, &args[0]).await?;
    let mut vconn = Vconn::open(cx, &args[0]).await?;
    flows::print_parts(cx, &mut vconn, &Message::PortStatsRequest(port), &show).await
}

async fn port_number(cx: &Context, switch: &str, text: &str) -> Result<OfpPort, Fatal> {
    if let Some(port) = OfpPort::from_reserved_name(text) {
        return Ok(port);
    }
    if let Ok(n) = text.parse::<u32>() {
        return OfpPort::from_of11(n).map_err(|_| fatal(format!("{switch}: unknown port `{text}'")));
    }
    let names = names::to_accept(cx, switch).await?;
    names.ports.number(text).map(OfpPort).ok_or_else(|| fatal(format!("{switch}: unknown port `{text}'")))
}

/// dump-ports-desc
pub async fn dump_ports_desc(cx: &Context, args: &[String]) -> Result<(), Fatal> {
    let port = match args.get(1) {
        None => OfpPort::NONE,
        Some(text) => port_number(cx, &args[0], text).await?,
    };
    let mut vconn = Vconn::open(cx, &args[0]).await?;
    flows::print_parts(cx, &mut vconn, &Message::PortDescRequest(port), &Names::none()).await
}

/// The configuration of a switch.
pub async fn fetch_config(vconn: &mut Vconn) -> Result<SwitchConfig, Fatal> {
    let reply = vconn.transact(&Message::GetConfigRequest).await?;
    match reply.decode() {
        Ok(Message::GetConfigReply(config)) => Ok(config),
        _ => Err(fatal(format!("{}: bad reply to config request", vconn.name()))),
    }
}

/// get-frags
pub async fn get_frags(cx: &Context, args: &[String]) -> Result<(), Fatal> {
    let mut vconn = Vconn::open(cx, &args[0]).await?;
    let config = fetch_config(&mut vconn).await?;
    say(&format!("{}\n", config.frag.name()));
    Ok(())
}

/// set-frags
pub async fn set_frags(cx: &Context, args: &[String]) -> Result<(), Fatal> {
    let mode = &args[1];
    let frag =
        FragMode::from_name(mode).ok_or_else(|| fatal(format!("{mode}: unknown fragment handling mode")))?;
    let mut vconn = Vconn::open(cx, &args[0]).await?;
    let config = fetch_config(&mut vconn).await?;
    if config.frag == frag {
        return Ok(());
    }
    let errors = vconn.transact_without_reply(&[Message::SetConfig(SwitchConfig { frag, ..config })]).await?;
    if let Some(error) = errors.first() {
        return Err(flows::refused(cx, error));
    }
    if fetch_config(&mut vconn).await?.frag != frag {
        return Err(fatal(format!(
            "{}: setting fragment handling mode failed (this switch probably doesn't support mode \"{}\")",
            args[0],
            frag.name()
        )));
    }
    Ok(())
}
