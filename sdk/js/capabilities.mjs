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
  /** A reference as jobs write it, `#{phase.bundle/tool_1.name}` or without the frame, as the arguments of `find`. */
  parse: (text) => {
    const parts = text.trim().replace(/^#\{(.*)\}$/, '$1').split('.').map((part) => part.trim());
    if (parts.length !== 3 || parts.includes('')) {
      throw new Failure(`Malform output key ${text}.`, { kind: 'invalid-option' });
    }
    return parts;
  },
  find: (phase, operationId, name) => {
    const doing = `reading the outputs ${phase}.${operationId}.${name}`;
    const found = call('step-outputs', 'find', [phase, operationId, name], doing);
    return found.map((one) => ({ ...one, value: JSON.parse(one.value) }));
  },
};

/** The nodes of this job. */
export const jobNodes = {
  /** Nodes of a phase in the order of the list, from `offset`; at most `limit`. */
  page: (phase, offset, limit) => call('job-nodes', 'list', [phase, offset, limit], `listing the nodes of phase ${phase}`),
  all: function* all(phase) {
    const size = 500;
    for (let offset = 0; ; offset += size) {
      const page = jobNodes.page(phase, offset, size);
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

/** Pieces of bytes as one. */
const joined = (pieces) => {
  const whole = new Uint8Array(pieces.reduce((size, piece) => size + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
};

/** All pieces as one, which must not have more than `limit` bytes. */
const gathered = (pieces, limit, tooMany) => {
  const all = [];
  let size = 0;
  for (const piece of pieces) {
    all.push(piece);
    size += piece.length;
    if (size > limit) throw tooMany();
  }
  return joined(all);
};

/** Files below directories of the runner that the policy names. */
export const filesystem = {
  /** The absolute path of one that is relative to the job's directory; an absolute path stays as it is. */
  inJob: (path) => {
    if (path.startsWith('/')) return path;
    const directory = job.variable('AUTOEXEC_WORK_PATH') ?? '';
    if (!directory.startsWith('/')) {
      throw new Failure(`${path} is relative to the job's directory, and there is no job here`, { kind: 'no-job' });
    }
    return `${directory.replace(/\/+$/, '')}/${path}`;
  },
  /** The directory of what the steps of this node have put out, `<bundle>/<step>.json` for each. It need not exist yet. */
  nodeOutputs: () => {
    const { host, port, resourceId } = job.node();
    // As the executor names it.
    return filesystem.inJob(`output-op/${host.replace(/[/\u0000-\u001f\u007f-\u009f]/g, '_')}-${port ?? ''}-${resourceId}`);
  },
  /** The directory where files belong that this step puts out: the server offers them for download. */
  outputDirectory: () => `${filesystem.nodeOutputs()}/${job.context().operationId}`,
  stat: file('stat', 'looking at'),
  exists: (path) => {
    try {
      filesystem.stat(path);
      return true;
    } catch (error) {
      if (error.reason === 'not-found') return false;
      throw error;
    }
  },
  listDirectory: file('listDirectory', 'listing'),
  /** The file piece by piece. */
  chunks: function* chunks(path) {
    for (let size = 0; ;) {
      const piece = call('filesystem', 'read', [path, BigInt(size), 1 << 20], `reading ${path}`);
      if (piece.length === 0) return;
      yield piece;
      size += piece.length;
    }
  },
  read: (path, limit = 16 << 20) => (
    gathered(filesystem.chunks(path), limit, () => new HostError('too-large', limit, `reading ${path}`))
  ),
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

/** Documents that steps of many jobs share. What JSON has no type for stands in them as MongoDB's extended JSON: a date is found as
 * `{ $date: '2024-01-01T00:00:00Z' }`, and stays one when the document is saved again. A text that looks like a date is a text, by which
 * no document expires. */
export const documents = {
  /** A date in a document, to the millisecond, from seconds since 1970: what `clock.now` gives. */
  date: (seconds) => ({ $date: { $numberLong: String(Math.trunc(seconds * 1000)) } }),
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
    const reading = (reason, detail) => new HostError(reason, detail, `reading from ${peer}`);
    let ahead = new Uint8Array();
    const stream = {
      peer,
      startTls: (name) => method(handle, 'startTls', [name, limit], `starting TLS with ${peer}`),
      send: (data) => method(handle, 'send', [bytes(data), limit], `sending to ${peer}`),
      /** Waits for bytes; null at the end. With a time limit of its own, in seconds, it is null when nothing came in time, too. */
      receive: (within) => {
        if (ahead.length > 0) {
          const before = ahead;
          ahead = new Uint8Array();
          return before;
        }
        const got = method(handle, 'receive', [65536, within === undefined ? limit : millis(within)], `reading from ${peer}`);
        if (got.tag === 'nothing' && within === undefined) throw new HostError('timed-out', undefined, `waiting for ${peer}`);
        return got.tag === 'data' ? got.val : null;
      },
      /** Text up to the line feed, without it and a carriage return in front of it; null when the peer sends no more. A line of more
       * than `most` bytes and an end within a line are errors. */
      receiveLine: (most = 64 << 10) => {
        let line = new Uint8Array();
        for (let piece = stream.receive(); piece !== null; piece = stream.receive()) {
          const end = piece.indexOf(10);
          line = joined([line, end < 0 ? piece : piece.subarray(0, end)]);
          if (end >= 0) {
            ahead = piece.subarray(end + 1);
            return utf8(line).replace(/\r$/, '');
          }
          if (line.length > most) throw reading('other', `a line of more than ${most} bytes`);
        }
        if (line.length > 0) throw reading('closed', 'within a line');
        return null;
      },
      /** All bytes until the peer sends no more, which must not be more than `most`. */
      receiveAll: (most = 16 << 20) => {
        const rest = function* rest() {
          for (let piece = stream.receive(); piece !== null; piece = stream.receive()) yield piece;
        };
        return gathered(rest(), most, () => reading('other', `more than ${most} bytes`));
      },
    };
    return stream;
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
      /** The value of one object; undefined when there is none. */
      getOne: (name) => call('snmp', 'get', [agent, [name]], doing(name))[0]?.value,
      walk: (root, limit = 10000) => call('snmp', 'walk', [agent, root, limit], doing(root)),
    };
  },
};

const CREDENTIALS = ['authorization', 'cookie', 'proxy-authorization'];
const REDIRECTS = [301, 302, 303, 307, 308];

const form_ = (fields) => {
  const encoded = (text) => encodeURIComponent(text).replaceAll('%20', '+');
  return Object.entries(fields).map(([name, value]) => `${encoded(name)}=${encoded(value)}`).join('&');
};

/** What a redirect changes of the next request: who is asked may not learn the credentials for another. */
const redirected = (request, status, location) => {
  const [from, to] = [new URL(request.url), new URL(location, request.url)];
  let { method: verb, body, headers } = request;
  if (from.origin !== to.origin) headers = headers.filter(([name]) => !CREDENTIALS.includes(name.toLowerCase()));
  if (![307, 308].includes(status) && !['GET', 'HEAD'].includes(verb)) {
    [verb, body] = ['GET', bytes('')];
    headers = headers.filter(([name]) => !name.toLowerCase().startsWith('content-'));
  }
  return { ...request, method: verb, body, headers, url: to.href };
};

const headerOf = (answer, name) => answer.headers.find(([own]) => own.toLowerCase() === name.toLowerCase())?.[1];

/** HTTP requests; an answer has `url`, `status`, `headers` (pairs), `body` (bytes), `header(name)`, `text()`, `json()` and `requireSuccess()`,
 * which gives the answer itself when the status is 2xx. The body of a request is given as it is, as a document (`json`) or as the fields of
 * a `form`. A redirect is an answer like others unless `redirects` says how many are followed. */
export const http = {
  request: (method_, url, { headers = {}, body, json, form, timeout = 60, redirects = 0, limit = 16 << 20 } = {}) => {
    const pairs = Object.entries(headers);
    let content = body;
    if (json !== undefined) {
      pairs.push(['content-type', 'application/json']);
      content = JSON.stringify(json);
    } else if (form !== undefined) {
      pairs.push(['content-type', 'application/x-www-form-urlencoded']);
      content = form_(form);
    }
    let request = { method: method_, url, headers: pairs, body: bytes(content), timeout, limit };
    let answer = current().http(request);
    for (let followed = 0; redirects > 0; followed += 1) {
      const location = REDIRECTS.includes(answer.status) ? headerOf(answer, 'location') : undefined;
      if (location === undefined) break;
      if (followed === redirects) throw new HostError('too-many-redirects', redirects, `${method_} ${url}`);
      request = redirected(request, answer.status, location);
      answer = current().http(request);
    }
    const whole = {
      ...answer,
      url: request.url,
      header: (name) => headerOf(answer, name),
      text: () => utf8(answer.body),
      json: () => JSON.parse(utf8(answer.body)),
      requireSuccess: () => {
        if (answer.status >= 200 && answer.status < 300) return whole;
        const kind = { 401: 'denied', 403: 'denied', 404: 'not-found', 410: 'not-found' }[answer.status] ?? 'http-status';
        const begin = whole.text().split(/\s+/).join(' ').slice(0, 300);
        throw new Failure(`${request.url}: the answer has the status ${answer.status}: ${begin}`, { kind });
      },
    };
    return whole;
  },
  get: (url, options) => http.request('GET', url, options),
  head: (url, options) => http.request('HEAD', url, options),
  post: (url, options) => http.request('POST', url, options),
  put: (url, options) => http.request('PUT', url, options),
  delete: (url, options) => http.request('DELETE', url, options),
};
