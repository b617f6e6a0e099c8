//! NXM and OXM entries as text: `NXM_OF_IP_SRC_W(0a000000/ff000000)`, separated by commas.
//!
//! Where it sits: parse-nx-match and parse-oxm. Names and numbers are the registry's.

use flow::Field;
use openflow::PutBytes;
use openflow::matches::oxm;

/// The entries of a line, as bytes. An error has the words for it.
pub fn parse(text: &str) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    for item in text.split([',', ' ', '\t']).filter(|i| !i.is_empty() && *i != "<any>") {
        let (name, value) = item
            .strip_suffix(')')
            .and_then(|item| item.split_once('('))
            .ok_or_else(|| format!("{item}: missing ( at offset"))?;
        let (value, mask) = match value.split_once('/') {
            Some((value, mask)) => (value, Some(mask)),
            None => (value, None),
        };
        let plain = name.strip_suffix("_W").filter(|_| mask.is_some()).unwrap_or(name);
        let (header, experimenter) = header(plain).ok_or_else(|| format!("unknown field `{name}'"))?;
        let value = digits(value).ok_or_else(|| format!("{item}: hex digits expected"))?;
        let mask = mask.map(|m| digits(m).ok_or_else(|| format!("{item}: hex digits expected")));
        let mask = mask.transpose()?;
        put(header, experimenter, &value, mask.as_deref(), &mut out);
    }
    Ok(out)
}

fn put(header: u32, experimenter: u32, value: &[u8], mask: Option<&[u8]>, out: &mut Vec<u8>) {
    let id_len = if experimenter != 0 { 4 } else { 0 };
    let len = id_len + value.len() + mask.map_or(0, <[u8]>::len);
    let has_mask = if mask.is_some() { 0x100 } else { 0 };
    out.put_u32(header & !0x1ff | has_mask | len as u32 & 0xff);
    if experimenter != 0 {
        out.put_u32(experimenter);
    }
    out.extend(value);
    out.extend(mask.unwrap_or_default());
}

fn header(name: &str) -> Option<(u32, u32)> {
    let headers = Field::all().flat_map(|def| def.headers);
    headers.filter(|h| h.name == name).map(|h| (h.header, h.experimenter)).next()
}

fn digits(text: &str) -> Option<Vec<u8>> {
    let (bytes, rest) = super::packets::hex_bytes(text);
    rest.is_empty().then_some(bytes)
}

/// The text of a list of entries; entries that are not known end it.
pub fn format(mut bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "<any>".to_owned();
    }
    let mut items = Vec::new();
    while let Ok((entry, len)) = oxm::pull_entry(bytes) {
        let raw = wire::bytes::u32_at(bytes, 0).unwrap_or(0) & !0x1ff;
        let def = entry.field.def();
        let name = def.headers.iter().find(|h| h.header & !0x1ff == raw).map_or(def.name, |h| h.name);
        let width = usize::from(def.bytes) * 2;
        items.push(if entry.masked {
            format!("{name}_W({:0width$x}/{:0width$x})", entry.value, entry.mask)
        } else {
            format!("{name}({:0width$x})", entry.value)
        });
        bytes = bytes.get(len..).unwrap_or_default();
    }
    items.join(", ")
}
