//! What the server has to say to one client, until the client's task sends it.
//!
//! Where it sits: requests and commits put messages in, `connection` takes them out.
//!
//! I1  The task is woken for what came since it last took everything out, so the box is emptied into the connection's bounded buffer
//!     at once; a client that does not read is cut there.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

use stream::jsonrpc::Message;

/// A handle on a client's messages.
#[derive(Clone, Default)]
pub struct Mailbox(Rc<Inner>);

#[derive(Default)]
struct Inner {
    messages: RefCell<Vec<Message>>,
    closing: Cell<bool>,
    reason: RefCell<Option<String>>,
    /// Whether there is news since everything was taken out.
    news: Cell<bool>,
    /// The one task that waits.
    waiter: Cell<Option<Waker>>,
}

impl Mailbox {
    /// Puts a message in.
    pub fn put(&self, message: Message) {
        self.0.messages.borrow_mut().push(message);
        self.wake();
    }

    /// Takes everything out.
    pub fn take(&self) -> Vec<Message> {
        self.0.news.set(false);
        self.0.messages.take()
    }

    /// Asks the task to send what there is and to close.
    pub fn close(&self) {
        self.0.closing.set(true);
        self.wake();
    }

    /// The same, for a reason that the log is to tell.
    pub fn close_for(&self, reason: &str) {
        *self.0.reason.borrow_mut() = Some(reason.to_owned());
        self.close();
    }

    /// Why the connection is to be closed, once.
    pub fn take_reason(&self) -> Option<String> {
        self.0.reason.take()
    }

    fn wake(&self) {
        self.0.news.set(true);
        if let Some(waiter) = self.0.waiter.take() {
            waiter.wake();
        }
    }

    /// Whether the connection is to be closed.
    pub fn is_closing(&self) -> bool {
        self.0.closing.get()
    }

    /// Waits until there is something to do. One task at a time may wait.
    pub async fn woken(&self) {
        poll_fn(|context| {
            if self.0.news.get() {
                return Poll::Ready(());
            }
            self.0.waiter.set(Some(context.waker().clone()));
            Poll::Pending
        })
        .await;
    }
}
