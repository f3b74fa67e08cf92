// The other side of a session or connection, as a script.

import { bytes, joined, peerOf, utf8 } from '../capabilities/common.mjs';
import { Refused } from './files.mjs';

/** What the other side shows, and what it expects to be sent, in their order:
 * `new Script().shows('login: ').expects('admin\n').shows('sw1#')`. Without `ends` it stays there and is silent. */
export class Script {
  steps = [];
  isEnded = false;

  /** Shows text or bytes, which the tool gets in one piece. */
  shows(text) {
    return this.#then('shows', bytes(text));
  }

  /** Is silent for so many seconds. */
  pauses(seconds) {
    return this.#then('pauses', seconds);
  }

  /** Expects that exactly this is sent, however many pieces it takes. */
  expects(text) {
    return this.#then('expects', bytes(text));
  }

  /** Ends after the last step. */
  ends() {
    this.isEnded = true;
    return this;
  }

  #then(kind, value) {
    this.steps.push({ kind, value });
    return this;
  }
}

const begins = (whole, part) => part.length <= whole.length && part.every((byte, at) => byte === whole[at]);

/** A script in use, as a session or as a connection. */
export class Talk {
  #steps;
  #isEnded;
  #use;
  #sent = new Uint8Array();

  constructor({ steps, isEnded }, use) {
    this.#steps = [...steps];
    this.#isEnded = isEnded;
    this.#use = use;
  }

  /** What was expected to be sent and was not. */
  missing() {
    return this.#steps.filter(({ kind }) => kind === 'expects').map(({ value }) => utf8(value));
  }

  peerAddress() {
    return peerOf(...this.#use.args);
  }

  startTls(server) {
    return this.#use.startTls(server);
  }

  send(data) {
    this.#sent = joined([this.#sent, data]);
    const [{ kind, value } = {}] = this.#steps;
    if (kind !== 'expects' || !begins(value, this.#sent)) {
      const wanted = kind === 'expects' ? JSON.stringify(utf8(value)) : 'nothing now';
      throw new Error(`the tool sent ${JSON.stringify(utf8(this.#sent))}, expected was ${wanted}`);
    }
    if (this.#sent.length === value.length) {
      this.#sent = new Uint8Array();
      this.#steps.shift();
    }
  }

  /** A session is asked with a time limit, a stream with the most bytes and a time limit, both in milliseconds. */
  receive(...limits) {
    const got = this.#hear(limits.length > 1 ? limits[0] : Infinity, limits.at(-1) / 1000);
    if (!this.#use.isSession) {
      if (got === null) return { tag: 'end' };
      return got.length > 0 ? { tag: 'data', val: got } : { tag: 'nothing' };
    }
    if (got === null) throw new Refused('disconnected', 'the session has ended');
    return got;
  }

  #hear(most, timeout) {
    const [step] = this.#steps;
    if (step?.kind === 'shows') {
      const rest = step.value.slice(most);
      this.#steps.splice(0, 1, ...(rest.length > 0 ? [{ kind: 'shows', value: rest }] : []));
      return step.value.slice(0, most);
    }
    if (step?.kind === 'pauses') {
      const passed = Math.min(timeout, step.value);
      this.#use.pass(passed);
      if (passed < step.value) {
        this.#steps[0] = { kind: 'pauses', value: step.value - passed };
        return new Uint8Array();
      }
      this.#steps.shift();
      return this.#hear(most, timeout - passed);
    }
    if (step === undefined && this.#isEnded) return null;
    this.#use.pass(timeout);
    return new Uint8Array();
  }
}
