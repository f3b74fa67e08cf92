//! Writes autoexec tools in Rust.
//!
//! A tool is a type that implements [`Tool`], exported with [`export_tool!`], and a `tool.toml` beside its
//! `Cargo.toml` that says who it is, which options it takes and which capabilities it asks for.
//! `cargo xtask guests` makes one `.wasm` file of both.
//!
//! ```
//! use autoexec_sdk::{Call, Outcome, Tool, ToolResult, log, output};
//!
//! /// Options, by the names in tool.toml.
//! #[derive(serde::Deserialize)]
//! struct Options {
//!     /// Whom to greet.
//!     who: String,
//! }
//!
//! struct Hello;
//!
//! impl Tool for Hello {
//!     type Options = Options;
//!
//!     fn run(call: Call<Options>) -> ToolResult {
//!         log::info(format_args!("greeting {}", call.options.who));
//!         output::set("greeting", &format!("Hello, {}!", call.options.who));
//!         Ok(Outcome::default())
//!     }
//! }
//!
//! autoexec_sdk::export_tool!(Hello);
//! ```
//!
//! What a tool uses of this crate is what its component imports: a tool that never calls [`net_probe`] has no such
//! import. `std::fs`, `std::net`, `println!` and `SystemTime` do not work in a tool; use the modules here. Keep the
//! logic in plain functions and test those on the build machine with `cargo test`.

#[doc(hidden)]
pub mod bindings;
mod call;
pub mod clock;
pub mod job;
pub mod log;
pub mod net_probe;
pub mod options;
pub mod output;
pub mod random;
pub mod step_outputs;

pub use call::{Call, Failure, FailureKind, Outcome, Tool, ToolResult};

#[doc(hidden)]
pub use call::run_exported;

/// Makes a type that implements [`Tool`] the component's tool. Once per crate.
#[macro_export]
macro_rules! export_tool {
    ($tool:ty) => {
        const _: () = {
            struct Exported;

            impl $crate::bindings::exports::autoexec::tool::tool::Guest for Exported {
                fn run(
                    invocation: $crate::bindings::exports::autoexec::tool::tool::Invocation,
                ) -> ::core::result::Result<
                    $crate::bindings::exports::autoexec::tool::tool::Outcome,
                    $crate::bindings::exports::autoexec::tool::tool::Failure,
                > {
                    $crate::run_exported::<$tool>(invocation)
                }
            }

    $crate::bindings::export!(Exported with_types_in $crate::bindings);
        };
    };
}
