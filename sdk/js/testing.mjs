// Runs a tool without a component, against a host that is a fake: a call that was not expected fails the test, and so does one
// that was expected and never came.
//
//   const host = new Host();
//   host.expect('net-probe.tcpConnect', 'db', 22).answers(3);
//   host.run(tool, { host: 'db' });
//   host.verify();
//
// Log, outputs, facts of the job, time and random numbers work at once. Files that were made readable or writable with `host.files` work
// as on a disk. A session or connection answers with a `Script`.

import { bytes, joined } from './capabilities/common.mjs';
import { HostError } from './failure.mjs';
import { install } from './host.mjs';
import { outputNames } from './options.mjs';
import { Files, Refused } from './testing/files.mjs';
import { recordedValues } from './testing/recorded.mjs';
import { Script, Talk } from './testing/script.mjs';
import { callOf, readOptions } from './tool.mjs';

export { Script };

/** Any argument. */
export const ANY = Symbol('any');

const plain = (_, inner) => {
  if (inner === ANY) return 'ANY';
  if (inner instanceof Uint8Array) return Array.from(inner);
  return typeof inner === 'bigint' ? `${inner}n` : inner;
};
const show = (value) => JSON.stringify(value, plain);
const same = (wanted, given) => wanted === ANY || show(wanted) === show(given);

const MARKS = { plain: '', info: 'INFO: ', fine: 'FINE: ', warn: 'WARN: ', error: 'ERROR: ' };

/** What `fails` says; the host adds what was tried. */
class Refusal {
  constructor(reason, detail) {
    Object.assign(this, { reason, detail });
  }
}

/** A call that is expected, and what it answers: nothing, unless it is said. */
class Expected {
  /** How often it is still expected. */
  left = 1;

  constructor(name, args) {
    Object.assign(this, { name, args, answer: () => undefined });
  }

  /** Answers this. */
  answers(value) {
    return this.answersWith(() => value);
  }

  /** Answers what the function makes of the arguments. It may check them. */
  answersWith(act) {
    this.answer = act;
    return this;
  }

  /** Fails with a case of the WIT error, such as "timed-out". */
  fails(reason, detail) {
    return this.answersWith(() => { throw new Refusal(reason, detail); });
  }

  /** The command or program writes this to standard output and ends with status 0. */
  prints(text) {
    return this.answers({ status: 0, ending: { tag: 'exited', val: 0 }, stdout: bytes(text), stderr: bytes('') });
  }

  /** The command or program writes this to standard error and ends with this status. */
  exits(status, errors = '') {
    return this.answers({ status, ending: { tag: 'exited', val: status }, stdout: bytes(''), stderr: bytes(errors) });
  }

  /** Expects the call so many times. */
  times(count) {
    this.left = count;
    return this;
  }

  /** Answers however often it is asked, also never. */
  always() {
    this.left = Infinity;
    return this;
  }

  fits(name, args) {
    return this.name === name && this.args.length <= args.length && this.args.every((wanted, number) => same(wanted, args[number]));
  }

  toJSON() {
    return `${this.name}(${this.args.map(show).join(', ')})`;
  }
}

/** The fake host; the last one that was made is the one that is used. Expectations that nobody verifies fail the file of tests at its
 * end. */
export class Host {
  static #unverified = new Set();
  static #watches = false;
  #expected = [];
  #talks = [];
  #began = 1704067200;
  #offset = 0;
  #tool;

  constructor() {
    /** What was logged: level and line. */
    this.log = [];
    /** Bytes that were passed through to the log. */
    this.written = new Uint8Array();
    this.outputs = {};
    this.liveData = undefined;
    this.context = { jobId: '1', phase: 'test', group: 1, operationId: 'test/tool_1', execUser: 'tester', tenant: '' };
    this.node = { resourceId: 0n, host: 'local', name: 'local', nodeType: '', protocol: '', username: '' };
    this.variables = {};
    /** Seconds that the tool has waited in all. Waiting takes no time in a test. */
    this.waited = 0;
    this.files = new Files();
    install(this);
    Host.#unverified.add(this);
    if (!Host.#watches) process.once('exit', () => Host.#complain());
    Host.#watches = true;
  }

  static #complain() {
    for (const host of Host.#unverified) {
      const missing = host.#missing();
      if (missing !== undefined) {
        console.error(`${missing}: end the test with \`host.verify()\``);
        process.exitCode ||= 1;
      }
    }
  }

  /** Expects one call; arguments beyond those named do not matter. HTTP is `expect('http', 'GET', url, request)` and answers
   * `{ status, headers, body }`, the body being text, bytes or a list of pieces. `target.openSession`, `connection.connect` and
   * `connection.openDatagrams` answer with a `Script`. */
  expect(name, ...args) {
    const expected = new Expected(name, args);
    this.#expected.push(expected);
    return expected;
  }

  /** Answers every question to this agent from a recorded walk: the output of `snmpwalk -On -Oe` over the device. What is not in it does
   * not exist there. Any credentials are taken. */
  snmpRecorded(address, walk) {
    const device = recordedValues(walk);
    const ofAgent = (answer) => (agent, ...args) => {
      if (agent.host !== address) throw new Error(`the tool asks the SNMP agent ${agent.host}, expected is ${address}`);
      return answer(...args);
    };
    const find = (name) => device.find((one) => one.name === name) ?? { name, value: { tag: 'none' } };
    this.expect('snmp.get').always().answersWith(ofAgent((names) => names.map(find)));
    this.expect('snmp.walk').always().answersWith(ofAgent((root) => device.filter(({ name }) => name.startsWith(`${root}.`))));
  }

