//! Writes autoexec tools in Rust.
//!
//! A tool is a struct of typed options with doc comments and one `run`. `tool.toml` beside `Cargo.toml` says who it is and
//! which capabilities it asks for; names, types, defaults and help of options and outputs come from the code.
//!
//! ```
//! use autoexec_sdk::{Call, Options, Outcome, Outputs, Tool, ToolResult, log, output::Outputs as _};
//!
//! #[derive(Options)]
//! struct Options {
//!     /// Whom to greet
//!     #[option(default = "world")]
//!     who: String,
//! }
//!
//! #[derive(Outputs)]
//! struct Greeted {
//!     /// What was said
//!     greeting: String,
//! }
//!
//! struct Hello;
//!
//! impl Tool for Hello {
//!     type Options = Options;
//!
//!     fn run(call: Call<Options>) -> ToolResult {
//!         let greeting = format!("Hello, {}!", call.options.who);
//!         log::info(&greeting);
//!         Greeted { greeting }.put();
//!         Ok(Outcome::default())
//!     }
//! }
//!
//! autoexec_sdk::export_tool!(Hello);
//!
//! let host = autoexec_sdk::testing::Host::new();
//! host.run::<Hello>(serde_json::json!({"who": "you"})).unwrap();
//! assert_eq!(host.output("greeting"), Some("Hello, you!".into()));
//! ```
//!
//! What a tool uses of this crate is what its component imports: a tool that never calls [`net_probe`] has no such
//! import. `std::fs`, `std::net`, `println!` and `SystemTime` do not work in a tool; use the modules here. Natively
//! the same modules speak to the fake host of [`testing`], so that `cargo test` runs a tool as a whole.

// The macros name the crate as tools do.
extern crate self as autoexec_sdk;

#[doc(hidden)]
pub mod bindings;
mod call;
pub mod clock;
pub mod connection;
#[doc(hidden)]
pub mod describe;
pub mod dialogue;
pub mod documents;
mod failure;
pub mod filesystem;
pub mod http;
pub mod interact;
pub mod job;
pub mod job_nodes;
pub mod lock;
pub mod log;
pub mod net_probe;
pub mod options;
pub mod output;
pub mod program;
pub mod random;
pub mod secret;
pub mod server;
pub mod snmp;
pub mod step_outputs;
pub mod target;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;

pub use autoexec_sdk_derive::{Choice, OptionGroup, Options, Outputs};
pub use call::{Call, Change, Checkable, Effect, Outcome, Probeable, Tool, ToolResult};
pub use failure::{Failure, FailureContext, FailureKind, HostError, Reason};

#[doc(hidden)]
pub use serde_json;

#[doc(hidden)]
pub use call::{check_exported, probe_exported, run_exported};

/// Makes a type that implements [`Tool`] the component's tool. Once per crate.
///
/// `export_tool!(Type)` exports `run`; `export_tool!(Type: check)` also the dry run of [`Checkable`], `export_tool!(Type: probe)`
/// the question of [`Probeable`], and `export_tool!(Type: check, probe)` both.
#[macro_export]
macro_rules! export_tool {
    ($tool:ty $(: $($further:ident),+)?) => {
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
            $($($crate::export_further!($tool, $further);)+)?
        };
    };
}

/// The exports beside `run`.
#[doc(hidden)]
#[macro_export]
macro_rules! export_further {
    ($tool:ty, check) => {
        const _: () = {
            use $crate::bindings::dry_run::exports::autoexec::tool::dry_run;

            struct Exported;

            impl dry_run::Guest for Exported {
                fn check(
                    invocation: dry_run::Invocation,
                ) -> ::core::result::Result<::std::vec::Vec<dry_run::Change>, dry_run::Failure> {
                    $crate::check_exported::<$tool>(invocation)
                }
            }

    $crate::bindings::dry_run::export_dry_run!(Exported with_types_in $crate::bindings::dry_run);
        };
    };
    ($tool:ty, probe) => {
        const _: () = {
            use $crate::bindings::effect_probe::exports::autoexec::tool::effect_probe;

            struct Exported;

            impl effect_probe::Guest for Exported {
                fn probe(
                    invocation: effect_probe::Invocation,
                ) -> ::core::result::Result<effect_probe::Effect, effect_probe::Failure> {
                    $crate::probe_exported::<$tool>(invocation)
                }
            }

            $crate::bindings::effect_probe::export_effect_probe!(
                Exported with_types_in $crate::bindings::effect_probe
            );
        };
    };
}
