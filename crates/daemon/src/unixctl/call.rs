//! One invocation of a command, and its answer.
//!
//! Where it sits: `server` makes it, a handler consumes it by answering, at once or later, from any thread.

use ovsdb::json::Json;
use tokio::sync::oneshot;

/// How the client wants answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// As text.
    #[default]
    Text,
    /// As JSON.
    Json,
}

/// What a command answers.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// Text; for a client that wants JSON it is wrapped.
    Text(String),
    /// JSON; only for clients that want it.
    Json(Json),
    /// Failure; always text.
    Error(String),
}

/// An invocation. Whoever drops it unanswered answers with an error.
#[derive(Debug)]
pub struct Call {
    /// The command's name.
    pub name: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// How the client wants the answer.
    pub format: Format,
    answer: Option<oneshot::Sender<Answer>>,
}

impl Call {
    /// An invocation and where its answer will come out.
    pub fn new(name: &str, args: Vec<String>, format: Format) -> (Call, oneshot::Receiver<Answer>) {
        let (sender, receiver) = oneshot::channel();
        (Call { name: name.to_owned(), args, format, answer: Some(sender) }, receiver)
    }

    /// The argument at `index`, if there is one.
    pub fn arg(&self, index: usize) -> Option<&str> {
        self.args.get(index).map(String::as_str)
    }

    /// Answers with text.
    pub fn reply(self, text: impl Into<String>) {
        self.answer(Answer::Text(text.into()));
    }

    /// Answers with JSON; `format` says that the client wants it.
    pub fn reply_json(self, json: Json) {
        self.answer(Answer::Json(json));
    }

    /// Answers that the command failed.
    pub fn error(self, text: impl Into<String>) {
        self.answer(Answer::Error(text.into()));
    }

    /// Answers. A client that has gone misses nothing.
    pub fn answer(mut self, answer: Answer) {
        if let Some(sender) = self.answer.take() {
            let _ = sender.send(answer);
        }
    }
}

impl Answer {
    /// The result that goes over the wire, or the error.
    pub(super) fn into_wire(self, format: Format) -> Result<Json, Json> {
        match (self, format) {
            (Answer::Error(text), _) => Err(Json::string(text)),
            (Answer::Text(text), Format::Text) => Ok(Json::string(text)),
            (Answer::Text(text), Format::Json) => {
                Ok(Json::object([("reply", Json::string(text)), ("reply-format", Json::string("plain"))]))
            }
            (Answer::Json(json), Format::Json) => Ok(json),
            // Handlers answer in JSON only where `Call::format` says so; a text client still gets something to read.
            (Answer::Json(json), Format::Text) => Ok(Json::string(json.to_string())),
        }
    }
}
