// Every capability of the host, and those that every tool has.

import { call, current, method } from './host.mjs';
import { Failure, HostError } from './failure.mjs';

/** A time limit in seconds as the host takes it. */
const millis = (seconds) => Math.min(Math.max(Math.trunc((seconds ?? 0) * 1000), 0), 2 ** 32 - 1);
const bytes = (data) => (typeof data === 'string' ? new TextEncoder().encode(data) : (data ?? new Uint8Array()));
const utf8 = (data) => new TextDecoder().decode(data);

/** The node's log. The reason of a failing step belongs into `Failure` instead. */
export const log = {
  plain: (text) => call('log', 'line', ['plain', String(text)]),
  info: (text) => call('log', 'line', ['info', String(text)]),
  fine: (text) => call('log', 'line', ['fine', String(text)]),
  warn: (text) => call('log', 'line', ['warn', String(text)]),
  error: (text) => call('log', 'line', ['error', String(text)]),
  write: (data) => call('log', 'write', [bytes(data)]),
};

/** Outputs and live data. */
export const output = {
  set: (name, value) => call('output', 'set', [name, JSON.stringify(value)]),
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

/** Asks whether a host is there. Times are in seconds. */
export const netProbe = {
  tcpConnect: (host, port, timeout = 5) => (
    call('net-probe', 'tcpConnect', [host, port, millis(timeout)], `connecting to ${host}:${port}`) / 1000
  ),
  icmpEcho: (host, timeout = 5) => call('net-probe', 'icmpEcho', [host, millis(timeout)], `pinging ${host}`) / 1e6,
};

/** Outputs of steps on other nodes of the job: a list of `{ host, port, value }`. */
export const stepOutputs = {
  find: (phase, operationId, name) => {
    const doing = `reading the outputs ${phase}.${operationId}.${name}`;
    const found = call('step-outputs', 'find', [phase, operationId, name], doing);
    return found.map((one) => ({ ...one, value: JSON.parse(one.value) }));
  },
};

/** The nodes of this job. */
export const jobNodes = {
  all: function* all(phase) {
    const size = 500;
    for (let offset = 0; ; offset += size) {
      const page = call('job-nodes', 'list', [phase, offset, size], `listing the nodes of phase ${phase}`);
      yield* page;
      if (page.length < size) return;
    }
  },
};

/** References to values that a tool may use but never see. */
export const secret = {
  reference: (name) => call('secret', 'value', [name], `asking for the secret ${name}`),
  basicAuthorization: (user, name) => call('secret', 'basicAuthorization', [user, name], `asking for the secret ${name}`),
};

const command = (line, { environment = {}, input, timeout } = {}) => (
  { line, environment: Object.entries(environment), input: bytes(input), timeoutMs: millis(timeout) }
);

/** Commands and files on the node that the step is for. */
export const target = {
  quote: (text) => `'${text.replaceAll("'", "'\\''")}'`,
  capture: (line, options) => {
    const done = call('target', 'capture', [command(line, options)], `running \`${line}\` on the node`);
    return { status: done.ending.val, stdout: utf8(done.stdout), stderr: utf8(done.stderr) };
  },
  text: (line, options) => {
    const { status, stdout, stderr } = target.capture(line, options);
    if (status !== 0) {
      throw new Failure(`\`${line}\` on the node ended with ${status}: ${stderr.trim()}`, { kind: 'command-failed' });
    }
    return stdout;
  },
  run: (line, options) => call('target', 'run', [command(line, options)], `running \`${line}\` on the node`).val,
  upload: (local, remote, keepTimes = false) => (
    call('target', 'upload', [local, remote, keepTimes], `copying ${local} to ${remote} on the node`)
  ),
  download: (remote, local, keepTimes = false) => (
    call('target', 'download', [remote, local, keepTimes], `copying ${remote} of the node to ${local}`)
  ),
  listDirectory: (path) => call('target', 'listDirectory', [path], `listing ${path} on the node`),
  stat: (path) => call('target', 'stat', [path], `looking at ${path} on the node`),
  openSession: (columns = 500, rows = 200) => {
    const handle = call('target', 'openSession', [columns, rows], 'opening a terminal session on the node');
    return {
      send: (data) => method(handle, 'send', [bytes(data)], 'typing into the terminal session'),
      receive: (timeout) => utf8(method(handle, 'receive', [millis(timeout)], 'waiting for output of the session')),
    };
  },
};

const file = (name, verb) => (path, ...rest) => call('filesystem', name, [path, ...rest], `${verb} ${path}`);

/** Files below directories of the runner that the policy names. */
export const filesystem = {
  stat: file('stat', 'looking at'),
  listDirectory: file('listDirectory', 'listing'),
  read: (path, limit = 16 << 20) => {
    const pieces = [];
    let size = 0;
    for (;;) {
      const piece = call('filesystem', 'read', [path, BigInt(size), 1 << 20], `reading ${path}`);
      if (piece.length === 0) break;
      pieces.push(piece);
      size += piece.length;
      if (size > limit) throw new HostError('too-large', limit, `reading ${path}`);
    }
    const whole = new Uint8Array(size);
    let at = 0;
    for (const piece of pieces) {
      whole.set(piece, at);
      at += piece.length;
    }
    return whole;
  },
  readText: (path, limit) => utf8(filesystem.read(path, limit)),
  write: (path, content) => call('filesystem', 'write', [path, bytes(content)], `writing ${path}`),
  append: (path, content) => call('filesystem', 'append', [path, bytes(content)], `appending to ${path}`),
  createDirectory: file('createDirectory', 'making'),
  rename: file('rename', 'renaming'),
  remove: file('remove', 'removing'),
  setModified: (path, seconds) => (
    call('filesystem', 'setModified', [path, BigInt(Math.trunc(seconds))], `setting the time of ${path}`)
  ),
  setMode: file('setMode', 'setting the permissions of'),
};

/** Calls of the console server. */
export const server = {
  call: (name, parameters = {}) => (
    JSON.parse(call('server', 'call', [name, JSON.stringify(parameters)], `the server call ${name}`))
  ),
};

/** Documents that steps of many jobs share. */
export const documents = {
  find: (collection, filter, limit = 1000) => (
    call('documents', 'find', [collection, JSON.stringify(filter), limit], `looking for documents in ${collection}`)
      .map((text) => JSON.parse(text))
  ),
  save: (collection, filter, document) => call(
    'documents', 'save', [collection, JSON.stringify(filter), JSON.stringify(document)], `saving a document in ${collection}`,
  ),
  remove: (collection, filter) => (
    call('documents', 'remove', [collection, JSON.stringify(filter)], `removing documents from ${collection}`)
  ),
};

/** Global locks: `lock.exclusive(name, 10, () => …)` holds it while the function runs. */
const held = (mode) => (name, wait, act) => {
  const handle = call('lock', 'acquire', [name, mode, millis(wait)], `waiting for the lock ${name}`);
  try {
    return act();
  } finally {
    handle?.[Symbol.dispose]?.();
  }
};
export const lock = { shared: held('read'), exclusive: held('write') };

/** Asks a person; gives the list of what was chosen or entered, or null when the person went on without an answer. */
export const interact = {
  ask: ({ title, message = '', choices = [], kind, role, timeout = 0 }) => {
    const question = {
      kind: kind ?? (choices.length > 0 ? 'button' : 'input'), title, message, choices, role,
      timeoutMs: BigInt(Math.trunc(timeout * 1000)),
    };
    const answer = call('interact', 'ask', [question], `asking "${title}"`);
    return answer.tag === 'given' ? answer.val : null;
  },
};

/** Programs of the runner that the policy names; no shell is involved. */
export const program = {
  run: (name, args = [], { environment = {}, directory, input, timeout } = {}) => {
    const invocation = {
      name, arguments: args, environment: Object.entries(environment), directory, input: bytes(input), timeoutMs: millis(timeout),
    };
    const done = call('program', 'run', [invocation], `running ${name}`);
    return { status: done.status, stdout: utf8(done.stdout), stderr: utf8(done.stderr) };
  },
};

/** TCP and TLS connections to services. */
export const connection = {
  connect: (host, port, timeout = 30) => {
    const peer = `${host}:${port}`;
    const limit = millis(timeout);
    const handle = call('connection', 'connect', [host, port, limit], `connecting to ${peer}`);
    return {
      startTls: (name) => method(handle, 'startTls', [name, limit], `starting TLS with ${peer}`),
      send: (data) => method(handle, 'send', [bytes(data), limit], `sending to ${peer}`),
      /** Waits for bytes; null at the end. */
      receive: () => {
        const got = method(handle, 'receive', [65536, limit], `reading from ${peer}`);
        if (got.tag === 'nothing') throw new HostError('timed-out', undefined, `waiting for ${peer}`);
        return got.tag === 'data' ? got.val : null;
      },
    };
  },
};

/** Datagrams (UDP) to and from one peer. */
export const datagrams = {
  open: (host, port) => {
    const peer = `${host}:${port}`;
    const handle = call('connection', 'openDatagrams', [host, port], `preparing datagrams to ${peer}`);
    return {
      send: (data) => method(handle, 'send', [bytes(data)], `sending a datagram to ${peer}`),
      /** Waits for one; null when none came in time. */
      receive: (timeout) => {
        const got = method(handle, 'receive', [millis(timeout)], `waiting for a datagram of ${peer}`);
        return got.tag === 'data' ? got.val : null;
      },
    };
  },
};

/** SNMP agents: `snmp.agent('10.0.0.1', { tag: 'v2c', val: community })`. */
export const snmp = {
  agent: (host, credentials, { port = 161, timeout = 5, retries = 2 } = {}) => {
    const agent = { host, port, credentials, timeoutMs: millis(timeout), retries };
    const doing = (what) => `asking the SNMP agent ${host}:${port} for ${what}`;
    return {
      get: (...names) => call('snmp', 'get', [agent, names], doing(names.join(', '))),
      walk: (root, limit = 10000) => call('snmp', 'walk', [agent, root, limit], doing(root)),
    };
  },
};

/** HTTP requests; an answer has `status`, `headers` (pairs), `body` (bytes), `text()` and `json()`. */
export const http = {
  request: (method_, url, { headers = {}, body, json, timeout = 60, limit = 16 << 20 } = {}) => {
    const pairs = Object.entries(headers);
    if (json !== undefined) pairs.push(['content-type', 'application/json']);
    const content = bytes(json === undefined ? body : JSON.stringify(json));
    const answer = current().http({ method: method_, url, headers: pairs, body: content, timeout, limit });
    return {
      ...answer,
      header: (name) => answer.headers.find(([own]) => own.toLowerCase() === name.toLowerCase())?.[1],
      text: () => utf8(answer.body),
      json: () => JSON.parse(utf8(answer.body)),
    };
  },
  get: (url, options) => http.request('GET', url, options),
  post: (url, options) => http.request('POST', url, options),
};
