// Runs a tool without a component, against a host that is a fake: a call that was not expected fails the test, and so does one
// that was expected and never came.
//
//   const host = new Host();
//   host.expect('net-probe.tcpConnect', 'db', 22).answers(3);
//   host.run(tool, { host: 'db' });
//   host.verify();

import { HostError } from './failure.mjs';
import { install } from './host.mjs';
import { readOptions } from './tool.mjs';

/** Any argument. */
export const ANY = Symbol('any');

const same = (wanted, given) => wanted === ANY || show(wanted) === show(given);
const show = (value) => JSON.stringify(value, (_, inner) => (typeof inner === 'bigint' ? `${inner}n` : inner));

/** The fake host; the last one that was made is the one that is used. */
export class Host {
  #expected = [];
  #waited = 0;
  #tool;

  constructor() {
    this.log = [];
    this.outputs = {};
    this.liveData = undefined;
    this.context = { jobId: '1', phase: 'test', group: 1, operationId: 'test/tool_1', execUser: 'tester', tenant: '' };
    this.node = { resourceId: 0n, host: 'local', name: 'local', nodeType: '', protocol: '', username: '' };
    this.variables = {};
    install(this);
  }

  /** Expects one call; arguments beyond those named do not matter. HTTP is `expect('http', 'GET', url)` and answers
   * `{ status, headers, body }`. */
  expect(name, ...args) {
    const expected = { name, args, answer: undefined };
    this.#expected.push(expected);
    return {
      answers: (value) => { expected.answer = value; },
      fails: (reason, detail) => { expected.error = [reason, detail]; },
    };
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
    const [options, unknown] = readOptions(tool, given);
    if (unknown.length > 0) throw new Error(`options that the tool does not have: ${unknown.join(', ')}`);
    this.#tool = tool;
    return tool[what]({ options, arguments: args });
  }

  /** Fails when something that was expected has not happened. */
  verify() {
    if (this.#expected.length > 0) throw new Error(`expected of the tool, but not done: ${show(this.#expected)}`);
  }

  /** The lines that were logged, without their levels. */
  get lines() {
    return this.log.map(([, text]) => text);
  }

  call(capability, name, args, doing) {
    const always = this.#always(`${capability}.${name}`, args);
    return always ? always() : this.#answer(`${capability}.${name}`, args, doing);
  }

  method(handle, name, args, doing) {
    return handle?.[name] ? handle[name](...args) : this.#answer(name, args, doing);
  }

  http(request) {
    const args = [request.method, request.url, request];
    return this.#answer('http', args, `${request.method} ${request.url}`);
  }

  #answer(name, args, doing) {
    const at = this.#expected.findIndex((one) => (
      one.name === name && one.args.length <= args.length && one.args.every((wanted, number) => same(wanted, args[number]))
    ));
    if (at < 0) {
      throw new Error(`the tool did what was not expected: ${name}(${show(args)}); expected: ${show(this.#expected)}`);
    }
    const [expected] = this.#expected.splice(at, 1);
    if (expected.error) throw new HostError(...expected.error, doing);
    return expected.answer;
  }

  #always(name, args) {
    return {
      'log.line': () => { this.log.push(...args[1].split('\n').map((line) => [args[0], line])); },
      'log.write': () => { this.log.push(['raw', new TextDecoder().decode(args[0])]); },
      'output.set': () => {
        const known = Object.keys(this.#tool?.outputs ?? {});
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
      'monotonic-clock.now': () => BigInt(Math.trunc(this.#waited * 1e9)),
      'monotonic-clock.subscribeDuration': () => ({ block: () => { this.#waited += Number(args[0]) / 1e9; } }),
      'wall-clock.now': () => ({ seconds: BigInt(1704067200 + Math.trunc(this.#waited)), nanoseconds: 0 }),
      'local-time.utcOffset': () => 0,
      'random.getRandomU64': () => 0x9e3779b97f4a7c15n,
      'random.getRandomBytes': () => Uint8Array.from({ length: Number(args[0]) }, (_, number) => number % 251),
    }[name];
  }
}
