//! From compiled code and `tool.toml` to one `.wasm` file that is the whole tool.
//!
//! Used by `cargo xtask guests` for the tools of this repository and by `autoexec plugin build` for everybody else's, so that
//! both make the same file of the same input. What a tool's code says of its options and outputs comes along as custom
//! sections of the core module ([`Description`]) and goes into the manifest.

mod component;
mod description;
mod interpreters;
mod namespace;
mod toolchain;

pub use component::{PackagingError, Packed, of_component, of_core_module, read_tool_file};
pub use description::Description;
pub use interpreters::{InstallError, Interpreters, TOOLCHAINS};
pub use namespace::{with_wasi, without_wasi};
pub use toolchain::{DEBIAN_PACKAGES, TARGET, Toolchain};
