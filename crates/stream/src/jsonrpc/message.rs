//! A JSON-RPC message and its JSON form.
//!
//! Where it sits: `session` decodes what it receives into this and encodes what it sends from it.

use std::fmt;

use ovsdb::SmolStr;
use ovsdb::json::{Json, write_quoted};

/// One message.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// Asks for a reply with the same `id`.
    Request {
        /// Any JSON but null.
        id: Json,
        /// What is asked.
        method: SmolStr,
        /// Its arguments.
        params: Vec<Json>,
    },
    /// Tells; nothing is answered.
    Notification {
        /// What is told.
        method: SmolStr,
        /// Its arguments.
        params: Vec<Json>,
    },
    /// Answers a request.
    Reply {
        /// The request's.
        id: Json,
        /// The answer.
        result: Json,
    },
    /// Refuses a request.
    Error {
        /// The request's.
        id: Json,
        /// Why.
        error: Json,
    },
}

/// Why JSON is no message, in Open vSwitch's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadMessage {
    /// Not an object.
    #[error("message is not a JSON object")]
    NotAnObject,
    /// A method that is no string.
    #[error("method is not a JSON string")]
    MethodNotString,
    /// Params that are no array.
    #[error("\"params\" must be JSON array")]
    ParamsNotArray,
    /// A member that no message has.
    #[error("message has unexpected member \"{0}\"")]
    UnexpectedMember(SmolStr),
    /// A member that this kind of message must have.
    #[error("{0} must have \"{1}\"")]
    Missing(&'static str, &'static str),
    /// A member that this kind of message must not have.
    #[error("{0} must not have \"{1}\"")]
    Forbidden(&'static str, &'static str),
}

impl Message {
    /// A request.
    pub fn request(id: impl Into<Json>, method: impl Into<SmolStr>, params: Vec<Json>) -> Message {
        Message::Request { id: id.into(), method: method.into(), params }
    }

    /// A notification.
    pub fn notification(method: impl Into<SmolStr>, params: Vec<Json>) -> Message {
        Message::Notification { method: method.into(), params }
    }

    /// A reply.
    pub fn reply(id: Json, result: Json) -> Message {
        Message::Reply { id, result }
    }

    /// An error reply.
    pub fn error(id: Json, error: impl Into<Json>) -> Message {
        Message::Error { id, error: error.into() }
    }

    /// The message that `json` says. A member that is null counts as absent.
    pub fn from_json(json: Json) -> Result<Message, BadMessage> {
        let Json::Object(members) = json else { return Err(BadMessage::NotAnObject) };
        let (mut method, mut params, mut result, mut error, mut id) = (None, None, None, None, None);
        let mut unexpected = None;
        for (name, value) in members {
            let place = match name.as_str() {
                "method" => &mut method,
                "params" => &mut params,
                "result" => &mut result,
                "error" => &mut error,
                "id" => &mut id,
                _ => {
                    unexpected.get_or_insert(name);
                    continue;
                }
            };
            *place = Some(value).filter(|value| !value.is_null());
        }
        let method = match method {
            None => None,
            Some(Json::String(method)) => Some(method),
            Some(_) => return Err(BadMessage::MethodNotString),
        };
        if let Some(name) = unexpected {
            return Err(BadMessage::UnexpectedMember(name));
        }
        let params = match params {
            None => None,
            Some(Json::Array(params)) => Some(params),
            Some(_) => return Err(BadMessage::ParamsNotArray),
        };
        Parts { method, params, result, error, id }.assemble()
    }

    /// The message as debug logs show it.
    pub(super) fn describe(&self) -> String {
        match self {
            Message::Request { id, method, params } => {
                let params = Json::Array(params.clone());
                format!("request, method=\"{method}\", params={params}, id={id}")
            }
            Message::Notification { method, params } => {
                format!("notification, method=\"{method}\", params={}", Json::Array(params.clone()))
            }
            Message::Reply { id, result } => format!("reply, result={result}, id={id}"),
            Message::Error { id, error } => format!("error, error={error}, id={id}"),
        }
    }
}

impl Message {
    /// Appends the JSON text that says the message.
    pub fn write_to(&self, out: &mut String) {
        let (method, params, id) = match self {
            Message::Request { id, method, params } => (method, params, id),
            Message::Notification { method, params } => (method, params, &Json::Null),
            Message::Reply { id, result } => return write_answer(out, id, result, &Json::Null),
            Message::Error { id, error } => return write_answer(out, id, &Json::Null, error),
        };
        out.push_str("{\"id\":");
        id.write_to(out);
        out.push_str(",\"method\":");
        write_quoted(out, method);
        out.push_str(",\"params\":[");
        for (i, element) in params.iter().enumerate() {
            out.push_str(if i > 0 { "," } else { "" });
            element.write_to(out);
        }
        out.push_str("]}");
    }
}

