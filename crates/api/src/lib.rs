//! weft api.
