// Waits for prompts and answers them, as `expect` does: for devices made for a person at a keyboard.

import { clock } from './capabilities.mjs';
import { Failure } from './failure.mjs';

/** Marks after which a device waits for a key. */
export const PAGERS = ['--More--', '---- More ----', '-- More --', '<--- More --->'];

const ESCAPES = /\x1b\[[0-?]*[ -/]*[@-~]|\x1b[^[]/g;
const literal = (text) => new RegExp(text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));

/** A dialogue with something that has `send(text)` and `receive(seconds)`, such as `target.openSession()`; the latter gives no text
 * when nothing came in time. Times are in seconds. */
export class Dialogue {
  #talk;
  #text = '';

  constructor(talk, { timeout = 30, pagers = PAGERS, newline = '\n' } = {}) {
    this.#talk = talk;
    Object.assign(this, { timeout, pagers, newline });
  }

  /** Types text and the return key. */
  sendLine(text) {
    this.#talk.send(text + this.newline);
  }

  /** Waits for a text or a regular expression; gives what came before it. */
  waitFor(pattern) {
    const expression = pattern instanceof RegExp ? pattern : literal(pattern);
    const begin = clock.monotonic();
    for (;;) {
      const found = expression.exec(this.#text);
      if (found) {
        const before = this.#text.slice(0, found.index);
        this.#text = this.#text.slice(found.index + found[0].length);
        return before;
      }
      this.#turnPage();
      const left = this.timeout - (clock.monotonic() - begin);
      const piece = left > 0 ? this.#talk.receive(left) : '';
      if (!piece && clock.monotonic() - begin >= this.timeout) {
        const shown = JSON.stringify(this.#text.slice(-120));
        throw new Failure(`${expression} did not come in time; the last that came is ${shown}`, { kind: 'timed-out' });
      }
      this.#add(piece);
    }
  }

  /** Types a command and gives what it puts out until the prompt, without the echo of the command. */
  command(line, prompt) {
    this.#text = '';
    this.sendLine(line);
    const body = this.waitFor(prompt).replace(/^\n+/, '');
    const end = body.indexOf('\n');
    const first = end < 0 ? body : body.slice(0, end);
    return line && first.trimEnd().endsWith(line.trim()) ? (end < 0 ? '' : body.slice(end + 1)) : body;
  }

  #add(piece) {
    let text = (this.#text + piece).replace(ESCAPES, '').replaceAll('\r\n', '\n');
    while (text.includes('\b')) {
      // In a regular expression `\b` is a word boundary.
      const shorter = text.replace(/[^\n\x08]\x08|^\x08/, '');
      text = shorter === text ? text.replaceAll('\b', '') : shorter;
    }
    this.#text = text;
  }

  #turnPage() {
    const shown = this.#text.replace(/ +$/, '');
    const mark = this.pagers.find((one) => shown.endsWith(one));
    if (mark !== undefined) {
      this.#text = shown.slice(0, -mark.length);
      this.#talk.send(' ');
    }
  }
}
