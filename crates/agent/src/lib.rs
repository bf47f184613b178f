//! weft agent.
