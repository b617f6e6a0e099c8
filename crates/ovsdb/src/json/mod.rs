//! JSON as Open vSwitch speaks it on the wire: a value, a push parser over concatenated messages, and a writer.
//!
//! Where it sits: under every schema, atom and operation of this crate, under JSON-RPC in `stream` and run-time control in
//! `daemon`. It knows nothing of OVSDB and does no I/O.
//!
//! ~~~text
//! bytes ─┬► lexer (tokens in pieces, position) ─┬► parser (stack of open arrays and objects) ──► Json ──► writer ──► text
//!        └► ahead (tokens that stand whole) ─────┘
//! ~~~
//! I1  Parsing is total over bytes: any input gives values or one `ParseError`; nesting past 1000 is refused, so recursion is bounded.
//! I2  Numbers are canonical: what is mathematically an integer of 64 bits is `Integer` (1.0 is 1, 1e5 is 100000), everything else a
//!     finite `Real`; text that overflows is refused.
//! I3  Members are kept sorted by name, so equal values print equal text. Of duplicate members the last one counts.
//! I4  Strings are UTF-8 without NUL. Bytes that are not UTF-8 are refused, where C lets them pass.
//!
//! Error texts and positions are those of Open vSwitch's parser. Spec: RFC 8259, RFC 7047 section 3. Next: `value.rs`.

mod ahead;
mod error;
mod lexer;
mod number;
mod object;
mod parser;
mod unescape;
mod value;
mod writer;

pub use error::{ErrorKind, ParseError};
pub use object::Object;
pub use parser::{MAX_DEPTH, Parser, parse};
pub use unescape::unescape;
pub use value::Json;
pub use writer::{Pretty, write_number, write_quoted};

#[cfg(test)]
mod tests;