  /** The time of day, and the seconds to add for local time. */
  setTime(unixSeconds, utcOffset = 0) {
    this.#began = unixSeconds - this.waited;
    this.#offset = utcOffset;
  }

  /** Runs a tool with options; gives its line for the operator. */
  run(tool, given = {}, args = []) {
    return this.#ask('run', tool, given, args);
  }

  /** Asks a tool what it would change. */
  check(tool, given = {}, args = []) {
    return this.#ask('check', tool, given, args);
  }

  /** Asks a tool whether an interrupted run took effect. */
  probe(tool, given = {}, args = []) {
    return this.#ask('probe', tool, given, args);
  }

  #ask(what, tool, given, args) {
    // As the executor does: empty ones never reach a tool.
    const set = Object.entries(given).filter(([, value]) => value !== undefined && value !== null && value !== '');
    const [options, unknown] = readOptions(tool, Object.fromEntries(set));
    if (unknown.length > 0) throw new Error(`options that the tool does not have: ${unknown.join(', ')}`);
    this.#tool = tool;
    return tool[what](callOf(options, args));
  }

  /** Fails when something that was expected has not happened. */
  verify() {
    Host.#unverified.delete(this);
    const missing = this.#missing();
    if (missing !== undefined) throw new Error(missing);
  }

  #missing() {
    const calls = this.#expected.filter(({ left }) => left !== Infinity);
    if (calls.length > 0) return `expected of the tool, but not done: ${show(calls)}`;
    const [unsent] = this.#talks.flatMap((talk) => talk.missing());
    return unsent === undefined ? undefined : `the tool was expected to send ${JSON.stringify(unsent)}`;
  }

  /** The lines that were logged, without their levels. */
  get lines() {
    return this.log.map(([, text]) => text);
  }

  /** The lines that were logged, as the node's log shows them: `INFO: text`. */
  get logLines() {
    return this.log.map(([level, text]) => `${MARKS[level]}${text}`);
  }

  call(capability, name, args, doing) {
    const always = this.#always(`${capability}.${name}`, args);
    if (always) return always();
    const whole = `${capability}.${name}`;
    if (capability === 'filesystem' && this.files.isUsed && !this.#expected.some((one) => one.fits(whole, args))) {
      return refusing(() => this.files.call(name, args), doing);
    }
    const answer = this.#answer(whole, args, doing);
    if (!(answer instanceof Script)) return answer;
    const startTls = (server) => this.#answer('connection.startTls', [server], doing);
    const talk = new Talk(answer, { isSession: capability === 'target', args, startTls, pass: (seconds) => { this.waited += seconds; } });
    this.#talks.push(talk);
    return talk;
  }

  method(handle, name, args, doing) {
    return handle?.[name] ? refusing(() => handle[name](...args), doing) : this.#answer(name, args, doing);
  }

  http({ pieces, ...request }) {
    const sent = { ...request, body: joined([...pieces]) };
    const { status, headers = [], body = [] } = this.#answer('http', [request.method, request.url, sent], `${request.method} ${request.url}`);
    const answered = typeof body === 'string' || body instanceof Uint8Array ? [bytes(body)] : body;
    return { status, headers, pieces: answered.map(bytes).filter((piece) => piece.length > 0) };
  }

  #answer(name, args, doing) {
    const at = this.#expected.findIndex((one) => one.fits(name, args));
    if (at < 0) {
      throw new Error(`the tool did what was not expected: ${name}(${show(args)}); expected: ${show(this.#expected)}`);
    }
    const expected = this.#expected[at];
    expected.left -= 1;
    if (expected.left === 0) this.#expected.splice(at, 1);
    return refusing(() => expected.answer(...args), doing);
  }

  #always(name, args) {
    return {
      'log.line': () => { this.log.push(...args[1].split('\n').map((line) => [args[0], line])); },
      'log.write': () => { this.written = joined([this.written, args[0]]); },
      'output.set': () => {
        const known = outputNames(this.#tool?.outputs ?? {});
        if (this.#tool && !known.includes(args[0])) {
          throw new Error(`the tool puts out \`${args[0]}\`, which its outputs do not describe: ${known.join(', ')}`);
        }
        this.outputs[args[0]] = JSON.parse(args[1]);
      },
      'output.setLiveData': () => { this.liveData = JSON.parse(args[0]); },
      'job.getContext': () => this.context,
      'job.getNode': () => this.node,
      'job.getVariable': () => this.variables[args[0]],
      'job.listVariables': () => Object.entries(this.variables).map(([own, value]) => ({ name: own, value })),
      'monotonic-clock.now': () => BigInt(Math.trunc(this.waited * 1e9)),
      'monotonic-clock.subscribeDuration': () => ({ block: () => { this.waited += Number(args[0]) / 1e9; } }),
      'wall-clock.now': () => ({ seconds: BigInt(Math.trunc(this.#began + this.waited)), nanoseconds: 0 }),
      'local-time.utcOffset': () => this.#offset,
      'random.getRandomU64': () => 0x9e3779b97f4a7c15n,
      'random.getRandomBytes': () => Uint8Array.from({ length: Number(args[0]) }, (_, number) => number % 251),
    }[name];
  }
}

/** Adds to what a fake says no to what was tried. */
function refusing(act, doing) {
  try {
    return act();
  } catch (error) {
    if (error instanceof Refusal || error instanceof Refused) throw new HostError(error.reason, error.detail, doing);
    throw error;
  }
}
