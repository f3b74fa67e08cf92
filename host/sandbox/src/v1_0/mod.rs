//! The linker module of `autoexec:tool@1.0`: generated bindings, one module per interface with its host functions, and
//! which interfaces go into a linker under which grants.

use autoexec_grants::Capability;
use wasmtime::Result;
use wasmtime::component::{HasSelf, Linker};

use crate::grants::Grants;
use crate::state::CallState;

mod always;
mod call;
mod connection;
mod documents;
mod filesystem;
mod interact;
mod net_probe;
mod nodes;
mod program;
mod secret;
mod server;
mod snmp;
mod target;

pub(crate) use call::Exports;
#[expect(unreachable_pub, reason = "the generated bindings name them in public")]
pub use {
    connection::{ByteStream, Datagrams},
    server::Held,
    target::Session,
};

pub(crate) mod bindings {
    wasmtime::component::bindgen!({
        path: "../../wit/autoexec-tool",
        world: "checkable-and-probeable",
        imports: {
            "autoexec:tool/net-probe.tcp-connect": async | trappable,
            "autoexec:tool/net-probe.icmp-echo": async | trappable,
            "autoexec:tool/step-outputs.find": async | trappable,
            "autoexec:tool/job-nodes.list": async | trappable,
            "autoexec:tool/target.capture": async | trappable,
            "autoexec:tool/target.run": async | trappable,
            "autoexec:tool/target.upload": async | trappable,
            "autoexec:tool/target.download": async | trappable,
            "autoexec:tool/target.list-directory": async | trappable,
            "autoexec:tool/target.stat": async | trappable,
            "autoexec:tool/target.open-session": async | trappable,
            "autoexec:tool/target.[method]session.send": async | trappable,
            "autoexec:tool/target.[method]session.receive": async | trappable,
            "autoexec:tool/filesystem.stat": async | trappable,
            "autoexec:tool/filesystem.list-directory": async | trappable,
            "autoexec:tool/filesystem.read": async | trappable,
            "autoexec:tool/filesystem.write": async | trappable,
            "autoexec:tool/filesystem.append": async | trappable,
            "autoexec:tool/filesystem.create-directory": async | trappable,
            "autoexec:tool/filesystem.rename": async | trappable,
            "autoexec:tool/filesystem.remove": async | trappable,
            "autoexec:tool/filesystem.set-modified": async | trappable,
            "autoexec:tool/filesystem.set-mode": async | trappable,
            "autoexec:tool/server.call": async | trappable,
            "autoexec:tool/documents.find": async | trappable,
            "autoexec:tool/documents.save": async | trappable,
            "autoexec:tool/documents.remove": async | trappable,
            "autoexec:tool/lock.acquire": async | trappable,
            "autoexec:tool/interact.ask": async | trappable,
            "autoexec:tool/program.run": async | trappable,
            "autoexec:tool/secret.value": async | trappable,
            "autoexec:tool/secret.basic-authorization": async | trappable,
            "autoexec:tool/connection.connect": async | trappable,
            "autoexec:tool/connection.open-datagrams": async | trappable,
            "autoexec:tool/connection.[method]byte-stream.start-tls": async | trappable,
            "autoexec:tool/connection.[method]byte-stream.send": async | trappable,
            "autoexec:tool/connection.[method]byte-stream.receive": async | trappable,
            "autoexec:tool/connection.[method]datagrams.send": async | trappable,
            "autoexec:tool/connection.[method]datagrams.receive": async | trappable,
            "autoexec:tool/snmp.get": async | trappable,
            "autoexec:tool/snmp.walk": async | trappable,
            default: trappable,
        },
        exports: { default: async },
        additional_derives: [serde::Serialize, serde::Deserialize],
        with: {
            "autoexec:tool/target.session": crate::v1_0::Session,
            "autoexec:tool/lock.held": crate::v1_0::Held,
            "autoexec:tool/connection.byte-stream": crate::v1_0::ByteStream,
            "autoexec:tool/connection.datagrams": crate::v1_0::Datagrams,
            "wasi:http": wasmtime_wasi_http::p2::bindings::http,
            "wasi": wasmtime_wasi::p2::bindings,
        },
    });
}

use bindings::autoexec::tool;

/// A linker with what every tool gets and what is granted, and nothing else.
pub(crate) fn linker(engine: &wasmtime::Engine, grants: &Grants) -> Result<Linker<CallState>> {
    let mut linker = Linker::new(engine);
    let l = &mut linker;
    crate::wasi::add_to_linker(l)?;
    tool::log::add_to_linker::<_, HasSelf<CallState>>(l, |state| state)?;
    tool::output::add_to_linker::<_, HasSelf<CallState>>(l, |state| state)?;
    tool::job::add_to_linker::<_, HasSelf<CallState>>(l, |state| state)?;
    tool::local_time::add_to_linker::<_, HasSelf<CallState>>(l, |state| state)?;
    for capability in grants.iter() {
        add_capability(l, capability)?;
    }
    Ok(linker)
}

fn add_capability(l: &mut Linker<CallState>, capability: Capability) -> Result<()> {
    match capability {
        Capability::NetProbe => tool::net_probe::add_to_linker::<_, HasSelf<CallState>>(l, |state| state),
        Capability::StepOutputs => {
            tool::step_outputs::add_to_linker::<_, HasSelf<CallState>>(l, |state| state)
        }
        Capability::JobNodes => tool::job_nodes::add_to_linker::<_, HasSelf<CallState>>(l, |state| state),
        Capability::Secret => tool::secret::add_to_linker::<_, HasSelf<CallState>>(l, |state| state),
        Capability::Target => tool::target::add_to_linker::<_, HasSelf<CallState>>(l, |state| state),
        Capability::Filesystem => tool::filesystem::add_to_linker::<_, HasSelf<CallState>>(l, |state| state),
        Capability::Server => tool::server::add_to_linker::<_, HasSelf<CallState>>(l, |state| state),
        Capability::Documents => tool::documents::add_to_linker::<_, HasSelf<CallState>>(l, |state| state),
        Capability::Lock => tool::lock::add_to_linker::<_, HasSelf<CallState>>(l, |state| state),
        Capability::Interact => tool::interact::add_to_linker::<_, HasSelf<CallState>>(l, |state| state),
        Capability::Program => tool::program::add_to_linker::<_, HasSelf<CallState>>(l, |state| state),
        Capability::Sockets => tool::connection::add_to_linker::<_, HasSelf<CallState>>(l, |state| state),
        Capability::Snmp => tool::snmp::add_to_linker::<_, HasSelf<CallState>>(l, |state| state),
        // Only `wasi:http`, which is always linked for the sake of tool chains that import it unasked, and denies
        // everything without the grant.
        Capability::Http => Ok(()),
    }
}
