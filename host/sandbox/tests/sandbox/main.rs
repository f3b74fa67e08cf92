//! The sandbox with real guests: the tools of plugins-wasm, the hostile guests of tests/fixtures/guests, and a few
//! components made of WebAssembly text.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

mod cache;
mod concurrency;
mod handmade;
mod hostile;
mod loading;
mod probing;
mod support;
mod tools;
