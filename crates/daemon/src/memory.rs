//! `memory/show`: what a daemon keeps, in numbers of things.
//!
//! Where it sits: each part of a daemon adds a reporter; the command and a line in the log ten seconds after the start sum them up.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::program;
use crate::unixctl::Commands;

/// Numbers of things by name; several reporters add up.
pub type Usage = BTreeMap<String, u64>;

type Reporter = Box<dyn Fn(&mut Usage)>;

/// The reporters of a daemon. Clones share them.
#[derive(Clone, Default)]
pub struct Memory(Rc<RefCell<Vec<Reporter>>>);

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Memory").field("reporters", &self.0.borrow().len()).finish()
    }
}

impl Memory {
    /// Adds a reporter, which adds its numbers to those of others.
    pub fn add(&self, reporter: impl Fn(&mut Usage) + 'static) {
        self.0.borrow_mut().push(Box::new(reporter));
    }

    /// All numbers, as `name:number` in alphabetical order.
    pub fn show(&self) -> String {
        let mut usage = Usage::new();
        for reporter in self.0.borrow().iter() {
            reporter(&mut usage);
        }
        let parts: Vec<String> = usage.iter().map(|(name, number)| format!("{name}:{number}")).collect();
        parts.join(" ")
    }

    pub(crate) fn register(&self, commands: &Commands) {
        let memory = Rc::downgrade(&self.0);
        commands.register("memory/show", "", 0..=0, move |call| {
            if let Some(memory) = memory.upgrade() {
                call.reply(format!("{}\n", Memory(memory).show()));
            }
        });
    }

    /// Writes what the process uses to the log.
    pub(crate) fn log(&self) {
        let peak = peak_kb();
        let age = program::age_ms() as f64 / 1000.0;
        log::info!(target: "memory", "{peak} kB peak resident set size after {age:.1} seconds");
        let shown = self.show();
        if !shown.is_empty() {
            log::info!(target: "memory", "{shown}");
        }
    }
}

/// The most memory this process had, in kB.
fn peak_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}
