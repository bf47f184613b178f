//! The foreign protocols that weft answers, each translated to the same walks.

pub mod cni;
