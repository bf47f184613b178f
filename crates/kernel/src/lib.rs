//! weft kernel.
