//! The sandbox with real guests: the tools of plugins-wasm, the hostile guests of tests/fixtures/guests, and a few
//! components made of WebAssembly text.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

mod ambient;
mod cache;
mod concurrency;
mod connections;
mod files;
mod foreign;
mod handmade;
mod hostile;
mod http;
mod loading;
mod looking;
mod people;
mod probing;
mod servers;
mod snmp;
mod support;
mod tape;
mod target;
mod tools;
