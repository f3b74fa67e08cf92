//! Clocks and random numbers with a tape: what a tool was told is written down, and told again in a replay, which does not
//! wait for timers either.

use wasmtime::component::Linker;
use wasmtime::{Result, StoreContextMut};
use wasmtime_wasi::clocks::WasiClocksView as _;
use wasmtime_wasi::p2::bindings::clocks::{monotonic_clock, wall_clock};
use wasmtime_wasi::p2::bindings::random::random;
use wasmtime_wasi::random::WasiRandomView as _;

use crate::state::CallState;

pub(super) fn add_to_linker(linker: &mut Linker<CallState>) -> Result<()> {
    let mut monotonic = linker.instance(&super::interface("clocks/monotonic-clock"))?;
    monotonic.func_wrap("now", |mut store: StoreContextMut<'_, CallState>, (): ()| {
        Ok((monotonic_now(store.data_mut())?,))
    })?;
    monotonic.func_wrap(
        "subscribe-instant",
        |mut store: StoreContextMut<'_, CallState>, (when,): (u64,)| {
            let state = store.data_mut();
            if state.border.tape.is_on() {
                let left = when.saturating_sub(monotonic_now(state)?);
                return Ok((timer(state, left)?,));
            }
            Ok((monotonic_clock::Host::subscribe_instant(&mut state.clocks(), when)?,))
        },
    )?;
    monotonic
        .func_wrap("subscribe-duration", |mut store: StoreContextMut<'_, CallState>, (left,): (u64,)| {
            Ok((timer(store.data_mut(), left)?,))
        })?;
    linker.instance(&super::interface("clocks/wall-clock"))?.func_wrap(
        "now",
        |mut store: StoreContextMut<'_, CallState>, (): ()| {
            let state = store.data_mut();
            let border = std::sync::Arc::clone(&state.border);
            let (seconds, nanoseconds) = border.asked("wall-clock.now", &())?.answers_now(|| {
                let wall_clock::Datetime { seconds, nanoseconds } =
                    wall_clock::Host::now(&mut state.clocks())?;
                Ok::<_, wasmtime::Error>((seconds, nanoseconds))
            })?;
            Ok((wall_clock::Datetime { seconds, nanoseconds },))
        },
    )?;
    let mut numbers = linker.instance(&super::interface("random/random"))?;
    numbers.func_wrap(
        "get-random-bytes",
        |mut store: StoreContextMut<'_, CallState>, (length,): (u64,)| {
            let state = store.data_mut();
            let border = std::sync::Arc::clone(&state.border);
            let asked = border.asked("random.get-random-bytes", &(length,))?;
            Ok((asked.answers_now(|| random::Host::get_random_bytes(state.random(), length))?,))
        },
    )?;
    numbers.func_wrap("get-random-u64", |mut store: StoreContextMut<'_, CallState>, (): ()| {
        let state = store.data_mut();
        let border = std::sync::Arc::clone(&state.border);
        let asked = border.asked("random.get-random-u64", &())?;
        Ok((asked.answers_now(|| random::Host::get_random_u64(state.random()))?,))
    })?;
    Ok(())
}

fn monotonic_now(state: &mut CallState) -> Result<u64> {
    let border = std::sync::Arc::clone(&state.border);
    border.asked("monotonic-clock.now", &())?.answers_now(|| monotonic_clock::Host::now(&mut state.clocks()))
}

fn timer(
    state: &mut CallState,
    nanoseconds: u64,
) -> Result<wasmtime::component::Resource<wasmtime_wasi::p2::DynPollable>> {
    let nanoseconds = if state.border.tape.replays() { 0 } else { nanoseconds };
    monotonic_clock::Host::subscribe_duration(&mut state.clocks(), nanoseconds)
}
