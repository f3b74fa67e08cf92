// Waits for prompts and answers them, as `expect` does: for devices made for a person at a keyboard.

import { clock } from './capabilities.mjs';
import { Failure } from './failure.mjs';

/** Marks after which a device waits for a key. */
export const PAGERS = ['--More--', '---- More ----', '-- More --', '<--- More --->'];

const ESCAPES = /\x1b\[[0-?]*[ -/]*[@-~]|\x1b[^[]/g;
const escaped = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
const literal = (text) => new RegExp(escaped(text));

/** The prompts of most network devices and shells: the last line ends with one of these marks, and nothing follows. */
export const USUAL_PROMPT = /(?:^|(?<=\n))[^\n]*[>#$%\]] *$/;

/** A dialogue with something that has `send(text)` and `receive(seconds)`, such as `target.openSession()`; the latter gives no text
 * when nothing came in time. Times are in seconds. */
export class Dialogue {
  #talk;
  #text = '';

  constructor(talk, { timeout = 30, pagers = PAGERS, newline = '\n' } = {}) {
    this.#talk = talk;
    Object.assign(this, { timeout, pagers, newline });
  }

  /** Types text as it is. May hold references to secrets. */
  send(text) {
    this.#talk.send(text);
  }

  /** Types text and the return key. */
  sendLine(text) {
    this.send(text + this.newline);
  }

  /** Waits for a text or a regular expression; gives what came before it. */
  waitFor(pattern) {
    return this.waitForAny([pattern]).before;
  }

  /** Waits for the first of several patterns to come: `which` it is, what came `before` it, and what it `matched`. */
  waitForAny(patterns) {
    const expressions = patterns.map((one) => (one instanceof RegExp ? one : literal(one)));
    const begin = clock.monotonic();
    for (;;) {
      const found = expressions.map((one, which) => ({ which, match: one.exec(this.#text) })).filter(({ match }) => match);
      if (found.length > 0) {
        const { which, match } = found.reduce((first, next) => (next.match.index < first.match.index ? next : first));
        const before = this.#text.slice(0, match.index);
        this.#text = this.#text.slice(match.index + match[0].length);
        return { which, before, matched: match[0] };
      }
      this.#turnPage();
      const left = this.timeout - (clock.monotonic() - begin);
      const piece = left > 0 ? this.#talk.receive(left) : '';
      if (!piece && clock.monotonic() - begin >= this.timeout) {
        const shown = JSON.stringify(this.#text.slice(-120));
        const wanted = expressions.join(' or ');
        throw new Failure(`${wanted} did not come in time; the last that came is ${shown}`, { kind: 'timed-out' });
      }
      this.#add(piece);
    }
  }

  /** Waits for any of the usual prompts; gives a pattern for those of the same device, which a drawing or a banner that ends like a
   * prompt does not fit. */
  learnPrompt() {
    const { matched } = this.waitForAny([USUAL_PROMPT]);
    const name = /^[<[({~*@ ]*([^(: >#$%\]]+)/.exec(matched.trim());
    return name ? new RegExp(`(?:^|(?<=\\n))[<\\[({~*@ ]*${escaped(name[1])}[^\\n]*[>#$%\\]] *$`) : USUAL_PROMPT;
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
