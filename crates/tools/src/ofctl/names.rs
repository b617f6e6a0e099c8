//! Names of a switch's ports and tables, asked of the switch itself.
//!
//! Where it sits: commands whose texts may name ports, and those that print names (`--names`).

use openflow::msg::{Message, PortDesc};
use openflow::{Names, OfpPort, Version};

use super::vconn::Vconn;
use super::{Context, Fatal};

/// The ports of a switch.
pub async fn ports(vconn: &mut Vconn) -> Result<Vec<PortDesc>, Fatal> {
    let mut ports = Vec::new();
    let request = match vconn.version() {
        Version::V10 | Version::V11 | Version::V12 => Message::FeaturesRequest,
        _ => Message::PortDescRequest(OfpPort::NONE),
    };
    for part in vconn.transact_parts(&request).await? {
        match part.decode() {
            Ok(Message::FeaturesReply(features)) => ports.extend(features.ports),
            Ok(Message::PortDescReply(descs)) => ports.extend(descs),
            _ => {}
        }
    }
    Ok(ports)
}

/// The names that texts about the switch `name` may use.
pub async fn to_accept(cx: &Context, name: &str) -> Result<Names, Fatal> {
    let mut vconn = Vconn::open(cx, name).await?;
    let mut names = Names::none();
    for port in ports(&mut vconn).await? {
        names.ports.insert(port.port.0, &port.name);
    }
    if vconn.version() >= Version::V13 {
        for part in vconn.transact_parts(&Message::TableFeaturesRequest(Vec::new())).await? {
            if let Ok(Message::TableFeaturesReply(tables)) = part.decode() {
                for table in tables.iter().filter(|t| !t.name.is_empty()) {
                    names.tables.insert(u32::from(table.table_id), &table.name);
                }
            }
        }
    } else {
        for part in vconn.transact_parts(&Message::TableStatsRequest).await? {
            if let Ok(Message::TableStatsReply(tables)) = part.decode() {
                for table in tables.iter().filter(|t| !t.name.is_empty()) {
                    names.tables.insert(u32::from(table.table_id), &table.name);
                }
            }
        }
    }
    Ok(names)
}

/// The names to print, if names are wanted.
pub async fn to_show(cx: &Context, name: &str) -> Result<Names, Fatal> {
    if cx.show_names() { to_accept(cx, name).await } else { Ok(Names::none()) }
}
