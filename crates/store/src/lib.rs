//! weft store.
