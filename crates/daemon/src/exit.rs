//! The `exit` command: asks a daemon to end and is answered when it is about to.
//!
//! Where it sits: a daemon registers it and awaits `requested` beside its work.

use std::cell::RefCell;
use std::rc::Rc;

use tokio::sync::Notify;

use crate::unixctl::{Call, Commands};

/// The state of the `exit` command. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Exit(Rc<State>);

#[derive(Debug, Default)]
struct State {
    waiting: RefCell<Vec<Call>>,
    cleanup: RefCell<bool>,
    asked: Notify,
}

impl Exit {
    /// Registers a plain `exit`.
    pub fn register(commands: &Commands) -> Exit {
        Exit::register_as(commands, "", 0)
    }

    /// Registers `exit [--cleanup]`.
    pub fn register_with_cleanup(commands: &Commands) -> Exit {
        Exit::register_as(commands, "[--cleanup]", 1)
    }

    fn register_as(commands: &Commands, usage: &str, max: usize) -> Exit {
        let exit = Exit::default();
        let state = Rc::downgrade(&exit.0);
        commands.register("exit", usage, 0..=max, move |call| {
            let Some(state) = state.upgrade() else { return };
            // It sticks once any client has asked for it.
            if call.arg(0) == Some("--cleanup") {
                *state.cleanup.borrow_mut() = true;
            }
            state.waiting.borrow_mut().push(call);
            state.asked.notify_one();
        });
        exit
    }

    /// Resolves when some client has asked. Only one task may wait.
    pub async fn requested(&self) {
        while self.0.waiting.borrow().is_empty() {
            self.0.asked.notified().await;
        }
    }

    /// Whether any client has asked that configuration in the system be removed.
    pub fn cleanup(&self) -> bool {
        *self.0.cleanup.borrow()
    }

    /// Answers every client that asked.
    pub fn reply(&self) {
        for call in self.0.waiting.borrow_mut().drain(..) {
            call.reply("");
        }
    }
}
