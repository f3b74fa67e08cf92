//! The client and the outbox against a real HTTP server that checks every signature.

#![expect(clippy::unwrap_used, reason = "what the tests share fails as the tests do")]

mod calls;
mod downloads;
mod errors;
mod kill;
mod order;
mod outbox;
mod setup;
mod tls;
