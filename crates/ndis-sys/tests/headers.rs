//! The assertions of `layout.rs` and `consts.rs`, compared with what a compiler reads out of the real headers.
//!
//! The tables lie beside the repository (`ndis-layouts.tsv`, `ndis-consts.tsv`), not in it; without them there is nothing to
//! compare and the test says so. The assertions themselves hold in every build.

use std::collections::HashMap;
use std::path::PathBuf;

const LAYOUT: &str = include_str!("../src/layout.rs");
const CONSTS: &str = include_str!("../src/consts.rs");

/// C's own name where it differs from the one under which a structure is known.
const C_NAMES: [(&str, &str); 2] = [
    ("IF_COUNTED_STRING", "IF_COUNTED_STRING_LH"),
    ("NDIS_SWITCH_PORT_PROPERTY_PVLAN", "NDIS_SWITCH_PORT_PROPERTY_VLAN"),
];

fn table(name: &str) -> Option<String> {
    let top = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    ["../shared/spec", "../../shared/spec"]
        .iter()
        .find_map(|folder| std::fs::read_to_string(top.join(folder).join(name)).ok())
}

/// Size and alignment of a structure, and offsets of its members.
type Layout<'a> = ((u64, u64), HashMap<&'a str, u64>);

fn layouts(text: &str) -> HashMap<&str, Layout<'_>> {
    let mut all: HashMap<&str, Layout<'_>> = HashMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let cells: Vec<&str> = line.split('\t').collect();
        let [name, _, size, align, member, offset, ..] = cells[..] else { continue };
        let number = |cell: &str| cell.parse().expect("a number");
        let entry = all.entry(name).or_insert_with(|| ((number(size), number(align)), HashMap::new()));
        entry.1.insert(member, number(offset));
    }
    all
}

#[test]
fn asserted_layouts_are_the_headers() {
    let Some(text) = table("ndis-layouts.tsv") else {
        println!("skip: the tables of the real headers are not here");
        return;
    };
    let real = layouts(&text);
    let mut checked = 0;
    let mut current = "";
    for line in LAYOUT.split_once("\nlayouts! {\n").expect("the list").1.lines().map(str::trim) {
        if line == "}" && current.is_empty() {
            break;
        }
        if let Some((name, numbers)) = line.split_once(" (size ") {
            let c_name = C_NAMES.iter().find(|(ours, _)| *ours == name).map_or(name, |(_, theirs)| theirs);
            let Some((size_align, _)) = real.get(c_name) else {
                assert_eq!(name, "GUID", "no structure {c_name} in the headers");
                current = "GUID";
                continue;
            };
            let (size, align) = numbers.split_once(", align ").expect("an alignment");
            assert!(
                size == "_" || size.parse() == Ok(size_align.0),
                "{name}: size {size}, real {size_align:?}"
            );
            assert_eq!(align.trim_end_matches(") {").parse(), Ok(size_align.1), "{name}: alignment");
            current = c_name;
        } else if line.starts_with('}') {
            current = "";
        } else if let Some((member, offset)) = line.trim_end_matches(',').split_once(" = ") {
            let member = member.split_once(" as ").map_or(member, |(_, path)| path.trim_matches('"'));
            if current != "GUID" {
                assert_eq!(real[current].1.get(member).copied(), offset.parse().ok(), "{current}.{member}");
            }
            checked += 1;
        }
    }
    assert!(checked > 200, "only {checked} members compared");
}

/// The data of a request, which C declares without names of their own: asserted behind the list.
const NAMELESS: [&str; 3] = ["REQUEST_QUERY", "REQUEST_SET", "REQUEST_METHOD"];

#[test]
fn every_declaration_has_its_layout_asserted() {
    const DECLARED: [&str; 3] = [
        include_str!("../src/structs.rs"),
        include_str!("../src/netio.rs"),
        include_str!("../src/policies.rs"),
    ];
    let (list, behind) = LAYOUT.rsplit_once("\n}\n").expect("a list, and what is behind it");
    let mut count = 0;
    for declared in DECLARED.iter().flat_map(|text| text.split("\npub struct ").skip(1)) {
        let (name, rest) = declared.split_once(' ').expect("a structure with members");
        count += 1;
        if NAMELESS.contains(&name) {
            assert!(behind.contains(&format!("({name}, ")), "{name}");
            continue;
        }
        let (_, layout) =
            list.split_once(&format!("\n    {name} (size ")).unwrap_or_else(|| panic!("{name}"));
        let layout = layout.split_once("\n    }").expect("an end").0;
        let members = rest.split_once("\n}").expect("an end").0.lines().filter_map(|line| {
            line.trim()
                .strip_prefix("pub ")
                .and_then(|member| member.split_once(':'))
                .map(|(member, _)| member)
        });
        // Gaps have no name in C; what an address has behind its family is read as bytes.
        let named = members.filter(|member| !member.starts_with("_pad") && *member != "Data");
        for member in named {
            let is_there = layout.lines().any(|line| {
                line.trim()
                    .strip_prefix(member)
                    .is_some_and(|rest| rest.starts_with(" = ") || rest.starts_with(" as "))
            });
            assert!(is_there, "{name}.{member} is not asserted");
        }
    }
    assert!(count > 45, "only {count} structures");
}

#[test]
fn declared_constants_are_the_headers() {
    let Some(text) = table("ndis-consts.tsv") else {
        println!("skip: the tables of the real headers are not here");
        return;
    };
    let real: HashMap<&str, &str> = text.lines().filter_map(|line| line.split_once('\t')).collect();
    let mut checked = 0;
    for line in CONSTS.lines().map(str::trim) {
        let Some((name, rest)) = line.split_once(": ") else { continue };
        let Some((_, value)) = rest.trim_end_matches(';').split_once(" = 0x") else { continue };
        let Some(theirs) = real.get(name) else { continue };
        let number = |text: &str| u32::from_str_radix(text.trim().trim_start_matches("0x"), 16);
        assert_eq!(number(value.trim_end_matches("_u32")), number(theirs), "{name}");
        checked += 1;
    }
    assert!(checked > 60, "only {checked} constants compared");
}
