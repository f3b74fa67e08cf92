// Capabilities about the job, the server and the runner: questions with one answer each.

import { Failure } from '../failure.mjs';
import { call } from '../host.mjs';
import { bytes, millis, utf8 } from './common.mjs';

/** Outputs of steps on other nodes of the job. */
export const stepOutputs = {
  /** A reference as jobs write it, `#{phase.bundle/tool_1.name}` or without the frame, as the arguments of `find`. */
  parse: (text) => {
    const parts = text.trim().replace(/^#\{(.*)\}$/, '$1').split('.').map((part) => part.trim());
    if (parts.length !== 3 || parts.includes('')) {
      throw new Failure(`Malform output key ${text}.`, { kind: 'invalid-option' });
    }
    return parts;
  },
  /** Values on all nodes that have the output: `{ resourceId, host, port, value, address, isRunner }`. */
  find: (phase, operationId, name) => {
    const doing = `reading the outputs ${phase}.${operationId}.${name}`;
    const found = call('step-outputs', 'find', [phase, operationId, name], doing);
    return found.map(({ resourceId, host, port, value }) => ({
      resourceId, host, port, value: JSON.parse(value), address: port === undefined ? host : `${host}:${port}`, isRunner: host === 'local',
    }));
  },
};

/** The nodes of this job. */
export const jobNodes = {
  /** Nodes of a phase in the order of the list, from `offset`; at most `limit`. */
  page: (phase, offset, limit) => call('job-nodes', 'list', [phase, offset, limit], `listing the nodes of phase ${phase}`),
  /** All nodes of a phase, read piece by piece: a job may have a hundred thousand. */
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

const QUESTIONS = ['button', 'select', 'mselect', 'input'];

/** Asks a person; gives the list of what was chosen or entered, or null when the person went on without an answer. */
export const interact = {
  ask: ({ title, message = '', choices = [], kind, role, timeout = 0 }) => {
    const shown = kind ?? (choices.length > 0 ? 'button' : 'input');
    if (!QUESTIONS.includes(shown)) throw new TypeError(`\`${shown}\` is not a kind of question; known are ${QUESTIONS.join(', ')}`);
    const question = { kind: shown, title, message, choices, role, timeoutMs: BigInt(Math.trunc(timeout * 1000)) };
    const answer = call('interact', 'ask', [question], `asking "${title}"`);
    return answer.tag === 'given' ? answer.val : null;
  },
};

/** Programs of the runner that the policy names; no shell is involved. */
export const program = {
  /** Runs it and waits for its end. That it ended with another status than 0 is no error. Secrets belong into `input`. */
  run: (name, args = [], { environment = {}, directory, input, timeout } = {}) => {
    const invocation = {
      name, arguments: args, environment: Object.entries(environment), directory, input: bytes(input), timeoutMs: millis(timeout),
    };
    const { status, stdout, stderr } = call('program', 'run', [invocation], `running ${name}`);
    return { status, stdout: utf8(stdout), stderr: utf8(stderr), stdoutBytes: stdout, stderrBytes: stderr };
  },
};
