//! weft ipam.
