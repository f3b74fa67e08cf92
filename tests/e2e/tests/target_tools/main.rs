//! The target tools of `plugins-native/remote`, over real SSH as root of a scratch machine, never on this one.

#![expect(clippy::unwrap_used, clippy::panic, reason = "what the tests share fails as the tests do")]

mod accounts;
mod collector;
mod files;
mod libraries;
mod machine;
mod services;
mod syntax;
mod system;
