//! weft cli.
