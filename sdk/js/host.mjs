// The way to the host: the imports of the component, or the fake of a test.

import { HostError } from './failure.mjs';

let backend;

/** Sets what answers calls; returns what did before. */
export function install(next) {
  const before = backend;
  backend = next;
  return before;
}

/** What answers calls. */
export function current() {
  if (!backend) {
    throw new Error('there is no host outside of a component: use `new Host()` of autoexec-sdk/testing in the test');
  }
  return backend;
}

/** Calls a function of an interface, such as `call('net-probe', 'tcpConnect', [host, 22, 5000], 'connecting')`. */
export function call(capability, name, args, doing) {
  return current().call(capability, name, args, doing ?? `${capability}.${name}`);
}

/** Calls a method of a handle. */
export function method(handle, name, args, doing) {
  return current().method(handle, name, args, doing);
}

/** The component's imports, by the names of the interfaces. */
export class Bindings {
  constructor(modules) {
    this.modules = modules;
  }

  call(capability, name, args, doing) {
    const module = this.modules[capability];
    if (!module) {
      const asked = { connection: 'sockets', 'outgoing-handler': 'http' }[capability] ?? capability;
      throw new HostError('denied', `tool.toml does not ask for the capability \`${asked}\``, doing);
    }
    return guard(() => module[name](...args), doing);
  }

  method(handle, name, args, doing) {
    return guard(() => handle[name](...args), doing);
  }

  http(request) {
    return this.modules.http(this.modules, request);
  }
}

/** Turns an error of the host into one with words. */
export function guard(act, doing) {
  try {
    return act();
  } catch (error) {
    const payload = error?.payload;
    if (payload === undefined) throw error;
    throw new HostError(payload?.tag ?? String(payload), payload?.val, doing);
  }
}
