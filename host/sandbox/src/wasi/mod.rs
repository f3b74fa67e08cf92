//! WASI 0.2, under the same grants as our own interfaces.
//!
//! Every tool gets clocks, random numbers and streams. Components whose tool chain brings all of WASI along (`wasm32-wasip2`,
//! JavaScript, Python) find everything linked, but nothing behind it: an empty environment, an empty standard input,
//! standard output that goes to the node's log, no directories, no sockets, no requests, until manifest and policy
//! give them.

use autoexec_grants::{Capability, DataDirection};
use wasmtime::Result;
use wasmtime::component::Linker;
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtxView, WasiHttpView};

use crate::border::Border;
use crate::host::LogLevel;
use crate::state::CallState;

mod clocks;
mod files;
mod http;
mod lookup;
mod sockets;
mod stdio;

pub(crate) use http::HttpHooks;
pub(crate) use lookup::Names;

/// Random bytes of one request. The default of the library is 64 MiB.
const RANDOM_BYTES: u64 = 1 << 20;

/// The version of the interfaces that the library links.
const VERSION: &str = "0.2.12";

/// Links everything; what a component may not import was refused before.
pub(crate) fn add_to_linker(linker: &mut Linker<CallState>) -> Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(linker)?;
    linker.allow_shadowing(true);
    clocks::add_to_linker(linker)?;
    files::add_to_linker(linker)?;
    sockets::add_to_linker(linker)?;
    lookup::add_to_linker(linker)?;
    linker.allow_shadowing(false);
    Ok(())
}

/// The name of an interface in the linker.
fn interface(name: &str) -> String {
    format!("wasi:{name}@{VERSION}")
}

/// Built on first use, because seeding its random numbers costs more than an instance.
pub(crate) fn context(border: &std::sync::Arc<Border>, names: &std::sync::Arc<Names>) -> WasiCtx {
    let mut builder = WasiCtxBuilder::new();
    builder.max_random_size(RANDOM_BYTES);
    builder.stdout(stdio::LogStream::new(border)).stderr(stdio::LogStream::new(border));
    if border.grants.has(Capability::Sockets) {
        builder.allow_tcp(true).allow_udp(true);
        builder.socket_addr_check(sockets::address_check(border, names));
    } else {
        builder.allow_tcp(false).allow_udp(false);
    }
    if border.grants.has(Capability::Filesystem) {
        preopen(border, &mut builder);
    }
    builder.build()
}

/// Gives the granted directories under their own paths.
fn preopen(border: &Border, builder: &mut WasiCtxBuilder) {
    let Ok(host) = border.host() else { return };
    for granted in host.granted_directories() {
        let permissions = match border.direction(granted.direction) {
            DataDirection::Read => FsPerms::ReadOnly,
            DataDirection::Write => FsPerms::ReadWrite,
        };
        let shown = granted.path.to_string_lossy().into_owned();
        if let Err(error) = builder.preopened_dir(&granted.path, &shown, permissions)
            && border.spend_log(shown.len()).is_ok()
        {
            host.log(
                LogLevel::Warn,
                &format!("Sandbox: the granted directory {shown} can not be opened: {error:#}."),
            );
        }
    }
}

impl WasiView for CallState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let ctx = self.wasi.get_or_insert_with(|| context(&self.border, &self.names));
        WasiCtxView { ctx, table: &mut self.table }
    }
}

impl WasiHttpView for CallState {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.hooks, table: &mut self.table, ctx: &mut self.http }
    }
}
