// What every tool has.

import { call, method } from '../host.mjs';
import { bytes } from './common.mjs';

/** The node's log. The reason of a failing step belongs into `Failure` instead. */
export const log = {
  plain: (text) => call('log', 'line', ['plain', String(text)]),
  info: (text) => call('log', 'line', ['info', String(text)]),
  fine: (text) => call('log', 'line', ['fine', String(text)]),
  warn: (text) => call('log', 'line', ['warn', String(text)]),
  error: (text) => call('log', 'line', ['error', String(text)]),
  /** Text or bytes as they come, for output passed through from elsewhere. */
  write: (data) => call('log', 'write', [bytes(data)]),
};

/** Outputs and live data. */
export const output = {
  set: (name, value) => call('output', 'set', [name, JSON.stringify(value)]),
  /** Sets several outputs: `output.put({ rows: 3, table: text })`. */
  put: (outputs) => Object.entries(outputs).forEach(([name, value]) => output.set(name, value)),
  setLiveData: (data) => call('output', 'setLiveData', [JSON.stringify(data)]),
};

/** Facts about the job and the node this call is for. */
export const job = {
  context: () => call('job', 'getContext', []),
  node: () => call('job', 'getNode', []),
  variable: (name) => call('job', 'getVariable', [name]),
  variables: () => Object.fromEntries(call('job', 'listVariables', []).map(({ name, value }) => [name, value])),
};

/** Time, in seconds. */
export const clock = {
  monotonic: () => Number(call('monotonic-clock', 'now', [])) / 1e9,
  now: () => {
    const { seconds, nanoseconds } = call('wall-clock', 'now', []);
    return Number(seconds) + nanoseconds / 1e9;
  },
  /** Now, with the runner's time zone: seconds since 1970, UTC, and those to add for local time. */
  localNow: () => {
    const unixSeconds = clock.now();
    return { unixSeconds, utcOffset: clock.utcOffset(unixSeconds) };
  },
  utcOffset: (unixSeconds) => call('local-time', 'utcOffset', [BigInt(Math.trunc(unixSeconds))]),
  sleep: (seconds) => {
    const timer = call('monotonic-clock', 'subscribeDuration', [BigInt(Math.trunc(seconds * 1e9))]);
    method(timer, 'block', [], 'waiting');
  },
};

/** Random numbers fit for secrets. */
export const random = {
  bytes: (count) => call('random', 'getRandomBytes', [BigInt(count)]),
  number: () => call('random', 'getRandomU64', []),
};
