//! The crate from outside. One binary, because linking takes longer than running.

mod audit;
mod capabilities;
mod decisions;
mod documentation;
mod every_capability;
mod learn;
mod patterns;
mod properties;
