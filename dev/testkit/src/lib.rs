//! Shared test code: packet notation, golden comparison, the C oracle.
