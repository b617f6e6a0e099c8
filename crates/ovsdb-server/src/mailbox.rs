//! What the server has to say to one client, until the client's task sends it.
//!
//! Where it sits: requests and commits put messages in, `connection` takes them out.
//!
//! I1  A task is woken for every message, so the box is emptied into the connection's bounded buffer at once; a client that does
//!     not read is cut there.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use stream::jsonrpc::Message;
use tokio::sync::Notify;

/// A handle on a client's messages.
#[derive(Clone, Default)]
pub struct Mailbox(Rc<Inner>);

#[derive(Default)]
struct Inner {
    messages: RefCell<Vec<Message>>,
    closing: Cell<bool>,
    wake: Notify,
}

impl Mailbox {
    /// Puts a message in.
    pub fn put(&self, message: Message) {
        self.0.messages.borrow_mut().push(message);
        self.0.wake.notify_one();
    }

    /// Takes everything out.
    pub fn take(&self) -> Vec<Message> {
        self.0.messages.take()
    }

    /// Asks the task to send what there is and to close.
    pub fn close(&self) {
        self.0.closing.set(true);
        self.0.wake.notify_one();
    }

    /// Whether the connection is to be closed.
    pub fn is_closing(&self) -> bool {
        self.0.closing.get()
    }

    /// Waits until there is something to do.
    pub async fn woken(&self) {
        self.0.wake.notified().await;
    }
}
