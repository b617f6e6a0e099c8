//! Commands about meters.
//!
//! Where it sits: texts become meter mods by `openflow::text::meter`; meters exist since OpenFlow 1.3.

use openflow::msg::{Message, MeterCommand, MeterConfig, MeterMod};
use openflow::text::meter;
use openflow::{Names, Protocols};

use super::{Context, Fatal, fatal, flows};

async fn change(cx: &Context, switch: &str, change: MeterMod) -> Result<(), Fatal> {
    let mut vconn = flows::open_for(cx, switch, Protocols::OF13_UP).await?;
    let errors = vconn.transact_without_reply(&[Message::MeterMod(change)]).await?;
    match errors.first() {
        Some(error) => Err(flows::refused(cx, error)),
        None => Ok(()),
    }
}

async fn parse_and_change(cx: &Context, args: &[String], command: MeterCommand) -> Result<(), Fatal> {
    let parsed = meter::parse(&args[1], command).map_err(|e| fatal(e.to_string()))?;
    change(cx, &args[0], parsed).await
}

/// add-meter
pub async fn add_meter(cx: &Context, args: &[String]) -> Result<(), Fatal> {
    parse_and_change(cx, args, MeterCommand::Add).await
}

/// mod-meter
pub async fn mod_meter(cx: &Context, args: &[String]) -> Result<(), Fatal> {
    parse_and_change(cx, args, MeterCommand::Modify).await
}

fn number(args: &[String]) -> Result<u32, Fatal> {
    meter::parse_number(args.get(1).map_or("", String::as_str)).map_err(|e| fatal(e.to_string()))
}

/// del-meters
pub async fn del_meters(cx: &Context, args: &[String]) -> Result<(), Fatal> {
    let meter = MeterConfig { meter_id: number(args)?, ..MeterConfig::default() };
    change(cx, &args[0], MeterMod { command: MeterCommand::Delete, meter }).await
}

async fn ask(cx: &Context, switch: &str, request: Message) -> Result<(), Fatal> {
    let mut vconn = flows::open_for(cx, switch, Protocols::OF13_UP).await?;
    flows::print_parts(cx, &mut vconn, &request, &Names::none()).await
}

/// dump-meters
pub async fn dump_meters(cx: &Context, args: &[String]) -> Result<(), Fatal> {
    ask(cx, &args[0], Message::MeterConfigRequest(number(args)?)).await
}

/// meter-stats
pub async fn meter_stats(cx: &Context, args: &[String]) -> Result<(), Fatal> {
    ask(cx, &args[0], Message::MeterStatsRequest(number(args)?)).await
}

/// meter-features
pub async fn meter_features(cx: &Context, args: &[String]) -> Result<(), Fatal> {
    ask(cx, &args[0], Message::MeterFeaturesRequest).await
}
