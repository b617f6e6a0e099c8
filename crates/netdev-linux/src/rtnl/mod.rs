//! Links by rtnetlink: what devices there are, and what becomes of them.
//!
//! Where it sits: devices ask [`Links`]; a thread of its own follows the kernel's notifications.

mod link;
mod message;
mod neighbour;
mod route;
mod socket;
mod table;
mod watch;
mod way;

pub(crate) use link::{LinkChange, LinkInfo, Which};
pub use neighbour::{Neighbour, NeighbourState};
pub use route::{Address, Route, RouteRule, RouteTables, Routes};
pub(crate) use table::Links;
pub use way::{FirstHop, WayChange, WayQueries, WayWatch};

/// Called after any link appeared, changed or vanished, on the thread that follows links.
pub type OnChange = std::sync::Arc<dyn Fn() + Send + Sync>;
