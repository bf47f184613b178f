//! weft model.
