//! `dpctl/add-if`, `set-if` and `del-if`: a datapath's ports changed by hand.
//!
//! Where it sits: beside the other `dpctl` commands. Each of several ports is tried, whatever becomes of those before it.
//!
//! The switch owns its datapath: the engine soon takes away what no row wants, and misses what is gone.
//!
//! Spec: ovs-dpctl(8).

use std::collections::BTreeMap;

use daemon::unixctl::{Call, Commands};
use dpif::{Dpif, DpifError, Port};
use packet::OdpPort;

use super::{Datapaths, INVALID, failed};

type Result<T> = std::result::Result<T, String>;

/// Why a command did not do what it was asked for a port.
pub(super) enum Failure {
    /// It fails.
    Fails(String),
    /// It says so, and succeeds: `set-if` of what is no name.
    Tells(String),
}

impl From<String> for Failure {
    fn from(text: String) -> Failure {
        Failure::Fails(text)
    }
}

type Done = std::result::Result<(), Failure>;

/// Registers the commands.
pub(super) fn register(commands: &Commands, datapaths: &Datapaths) {
    let add = |name: &str, run: fn(&dyn Dpif, &str) -> Done| {
        let datapaths = datapaths.clone();
        commands.register(name, "dp iface...", 2..=usize::MAX, move |call: Call| {
            match each(&datapaths, &call.args, run) {
                Ok(text) => call.reply(text),
                Err(text) => call.error(text),
            }
        });
    };
    add("dpctl/add-if", |dpif, text| add_port(dpif, text).map_err(Failure::Fails));
    add("dpctl/set-if", set_port);
    add("dpctl/del-if", |dpif, text| del_port(dpif, text).map_err(Failure::Fails));
}

/// Runs a command for each of its ports; fails with every failure's line.
fn each(datapaths: &Datapaths, args: &[String], run: fn(&dyn Dpif, &str) -> Done) -> Result<String> {
    let Some((name, ports)) = args.split_first() else { return Err(failed("opening datapath", INVALID)) };
    let dpif = datapaths.open(name).map_err(|why| failed("opening datapath", why))?;
    let told = each_of(&*dpif, ports, run);
    datapaths.note_ports_changed();
    told
}

/// The same in a datapath that is open.
pub(super) fn each_of(dpif: &dyn Dpif, ports: &[String], run: fn(&dyn Dpif, &str) -> Done) -> Result<String> {
    let (mut told, mut fails) = (String::new(), false);
    for failure in ports.iter().filter_map(|port| run(dpif, port).err()) {
        let (text, one_fails) = match failure {
            Failure::Fails(text) => (text, true),
            Failure::Tells(text) => (text, false),
        };
        told += &text;
        fails |= one_fails;
    }
    if fails { Err(told) } else { Ok(told) }
}

/// `NETDEV[,OPTION]...`.
struct Wanted<'a> {
    name: &'a str,
    kind: Option<&'a str>,
    number: Option<u32>,
    options: BTreeMap<&'a str, &'a str>,
}

impl<'a> Wanted<'a> {
    fn parse(text: &'a str) -> Result<Self> {
        let mut words = text.split(',').filter(|word| !word.is_empty());
        let no_name = || format!("ovs-vswitchd: {text} is not a valid network device name\n");
        let name = words.next().ok_or_else(no_name)?;
        let mut wanted = Wanted { name, kind: None, number: None, options: BTreeMap::new() };
        for word in words {
            match word.split_once('=').unwrap_or((word, "")) {
                ("type", kind) => wanted.kind = Some(kind),
                ("port_no", number) => wanted.number = Some(leading_number(number)),
                (key, value) => drop(wanted.options.insert(key, value)),
            }
        }
        Ok(wanted)
    }
}

/// The number that a text begins with, or zero, as C's `atoi` reads it; -1 is no port's number.
fn leading_number(text: &str) -> u32 {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    let value =
        digits[..end].bytes().fold(0u32, |n, digit| n.wrapping_mul(10).wrapping_add(u32::from(digit - b'0')));
    if digits.len() == text.len() { value } else { value.wrapping_neg() }
}

pub(super) fn add_port(dpif: &dyn Dpif, text: &str) -> Result<()> {
    let Wanted { name, kind, number, options } = Wanted::parse(text)?;
    let kind = kind.filter(|kind| !kind.is_empty()).unwrap_or("system");
    let not_opened = |why: &str| failed(&format!("{name}: failed to open network device"), why);
    // A name is of one device, whose type stays.
    if dpif.port_by_name(name).is_some_and(|port| port.kind != kind) {
        return Err(not_opened(&DpifError::Exists.to_string()));
    }
    let number = number.map(OdpPort).filter(|number| *number != OdpPort::NONE);
    let number = dpif.add_port(name, kind, number).map_err(|e| match e {
        DpifError::Device { text, .. } => not_opened(&text),
        e => failed(&format!("adding {name} to {} failed", dpif.name()), &e.to_string()),
    })?;
    configure(dpif, name, number, &BTreeMap::new(), &options)
}

fn set_port(dpif: &dyn Dpif, text: &str) -> Done {
    let Wanted { name, kind, number, options } = Wanted::parse(text).map_err(Failure::Tells)?;
    let absent = || {
        let what = format!("{name}: failed to query port in {}", dpif.name());
        failed(&what, &DpifError::NoPort.to_string())
    };
    let Port { number: own, kind: of, config, .. } = dpif.port_by_name(name).ok_or_else(absent)?;
    let stays = |what: &str, from: &str, to: &str| {
        format!("ovs-vswitchd: {name}: can't change {what} from {from} to {to}\n")
    };
    // What does not fit is told in the order in which it was asked.
    let other_kind = kind.filter(|kind| *kind != of).map(|kind| stays("type", &of, kind));
    let other_number = number.filter(|number| *number != own.0).map(|number| {
        let signed = i32::from_ne_bytes(number.to_ne_bytes());
        stays("port number", &own.to_string(), &signed.to_string())
    });
    let type_first = text.find(",type=") < text.find(",port_no=");
    let (first, second) = if type_first { (other_kind, other_number) } else { (other_number, other_kind) };
    if let Some(refusal) = first.or(second) {
        return Err(refusal.into());
    }
    Ok(configure(dpif, name, own, &config.into_iter().collect(), &options)?)
}

/// Gives a device its options: those that it has, with `changes`; one without a value goes.
fn configure(
    dpif: &dyn Dpif,
    name: &str,
    number: OdpPort,
    before: &BTreeMap<String, String>,
    changes: &BTreeMap<&str, &str>,
) -> Result<()> {
    if changes.is_empty() {
        return Ok(());
    }
    let mut options = before.clone();
    for (key, value) in changes {
        match *value {
            "" => drop(options.remove(*key)),
            value => drop(options.insert((*key).to_owned(), value.to_owned())),
        }
    }
    let refused =
        |e: DpifError| failed(&format!("{name}: failed to configure network device"), &e.to_string());
    dpif.set_port_options(number, &options).map_err(refused)
}

fn del_port(dpif: &dyn Dpif, text: &str) -> Result<()> {
    let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let number = match text.parse().ok().filter(|_| is_number) {
        Some(number) => OdpPort(number),
        None => match dpif.port_by_name(text) {
            Some(port) => port.number,
            None => return Err(format!("ovs-vswitchd: no port named {text}\n")),
        },
    };
    // The number that stands for none is no number to ask for.
    let deleted = if number == OdpPort::NONE { Err(DpifError::Local) } else { dpif.del_port(number) };
    deleted.map_err(|e| failed(&format!("deleting port {text} from {} failed", dpif.name()), &e.to_string()))
}
