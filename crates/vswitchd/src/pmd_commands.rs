//! The `dpif-netdev/…` and `odp-execute/…` commands: poll-mode threads, their queues, and implementations to choose from.
//!
//! Where it sits: registered with run-time control; those about threads are `dpif-netdev`'s.
//!
//! Open vSwitch has several implementations of some steps and lets the user choose; this switch has one of each. The
//! commands know the names of those that Open vSwitch always has, so that scripts find them, and remember the choice.
//!
//! Spec: ovs-vswitchd(8), DPIF-NETDEV COMMANDS; the answers of Open vSwitch to every kind of mistake.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::rc::Rc;

use daemon::unixctl::{Call, Commands};
use dpif_netdev::COMMANDS;

use crate::engine::Shared;

type Reply = Result<String, String>;

/// What the user chose.
struct Choices {
    /// Priorities of the lookup functions.
    lookup: [(&'static str, u8); 2],
    /// The parser of all threads, and of those on some cores.
    parser: &'static str,
    parser_of: BTreeMap<u32, &'static str>,
    action: &'static str,
}

const PARSERS: [&str; 3] = ["autovalidator", "scalar", "study"];
const ACTIONS: [&str; 2] = ["scalar", "autovalidator"];

impl Default for Choices {
    fn default() -> Choices {
        Choices {
            lookup: [("autovalidator", 0), ("generic", 1)],
            parser: "scalar",
            parser_of: BTreeMap::new(),
            action: "scalar",
        }
    }
}

/// Registers everything.
pub(crate) fn register(commands: &Commands, engine: &Shared) {
    register_threads(commands, engine);
    let choices: Rc<RefCell<Choices>> = Rc::default();
    let add = |name: &str, usage: &str, (min, max): (usize, usize), run: Choose| {
        let (engine, choices) = (engine.clone(), choices.clone());
        commands.register(name, usage, min..=max, move |call: Call| {
            let args: Vec<&str> = call.args.iter().map(String::as_str).collect();
            let answer = run(&engine, &mut choices.borrow_mut(), &args);
            answer_to(call, answer);
        });
    };
    add("dpif-netdev/subtable-lookup-info-get", "", (0, 0), lookup_get);
    add("dpif-netdev/subtable-lookup-prio-set", "[lookup_func] [prio]", (2, 2), lookup_set);
    let (of_hidden, choices_of_hidden) = (engine.clone(), choices.clone());
    commands.register_hidden("dpif-netdev/subtable-lookup-prio-get", 0..=0, move |call: Call| {
        let answer = lookup_get(&of_hidden, &mut choices_of_hidden.borrow_mut(), &[]);
        answer_to(call, answer);
    });
    let usage = "[-pmd core] miniflow_implementation_name [study_pkt_cnt]";
    add("dpif-netdev/miniflow-parser-get", "", (0, 0), parser_get);
    add("dpif-netdev/miniflow-parser-set", usage, (1, 5), parser_set);
    add("dpif-netdev/dpif-impl-get", "", (0, 0), impl_get);
    add("dpif-netdev/dpif-impl-set", "dpif_implementation_name", (1, 1), impl_set);
    add("odp-execute/action-impl-show", "", (0, 0), action_show);
    add("odp-execute/action-impl-set", "name", (1, 1), action_set);
}

type Choose = fn(&Shared, &mut Choices, &[&str]) -> Reply;

fn answer_to(call: Call, answer: Reply) {
    match answer {
        Ok(text) => call.reply(text),
        Err(text) => call.error(text),
    }
}

fn register_threads(commands: &Commands, engine: &Shared) {
    for command in &COMMANDS {
        let engine = engine.clone();
        commands.register(command.name, command.usage, 0..=command.max, move |call: Call| {
            let args: Vec<&str> = call.args.iter().map(String::as_str).collect();
            let engine = engine.borrow();
            let datapaths = engine.planes().filter_map(|plane| plane.host.in_process()).map(|host| &**host);
            let answer = command.answer(&datapaths.collect::<Vec<_>>(), &args);
            answer_to(call, answer);
        });
    }
}

/// The cores with poll-mode threads, of all datapaths.
fn cores(engine: &Shared) -> Vec<u32> {
    let engine = engine.borrow();
    engine.planes().filter_map(|plane| plane.host.in_process()).flat_map(|host| host.pmd_cores()).collect()
}

fn lookup_get(engine: &Shared, choices: &mut Choices, _: &[&str]) -> Reply {
    let masks: u64 = engine.borrow().planes().map(|plane| plane.dpif.stats().masks).sum();
    let best = choices.lookup.iter().max_by_key(|(_, priority)| *priority).map(|(name, _)| *name);
    let mut out = "Available dpcls implementations:\n".to_owned();
    for (name, priority) in choices.lookup {
        let uses = if Some(name) == best { masks } else { 0 };
        // Writing to a string cannot fail.
        let _ = writeln!(out, "  {name} (Use count: {uses}, Priority: {priority})");
    }
    Ok(out)
}

fn lookup_set(_: &Shared, choices: &mut Choices, args: &[&str]) -> Reply {
    let (name, priority) = (args[0], args[1]);
    // What is no number counts as zero.
    let digits: String = priority.chars().take_while(char::is_ascii_digit).collect();
    let Ok(priority) = (if digits.is_empty() { Ok(0) } else { digits.parse::<u8>() }) else {
        return Err("error converting priority, use integer in range 0-255\n".to_owned());
    };
    let Some(chosen) = choices.lookup.iter_mut().find(|(known, _)| *known == name) else {
        log::warn!(target: "dpif_netdev_lookup", "Subtable function '{name}' not found, failed to set priority");
        return Err("error, subtable lookup function not found\n".to_owned());
    };
    chosen.1 = priority;
    log::info!(target: "dpif_netdev_lookup", "Subtable function '{name}' set priority to {priority}");
    let text = "Lookup priority change affected 0 dpcls ports and 0 subtables.";
    log::info!(target: "dpif_netdev", "{text}");
    Ok(format!("{text}\n"))
}

fn parser_get(engine: &Shared, choices: &mut Choices, _: &[&str]) -> Reply {
    if engine.borrow().planes().next().is_none() {
        return Ok(String::new());
    }
    let cores = cores(engine);
    let mut out = "Available MFEX implementations:\n".to_owned();
    for name in PARSERS {
        let uses = |core: &u32| choices.parser_of.get(core).copied().unwrap_or(choices.parser) == name;
        let mut used: Vec<String> = cores.iter().filter(|core| uses(core)).map(u32::to_string).collect();
        if used.is_empty() {
            used.push("none".to_owned());
        }
        let _ = writeln!(out, "  {name} (available: True pmds: {})", used.join(","));
    }
    Ok(out)
}

fn parser_set(engine: &Shared, choices: &mut Choices, args: &[&str]) -> Reply {
    let fail = |text: String| {
        log::error!(target: "dpif_netdev", "{text}");
        Err(format!("{text}\n"))
    };
    let mut args = args;
    let mut core = None;
    if let ["-pmd", rest @ ..] = args {
        let [number, rest @ ..] = rest else {
            return fail("Error: -pmd option requires a thread id argument.".to_owned());
        };
        let Ok(number) = number.parse::<u32>() else {
            return fail(format!(
                "Error: miniflow extract parser not changed, PMD thread passed is not valid: '{number}'. Pass a valid \
                 pmd thread ID."
            ));
        };
        (core, args) = (Some(number), rest);
    }
    let [name, args @ ..] = args else {
        let text = "Error: no miniflow extract name provided. Output of miniflow-parser-get shows implementation list.";
        return fail(text.to_owned());
    };
    let Some(name) = PARSERS.iter().find(|known| *known == name) else {
        return fail(format!("Error: unknown miniflow extract implementation {name}."));
    };
    let mut study = 128;
    match args {
        [] => {}
        [count] if *name == "study" => match count.parse::<u32>() {
            Ok(count) if count != 0 => study = count,
            _ => return fail(format!("Error: invalid study_pkt_cnt value: {count}.")),
        },
        [_, other, ..] if *name == "study" => return fail(format!("Error: unknown argument {other}.")),
        [other, ..] => return fail(format!("Error: unknown argument {other}.")),
    }
    match core {
        None => {
            choices.parser = name;
            choices.parser_of.clear();
        }
        Some(core) if cores(engine).contains(&core) => {
            choices.parser_of.insert(core, name);
        }
        Some(core) => {
            return fail(format!(
                "Error: miniflow extract parser not changed, PMD thread {core} not in use, pass a valid pmd thread ID."
            ));
        }
    }
    let on = core.map(|core| format!(", on pmd thread {core}")).unwrap_or_default();
    let studying = if *name == "study" { format!(", studying {study} packets") } else { String::new() };
    let text = format!("Miniflow extract implementation set to {name}{on}{studying}.");
    log::info!(target: "dpif_netdev", "{text}");
    Ok(format!("{text}\n"))
}

fn impl_get(engine: &Shared, _: &mut Choices, _: &[&str]) -> Reply {
    if engine.borrow().planes().next().is_none() {
        return Ok(String::new());
    }
    let cores: Vec<String> = cores(engine).iter().map(u32::to_string).collect();
    let cores = if cores.is_empty() { "none".to_owned() } else { cores.join(",") };
    Ok(format!("Available DPIF implementations:\n  dpif_scalar (pmds: {cores})\n"))
}

fn impl_set(_: &Shared, _: &mut Choices, args: &[&str]) -> Reply {
    match args[0] {
        "dpif_scalar" => Ok("DPIF implementation set to dpif_scalar.\n".to_owned()),
        other => Err(format!("DPIF implementation not available: Unknown DPIF implementation {other}.\n")),
    }
}

fn action_show(_: &Shared, choices: &mut Choices, _: &[&str]) -> Reply {
    let mut out = "Available Actions implementations:\n".to_owned();
    for name in ACTIONS {
        let active = if choices.action == name { "Yes" } else { "No" };
        let _ = writeln!(out, "  {name} (available: Yes, active: {active})");
    }
    Ok(out)
}

fn action_set(_: &Shared, choices: &mut Choices, args: &[&str]) -> Reply {
    let Some(name) = ACTIONS.iter().find(|known| **known == args[0]) else {
        return Err(format!("Error: unknown action implementation, {}, specified!\n", args[0]));
    };
    choices.action = name;
    Ok(format!("Action implementation set to {name}.\n"))
}
