//! The crate from outside. One binary, because linking takes longer than running.

mod advice;
mod arbitrary_input;
mod audit;
mod capabilities;
mod covering;
mod decisions;
mod documentation;
mod every_capability;
mod learn;
mod patterns;
mod properties;
mod refusals;
