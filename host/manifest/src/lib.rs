//! The manifest of a tool component: name, version, limits, capabilities and the descriptor for the server.
//!
//! A tool author writes it as `tool.toml`; the build checks it and puts it, as JSON, into the component's custom
//! section `autoexec:manifest`, so that one file is the whole tool (architecture §5). The sandbox, the policy and
//! the registration read it from there. This crate is pure: bytes in, types out.

mod contract;
mod descriptor;
mod manifest;
mod native;
mod section;

pub use contract::{ALWAYS_LINKED, CHECK_EXPORT, PROBE_EXPORT, TOOL_EXPORT, TOOL_PACKAGE, capability_of};
pub use descriptor::{
    ArgumentDescriptor, Choice, Choices, Descriptor, DescriptorError, Flag, OperationType, OptionDescriptor,
    OptionType, OutputDescriptor,
};
pub use manifest::{CapabilityRequest, Manifest, ManifestError, RequestedLimits, Rerun, ToolName};
pub use native::{
    EnvironmentRequest, FileAccess, FilesystemRequest, NATIVE_MANIFEST_SUFFIX, NativeLimits, NativeManifest,
    NativeManifestError, PATH_VARIABLES, TcpRequest,
};
pub use section::{
    ComponentOutline, InterfaceName, MANIFEST_SECTION, SectionError, append_manifest, read_outline,
};
