//! `wasi:sockets`: each address is put to the policy, with the names that led to it, and the number of sockets is limited.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;

use autoexec_grants::Access;
use wasmtime::component::{Linker, Resource, ResourceType};
use wasmtime::{Result, StoreContextMut};
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, Host as _, IpAddressFamily};
use wasmtime_wasi::p2::bindings::sockets::tcp::HostTcpSocket;
use wasmtime_wasi::p2::bindings::sockets::tcp_create_socket::Host as CreateTcp;
use wasmtime_wasi::p2::bindings::sockets::udp::HostUdpSocket;
use wasmtime_wasi::p2::bindings::sockets::udp_create_socket::Host as CreateUdp;
use wasmtime_wasi::p2::{SocketResult, TcpSocket, UdpSocket};
use wasmtime_wasi::sockets::{SocketAddrUse, WasiSocketsView};

use super::lookup::Names;
use crate::border::Border;
use crate::state::CallState;

type Checked = Pin<Box<dyn Future<Output = bool> + Send + Sync>>;

/// Decides each use of an address.
pub(super) fn address_check(
    border: &Arc<Border>,
    names: &Arc<Names>,
) -> impl Fn(SocketAddr, SocketAddrUse) -> Checked + Send + Sync + 'static {
    let (border, names) = (Arc::clone(border), Arc::clone(names));
    move |address, what| {
        let allowed = is_allowed(&border, &names, address, what);
        Box::pin(async move { allowed })
    }
}

fn is_allowed(border: &Border, names: &Names, address: SocketAddr, what: SocketAddrUse) -> bool {
    match what {
        // The system picks address and port before a socket is connected; nothing else may be bound.
        SocketAddrUse::TcpBind | SocketAddrUse::UdpBind => {
            address.ip().is_unspecified() && address.port() == 0
        }
        SocketAddrUse::TcpListen | SocketAddrUse::TcpAccept => false,
        SocketAddrUse::TcpConnect | SocketAddrUse::UdpSend | SocketAddrUse::UdpReceive => {
            is_permitted(border, names, address.ip().to_canonical(), address.port())
        }
    }
}

fn is_permitted(border: &Border, names: &Names, address: IpAddr, port: u16) -> bool {
    let mut hosts = names.of(address);
    hosts.push(address.to_string());
    hosts.iter().any(|host| border.permit(&Access::Socket { host, port, address: Some(address) }).is_ok())
}

pub(super) fn add_to_linker(linker: &mut Linker<CallState>) -> Result<()> {
    linker.instance(&super::interface("sockets/tcp-create-socket"))?.func_wrap(
        "create-tcp-socket",
        |mut store: StoreContextMut<'_, CallState>, (family,): (IpAddressFamily,)| {
            let state = store.data_mut();
            Ok((created(state, |state| CreateTcp::create_tcp_socket(&mut state.sockets(), family))?,))
        },
    )?;
    linker.instance(&super::interface("sockets/udp-create-socket"))?.func_wrap_async(
        "create-udp-socket",
        |mut store: StoreContextMut<'_, CallState>, (family,): (IpAddressFamily,)| {
            Box::new(async move {
                let state = store.data_mut();
                let counted = match state.border.socket() {
                    Ok(counted) => counted,
                    Err(reached) => {
                        state.border.tell(&reached);
                        return Ok((Err(ErrorCode::NewSocketLimit),));
                    }
                };
                let socket = CreateUdp::create_udp_socket(&mut state.sockets(), family).await;
                Ok((match socket {
                    Ok(socket) => {
                        state.open_sockets.insert(socket.rep(), counted);
                        Ok(socket)
                    }
                    Err(error) => Err(state.sockets().convert_error_code(error)?),
                },))
            })
        },
    )?;
    linker.instance(&super::interface("sockets/tcp"))?.resource(
        "tcp-socket",
        ResourceType::host::<TcpSocket>(),
        |mut store, rep| {
            let state = store.data_mut();
            state.open_sockets.remove(&rep);
            HostTcpSocket::drop(&mut state.sockets(), Resource::new_own(rep))
        },
    )?;
    linker.instance(&super::interface("sockets/udp"))?.resource(
        "udp-socket",
        ResourceType::host::<UdpSocket>(),
        |mut store, rep| {
            let state = store.data_mut();
            state.open_sockets.remove(&rep);
            HostUdpSocket::drop(&mut state.sockets(), Resource::new_own(rep))
        },
    )
}

fn created(
    state: &mut CallState,
    create: impl FnOnce(&mut CallState) -> SocketResult<Resource<TcpSocket>>,
) -> Result<Result<Resource<TcpSocket>, ErrorCode>> {
    let counted = match state.border.socket() {
        Ok(counted) => counted,
        Err(reached) => {
            state.border.tell(&reached);
            return Ok(Err(ErrorCode::NewSocketLimit));
        }
    };
    Ok(match create(state) {
        Ok(socket) => {
            state.open_sockets.insert(socket.rep(), counted);
            Ok(socket)
        }
        Err(error) => Err(state.sockets().convert_error_code(error)?),
    })
}
