//! The places where an operation runs: WASM component, native program, SSH target
