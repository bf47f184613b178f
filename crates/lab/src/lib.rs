//! weft lab.
