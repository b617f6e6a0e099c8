//! The text of a group: `group_id=1,type=select,selection_method=hash,bucket=weight:5,output:1,bucket=…`.
//!
//! Where it sits: the commands of ovs-ofctl about groups, and files of them.
//!
//! What a text may say depends on the command: only adding and modifying know a type, only changes of buckets know a
//! place among the buckets.
//!
//! Spec: ovs-ofctl(8), "Group Syntax".

use super::{Pairs, TextError, number, text_error, values};
use crate::msg::group::{self, bucket_id};
use crate::msg::{Bucket, GroupCommand, GroupMod, GroupType, SelectionMethod};
use crate::{Names, OfpPort, Protocols, actions, field};

/// What separates buckets.
const BUCKET: &str = "bucket=";

/// Parses a group as the ovs-ofctl command for `command` takes it; returns the protocols able to carry it.
pub fn parse(text: &str, command: GroupCommand, names: &Names) -> Result<(GroupMod, Protocols), TextError> {
    let (fields, buckets) = split(text);
    let mut parser = Parser {
        gm: GroupMod::new(command, group::ANY_GROUP),
        kind: None,
        place: None,
        usable: Protocols::ANY,
        names,
    };
    for (key, value) in Pairs::new(fields) {
        parser.keyword(key, value)?;
    }
    parser.check_fields(command)?;
    let knows_buckets = !matches!(command, GroupCommand::Delete | GroupCommand::RemoveBucket);
    if !buckets.is_empty() && !knows_buckets {
        return Err(TextError::new("bucket is not needed"));
    }
    for text in buckets {
        let next = u32::try_from(parser.gm.buckets.len()).unwrap_or(u32::MAX);
        let bucket = parser.bucket(text, next)?;
        parser.gm.buckets.push(bucket);
    }
    if parser.gm.kind == GroupType::Indirect && parser.gm.buckets.len() > 1 {
        return Err(TextError::new("Indirect groups can have at most one bucket."));
    }
    Ok((parser.gm, parser.usable))
}

/// Parses a line of a file of groups, where a first word `add`, `modify`, `delete`… may choose another command.
pub fn parse_line(
    text: &str,
    command: GroupCommand,
    names: &Names,
) -> Result<(GroupMod, Protocols), TextError> {
    let text = text.trim_start();
    let (word, rest) = text.split_at(text.find([' ', ',', '\t', '\r', '\n']).unwrap_or(text.len()));
    let chosen = match word {
        "add" => GroupCommand::Add,
        "modify" => GroupCommand::Modify,
        "add_or_mod" => GroupCommand::AddOrModify,
        "delete" => GroupCommand::Delete,
        "insert_bucket" | "insert_buckets" => GroupCommand::InsertBucket,
        "remove_bucket" | "remove_buckets" => GroupCommand::RemoveBucket,
        _ => return parse(text, command, names),
    };
    parse(rest, chosen, names)
}

/// The fields before the first bucket, and the text of each bucket.
fn split(text: &str) -> (&str, Vec<&str>) {
    let mut parts = text.split(BUCKET);
    let fields = parts.next().unwrap_or_default();
    (fields, parts.collect())
}

struct Parser<'a> {
    gm: GroupMod,
    kind: Option<GroupType>,
    place: Option<u32>,
    usable: Protocols,
    names: &'a Names,
}

