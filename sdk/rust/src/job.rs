//! Facts about the job and the node this call is for.

#[cfg(target_arch = "wasm32")]
use crate::bindings::autoexec::tool::job as host;
pub use crate::bindings::autoexec::tool::job::{Context, Node, Variable};
#[cfg(not(target_arch = "wasm32"))]
use crate::testing::job as host;

/// Where in the job this call stands.
pub fn context() -> Context {
    host::get_context()
}

/// The node this call is for. The runner itself has the host `local` and the resource id 0.
pub fn node() -> Node {
    host::get_node()
}

/// One variable of this node, set by earlier steps.
pub fn variable(name: &str) -> Option<String> {
    host::get_variable(name)
}

/// All variables of this node.
pub fn variables() -> Vec<Variable> {
    host::list_variables()
}
