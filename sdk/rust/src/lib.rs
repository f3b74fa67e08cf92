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
pub mod connection;
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

pub use call::{Call, Change, Checkable, Effect, Outcome, Probeable, Tool, ToolResult};
pub use failure::{Failure, FailureContext, FailureKind, HostError, Reason};

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
