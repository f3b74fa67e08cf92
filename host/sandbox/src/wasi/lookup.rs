//! `wasi:sockets/ip-name-lookup` of our own: the policy is asked for the name, and what it led to is remembered, so that
//! the connection that follows is decided with the name.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

use autoexec_grants::Access;
use parking_lot::Mutex;
use wasmtime::component::{Linker, Resource, ResourceType};
use wasmtime::{Result, StoreContextMut};
use wasmtime_wasi::p2::Pollable;
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, IpAddress, Network};
use wasmtime_wasi::p2::{DynPollable, subscribe};
use wasmtime_wasi::runtime::{AbortOnDropJoinHandle, spawn};

use crate::state::CallState;

/// Names and addresses that are remembered; a guest that looks up more has to look them up again.
const MOST: usize = 1_000;

/// Which names led to an address in this call.
#[derive(Debug, Default)]
pub(crate) struct Names(Mutex<HashMap<IpAddr, Vec<String>>>);

impl Names {
    fn remember(&self, name: &str, addresses: &[IpAddr]) {
        let mut known = self.0.lock();
        for address in addresses {
            if known.len() >= MOST {
                known.clear();
            }
            let names = known.entry(*address).or_default();
            if !names.iter().any(|known| known == name) && names.len() < MOST {
                names.push(name.to_owned());
            }
        }
    }

    /// The names that led to it, the latest first.
    pub(super) fn of(&self, address: IpAddr) -> Vec<String> {
        self.0.lock().get(&address).map(|names| names.iter().rev().cloned().collect()).unwrap_or_default()
    }
}

/// A lookup under way, or what is left of its answer.
enum Lookup {
    Pending(AbortOnDropJoinHandle<Result<VecDeque<IpAddr>, ErrorCode>>),
    Done(Result<VecDeque<IpAddr>, ErrorCode>),
}

#[async_trait::async_trait]
impl Pollable for Lookup {
    async fn ready(&mut self) {
        if let Self::Pending(lookup) = self {
            *self = Self::Done(lookup.await);
        }
    }
}

pub(super) fn add_to_linker(linker: &mut Linker<CallState>) -> Result<()> {
    let mut lookup = linker.instance(&super::interface("sockets/ip-name-lookup"))?;
    lookup.resource("resolve-address-stream", ResourceType::host::<Lookup>(), |mut store, rep| {
        store.data_mut().table.delete(Resource::<Lookup>::new_own(rep))?;
        Ok(())
    })?;
    lookup.func_wrap(
        "resolve-addresses",
        |mut store: StoreContextMut<'_, CallState>, (_, name): (Resource<Network>, String)| {
            Ok((resolve_addresses(store.data_mut(), name)?,))
        },
    )?;
    lookup.func_wrap(
        "[method]resolve-address-stream.resolve-next-address",
        |mut store: StoreContextMut<'_, CallState>, (stream,): (Resource<Lookup>,)| {
            Ok((next_address(store.data_mut(), &stream)?,))
        },
    )?;
    lookup.func_wrap(
        "[method]resolve-address-stream.subscribe",
        |mut store: StoreContextMut<'_, CallState>, (stream,): (Resource<Lookup>,)| {
            let pollable: Resource<DynPollable> = subscribe(&mut store.data_mut().table, stream)?;
            Ok((pollable,))
        },
    )
}

fn resolve_addresses(state: &mut CallState, name: String) -> Result<Result<Resource<Lookup>, ErrorCode>> {
    let border = state.enter()?;
    if border.permit(&Access::Socket { host: &name, port: 0, address: None }).is_err() {
        return Ok(Err(ErrorCode::AccessDenied));
    }
    let names = Arc::clone(&state.names);
    let lookup = spawn(async move {
        let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(&name);
        let found = tokio::net::lookup_host((bare, 0)).await.map_err(|_| ErrorCode::NameUnresolvable)?;
        let mut addresses: Vec<IpAddr> = found.map(|address| address.ip().to_canonical()).collect();
        addresses.dedup();
        names.remember(&name, &addresses);
        Ok(addresses.into())
    });
    Ok(Ok(state.table.push(Lookup::Pending(lookup))?))
}

fn next_address(
    state: &mut CallState,
    stream: &Resource<Lookup>,
) -> Result<Result<Option<IpAddress>, ErrorCode>> {
    let lookup = state.table.get_mut(stream)?;
    if let Lookup::Pending(task) = lookup {
        let polled = futures_util::FutureExt::now_or_never(task);
        match polled {
            Some(answer) => *lookup = Lookup::Done(answer),
            None => return Ok(Err(ErrorCode::WouldBlock)),
        }
    }
    Ok(match lookup {
        Lookup::Done(Ok(addresses)) => Ok(addresses.pop_front().map(IpAddress::from)),
        Lookup::Done(Err(error)) => Err(*error),
        Lookup::Pending(_) => Err(ErrorCode::WouldBlock),
    })
}
