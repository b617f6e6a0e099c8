//! The schema that is shipped is the one of the release it names: its checksum covers every byte but the checksum's own line.

use ovsdb::DbSchema;

/// POSIX cksum.
fn cksum(data: &[u8]) -> u32 {
    let length = data.len().to_le_bytes();
    let used = length.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let feed = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte) << 24, |crc, _| {
            if crc & 0x8000_0000 != 0 { crc << 1 ^ 0x04c1_1db7 } else { crc << 1 }
        })
    };
    !data.iter().chain(&length[..used]).fold(0, feed)
}

#[test]
fn schema_text_has_its_checksum() {
    let text = include_str!("../../schema/vswitch.ovsschema");
    let schema = DbSchema::from_json(&ovsdb::json::parse(text.as_bytes()).unwrap()).unwrap();
    let covered: String = text.split_inclusive('\n').filter(|line| !line.contains("cksum")).collect();
    assert_eq!(format!("{} {}", cksum(covered.as_bytes()), covered.len()), schema.cksum);
    assert_eq!((schema.version.as_str(), schema.cksum.as_str()), ("8.8.0", "2823623553 27869"));
    // What is read is written back the same.
    assert_eq!(DbSchema::from_json(&schema.to_json()).unwrap(), schema);
}
