//! End-to-end tests in namespaces of their own.
