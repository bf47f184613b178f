//! weft reconcile.
