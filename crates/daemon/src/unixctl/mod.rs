//! Run-time control: commands that `ovs-appctl` sends to a daemon's socket.
//!
//! Where it sits: every part of a daemon registers its commands in `Commands`; `server` takes them from the socket. Handlers run in
//! the daemon's main thread and may keep a `Call` to answer it later.
//!
//! Spec: ovs-appctl(8). Next: `call.rs`.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::RangeBounds;
use std::rc::Rc;

use ovsdb::json::{Json, Object};

mod call;
mod server;

pub use call::{Answer, Call, Format};
pub use server::Server;
pub(crate) use server::busy;

type Handler = Rc<dyn Fn(Call)>;

/// One command.
#[derive(Clone)]
struct Command {
    /// Its arguments, as users see them; `None` hides it from listings.
    usage: Option<String>,
    min: usize,
    max: Option<usize>,
    handler: Handler,
}

/// The commands of a daemon. Clones share them.
#[derive(Clone, Default)]
pub struct Commands(Rc<RefCell<BTreeMap<String, Command>>>);

impl std::fmt::Debug for Commands {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.borrow().keys()).finish()
    }
}

impl Commands {
    /// Adds a command that takes a number of arguments within `arity`. Of two with one name the first stays.
    pub fn register(
        &self,
        name: &str,
        usage: &str,
        arity: impl RangeBounds<usize>,
        handler: impl Fn(Call) + 'static,
    ) {
        self.add(name, Some(usage.to_owned()), arity, Rc::new(handler));
    }

    /// Adds a command that listings do not show.
    pub fn register_hidden(
        &self,
        name: &str,
        arity: impl RangeBounds<usize>,
        handler: impl Fn(Call) + 'static,
    ) {
        self.add(name, None, arity, Rc::new(handler));
    }

    fn add(&self, name: &str, usage: Option<String>, arity: impl RangeBounds<usize>, handler: Handler) {
        use std::ops::Bound;
        let min = match arity.start_bound() {
            Bound::Included(min) => *min,
            Bound::Excluded(min) => min + 1,
            Bound::Unbounded => 0,
        };
        let max = match arity.end_bound() {
            Bound::Included(max) => Some(*max),
            Bound::Excluded(end) => Some(end.saturating_sub(1)),
            Bound::Unbounded => None,
        };
        self.0.borrow_mut().entry(name.to_owned()).or_insert(Command { usage, min, max, handler });
    }

    /// Runs the command that `call` names, or answers why not.
    pub fn dispatch(&self, call: Call) {
        let command = self.0.borrow().get(&call.name).cloned();
        let name = &call.name;
        let Some(command) = command else {
            let text = format!(
                "\"{name}\" is not a valid command (use \"list-commands\" to see a list of valid commands)"
            );
            return call.error(text);
        };
        if call.args.len() < command.min {
            let text = format!("\"{name}\" command requires at least {} arguments", command.min);
            return call.error(text);
        }
        if let Some(max) = command.max.filter(|max| call.args.len() > *max) {
            let text = format!("\"{name}\" command takes at most {max} arguments");
            return call.error(text);
        }
        (command.handler)(call);
    }

    fn list(&self, format: Format) -> Answer {
        let commands = self.0.borrow();
        let shown = commands.iter().filter_map(|(name, c)| c.usage.as_ref().map(|usage| (name, usage)));
        match format {
            Format::Text => {
                let lines = shown.map(|(name, usage)| format!("  {name:<23} {usage}\n"));
                Answer::Text(format!("The available commands are:\n{}", lines.collect::<String>()))
            }
            Format::Json => {
                let members = shown.map(|(name, usage)| (name.clone(), Json::string(usage)));
                Answer::Json(Json::Object(members.collect::<Object>()))
            }
        }
    }

    /// Registers `list-commands`, which is about this very list.
    pub(crate) fn register_list(&self) {
        let commands = Rc::downgrade(&self.0);
        self.register("list-commands", "", 0..=0, move |call| {
            if let Some(commands) = commands.upgrade() {
                let answer = Commands(commands).list(call.format);
                call.answer(answer);
            }
        });
    }
}
