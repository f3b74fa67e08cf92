//! `net-probe`.

use wasmtime::Result;

use super::bindings::autoexec::tool::net_probe::{self, ProbeError};
use crate::net::{self, NetError};
use crate::state::CallState;

impl net_probe::Host for CallState {
    async fn icmp_echo(&mut self, host: String, timeout_ms: u32) -> Result<Result<u32, ProbeError>> {
        let border = self.enter()?;
        let asked = border.asked("net-probe.icmp-echo", &(&host, timeout_ms))?;
        let echo = async { net::echo(&border, &host, timeout_ms).await.map_err(ProbeError::from) };
        Ok(asked.answers(echo).await?)
    }

    async fn tcp_connect(
        &mut self,
        host: String,
        port: u16,
        timeout_ms: u32,
    ) -> Result<Result<u32, ProbeError>> {
        let border = self.enter()?;
        let asked = border.asked("net-probe.tcp-connect", &(&host, port, timeout_ms))?;
        let connect = async {
            net::probe::tcp_connect(&border, &host, port, timeout_ms).await.map_err(ProbeError::from)
        };
        Ok(asked.answers(connect).await?)
    }
}

impl From<NetError> for ProbeError {
    fn from(error: NetError) -> Self {
        match error {
            NetError::Denied(why) => Self::Denied(why),
            NetError::Unresolved(why) => Self::Unresolved(why),
            NetError::Refused => Self::Refused,
            NetError::Unreachable(why) => Self::Unreachable(why),
            NetError::TimedOut => Self::TimedOut,
            NetError::Other(why) => Self::Other(why),
        }
    }
}
