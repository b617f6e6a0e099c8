//! Links by rtnetlink: what devices there are, and what becomes of them.
//!
//! Where it sits: devices ask [`Links`]; a thread of its own follows the kernel's notifications.

mod link;
mod route;
mod socket;
mod table;
mod watch;
mod way;

pub(crate) use link::{LinkChange, LinkInfo, Which};
pub use route::{Address, Neighbour, Route, RouteRule, RouteTables, Routes};
pub(crate) use table::Links;
pub use way::{FirstHop, NeighbourState, WayChange, WayQueries, WayWatch};

/// Called after any link appeared, changed or vanished, on the thread that follows links.
pub type OnChange = std::sync::Arc<dyn Fn() + Send + Sync>;