fn write_answer(out: &mut String, id: &Json, result: &Json, error: &Json) {
    out.push_str("{\"id\":");
    id.write_to(out);
    // Errors have no result, as Open vSwitch's have none.
    if error.is_null() {
        out.push_str(",\"result\":");
        result.write_to(out);
    }
    out.push_str(",\"error\":");
    error.write_to(out);
    out.push('}');
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        self.write_to(&mut text);
        f.write_str(&text)
    }
}

/// A message's members before it is known which kind it is.
struct Parts {
    method: Option<SmolStr>,
    params: Option<Vec<Json>>,
    result: Option<Json>,
    error: Option<Json>,
    id: Option<Json>,
}

impl Parts {
    /// What members are there says which kind is meant; then exactly that kind's must be there.
    fn assemble(self) -> Result<Message, BadMessage> {
        let kind = if self.result.is_some() {
            "reply"
        } else if self.error.is_some() {
            "error"
        } else if self.id.is_some() {
            "request"
        } else {
            "notification"
        };
        let asks = matches!(kind, "request" | "notification");
        check(kind, "method", self.method.is_some(), asks)?;
        check(kind, "params", self.params.is_some(), asks)?;
        check(kind, "result", self.result.is_some(), kind == "reply")?;
        check(kind, "error", self.error.is_some(), kind == "error")?;
        check(kind, "id", self.id.is_some(), kind != "notification")?;
        let method = self.method.unwrap_or_default();
        let params = self.params.unwrap_or_default();
        Ok(match (self.id, self.result, self.error) {
            (Some(id), Some(result), _) => Message::Reply { id, result },
            (Some(id), None, Some(error)) => Message::Error { id, error },
            (Some(id), None, None) => Message::Request { id, method, params },
            (None, ..) => Message::Notification { method, params },
        })
    }
}

fn check(kind: &'static str, member: &'static str, there: bool, wanted: bool) -> Result<(), BadMessage> {
    match (there, wanted) {
        (false, true) => Err(BadMessage::Missing(kind, member)),
        (true, false) => Err(BadMessage::Forbidden(kind, member)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> String {
        match Message::from_json(text.parse().unwrap()) {
            Ok(message) => message.to_string(),
            Err(error) => error.to_string(),
        }
    }

    /// The refusals are the lines that C's server logs.
    #[test]
    fn messages_and_refusals() {
        let table = [
            (r#"{"method":"m","params":[1,2],"id":0}"#, r#"{"id":0,"method":"m","params":[1,2]}"#),
            (r#"{"method":"m","params":[],"id":null}"#, r#"{"id":null,"method":"m","params":[]}"#),
            (r#"{"method":"m","params":[]}"#, r#"{"id":null,"method":"m","params":[]}"#),
            (r#"{"id":"x","result":[],"error":null}"#, r#"{"id":"x","result":[],"error":null}"#),
            (r#"{"id":1,"error":"x"}"#, r#"{"id":1,"error":"x"}"#),
            (r#"{"id":1,"result":null,"error":"x"}"#, r#"{"id":1,"error":"x"}"#),
            ("[1]", "message is not a JSON object"),
            ("{}", "notification must have \"method\""),
            (r#"{"method":"echo"}"#, "notification must have \"params\""),
            (r#"{"method":1,"params":[],"id":0}"#, "method is not a JSON string"),
            (r#"{"method":"e","params":{},"id":0}"#, "\"params\" must be JSON array"),
            (r#"{"id":4}"#, "request must have \"method\""),
            (r#"{"method":"e","params":[],"id":0,"extra":1}"#, "message has unexpected member \"extra\""),
            (r#"{"result":1,"error":1,"id":1}"#, "reply must not have \"error\""),
            (r#"{"id":null,"result":1,"error":null}"#, "reply must have \"id\""),
            (r#"{"id":null,"result":null,"error":"x"}"#, "error must have \"id\""),
            (r#"{"method":"e","params":[],"result":[],"id":0}"#, "reply must not have \"method\""),
        ];
        for (input, expected) in table {
            assert_eq!(check(input), expected, "{input}");
        }
    }
}