impl Parser<'_> {
    fn keyword(&mut self, key: &str, value: &str) -> Result<(), TextError> {
        use GroupCommand as C;
        let command = self.gm.command;
        match key {
            "command_bucket_id" => {
                if !matches!(command, C::InsertBucket | C::RemoveBucket) {
                    return Err(TextError::new("command bucket id is not needed"));
                }
                self.place = Some(place(value)?);
            }
            "group_id" => {
                self.gm.group_id = match value {
                    "all" => group::ALL_GROUPS,
                    _ => number::u32(value)?,
                };
                if self.gm.group_id != group::ALL_GROUPS && self.gm.group_id > group::MAX_GROUP {
                    return Err(text_error!("invalid group id {}", self.gm.group_id));
                }
            }
            "type" => {
                if !matches!(command, C::Add | C::Modify | C::AddOrModify) {
                    return Err(TextError::new("type is not needed"));
                }
                self.kind = Some(kind(value).ok_or_else(|| text_error!("invalid group type {value}"))?);
            }
            "selection_method" | "selection_method_param" | "fields"
                if matches!(command, C::Add | C::Modify | C::AddOrModify) =>
            {
                self.selection(key, value)?;
            }
            "selection_method" | "selection_method_param" | "fields" => {
                return Err(text_error!("{key} is not needed"));
            }
            _ => return Err(text_error!("unknown keyword {key}")),
        }
        Ok(())
    }

    fn selection(&mut self, key: &str, value: &str) -> Result<(), TextError> {
        let selection = &mut self.gm.selection;
        match key {
            "selection_method" if value.len() > 15 => {
                return Err(TextError::new("selection method is longer than 15 bytes long"));
            }
            "selection_method" => selection.name = value.to_owned(),
            "selection_method_param" => selection.param = number::u64(value)?,
            _ => {
                for (name, mask) in Pairs::new(value) {
                    hashed_field(selection, name, mask, self.names)?;
                }
                selection.fields.sort_by_key(|(f, _)| *f);
            }
        }
        Ok(())
    }

    fn check_fields(&mut self, command: GroupCommand) -> Result<(), TextError> {
        use GroupCommand as C;
        let gm = &mut self.gm;
        if gm.group_id == group::ANY_GROUP {
            if command != C::Delete {
                return Err(TextError::new("must specify a group_id"));
            }
            gm.group_id = group::ALL_GROUPS;
        }
        gm.command_bucket_id = match (command, self.place) {
            (C::InsertBucket, None) => return Err(TextError::new("must specify a command bucket id")),
            (_, place) => place.unwrap_or(bucket_id::ALL),
        };
        if matches!(command, C::Add | C::Modify | C::AddOrModify) {
            gm.kind = self.kind.ok_or_else(|| TextError::new("must specify a type"))?;
        }
        let selection = &gm.selection;
        if selection.param != 0 && selection.name.is_empty() {
            return Err(TextError::new("selection_method_param is only allowed with \"selection_method\""));
        }
        if !selection.fields.is_empty() && selection.name != "hash" {
            return Err(TextError::new("fields may only be specified with \"selection_method=hash\""));
        }
        Ok(())
    }

    fn bucket(&mut self, text: &str, bucket_id: u32) -> Result<Bucket, TextError> {
        let kind = self.kind.unwrap_or(GroupType::All);
        let mut bucket = Bucket { bucket_id, ..Bucket::new(kind) };
        let mut list = String::new();
        let mut weighed = false;
        let mut pairs = Pairs::new(text);
        loop {
            let before = pairs.rest();
            let Some((key, value)) = pairs.next() else { break };
            let whole = &before[..before.len() - pairs.rest().len()];
            match key.to_ascii_lowercase().as_str() {
                "weight" => {
                    bucket.weight = number::u16(value, "weight")?;
                    weighed = bucket.weight != 0;
                }
                "watch_port" => {
                    bucket.watch_port = values::port(value, self.names)
                        .ok_or_else(|| text_error!("{value}: invalid watch_port"))?;
                }
                "watch_group" => {
                    bucket.watch_group = number::u32(value)?;
                    if bucket.watch_group > group::MAX_GROUP {
                        return Err(text_error!("invalid watch_group id {}", bucket.watch_group));
                    }
                }
                "bucket_id" => {
                    bucket.bucket_id = number::u32(value)?;
                    if bucket.bucket_id > bucket_id::MAX {
                        return Err(text_error!("invalid bucket_id id {}", bucket.bucket_id));
                    }
                }
                "action" | "actions" => list.push_str(&format!("{value},")),
                _ => list.push_str(&format!("{},", whole.trim_matches([',', ' ', '\t', '\r', '\n']))),
            }
        }
        if list.is_empty() {
            return Err(TextError::new("bucket must specify actions"));
        }
        let (actions, usable) = actions::parse_plain(&list, self.names)?;
        self.usable &= usable;
        bucket.actions = actions;
        self.check_bucket(&bucket, weighed)?;
        Ok(bucket)
    }

    fn check_bucket(&self, bucket: &Bucket, weighed: bool) -> Result<(), TextError> {
        let watches = bucket.watch_port != OfpPort::NONE || bucket.watch_group != group::ANY_GROUP;
        match self.kind {
            Some(GroupType::FastFailover) if !watches => {
                Err(TextError::new("fast failover bucket requires watch_port or watch_group"))
            }
            Some(kind) if kind != GroupType::Select && weighed => {
                Err(TextError::new("Only select groups can have bucket weights."))
            }
            _ => Ok(()),
        }
    }
}

fn kind(name: &str) -> Option<GroupType> {
    match name {
        "fast_failover" => Some(GroupType::FastFailover),
        _ => GroupType::NAMES.iter().find(|(_, n)| *n == name).map(|(kind, _)| *kind),
    }
}

/// A place among buckets.
fn place(text: &str) -> Result<u32, TextError> {
    match text {
        "all" => Ok(bucket_id::ALL),
        "first" => Ok(bucket_id::FIRST),
        "last" => Ok(bucket_id::LAST),
        _ => {
            let id = number::u32(text)?;
            if id > bucket_id::MAX && id < bucket_id::FIRST {
                return Err(text_error!("invalid command bucket id {id}"));
            }
            Ok(id)
        }
    }
}

fn hashed_field(
    selection: &mut SelectionMethod,
    name: &str,
    mask: &str,
    names: &Names,
) -> Result<(), TextError> {
    let f = values::field_by_name(name).ok_or_else(|| text_error!("{mask}: unknown field {name}"))?;
    if selection.fields.iter().any(|(other, _)| *other == f) {
        return Err(text_error!("{name}: duplicate field"));
    }
    let bits = if mask.is_empty() { field::full_mask(f) } else { values::parse(f.def(), mask, names)?.0 };
    selection.fields.push((f, bits));
    Ok(())
}
