//! Packets told as stories: what goes in at an endpoint's door, and what becomes of it. Needs root.

#![expect(clippy::unwrap_used, reason = "a story that cannot be told is a failure")]

mod allowed;
mod capture;
mod connection;
mod detour;
mod frames;
mod full;

mod load;
mod policy;
mod segment;
mod short;
mod socket;
mod source;
mod telling;
mod trial;
mod vouched;
mod world;
