//! One running switch: bridges, ports, learning, upcalls and revalidation.
