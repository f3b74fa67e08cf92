// Waits for prompts and answers them, as `expect` does: for devices made for a person at a keyboard.

import { clock } from './capabilities/always.mjs';
import { joined } from './capabilities/common.mjs';
import { Failure } from './failure.mjs';

/** Marks after which a device waits for a key. */
export const PAGERS = ['--More--', '---- More ----', '-- More --', '<--- More --->'];

/** Characters a dialogue keeps while it waits. More without a match is a device out of control. */
const MOST_TEXT = 8 << 20;
// Control sequences and characters; all but carriage return and backspace are not shown.
const CONTROL = /\x1b\[[^\x40-\x7e]*[\x40-\x7e]|\x1b[^[]|[\x00-\x08\x0b-\x1f\x7f-\x9f]/g;
const SEQUENCE = /^\x1b(?:\[[^\x40-\x7e]*[\x40-\x7e]|[^[])/;
const escaped = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
const literal = (text) => new RegExp(escaped(text));

/** The prompts of most network devices and shells: the last line ends with one of these marks, and nothing follows. */
export const USUAL_PROMPT = /(?:^|(?<=\n))[^\n]*[>#$%\]] *$/;

/** The number of bytes in front that are whole characters. */
const wholeCharacters = (raw) => {
  for (let back = 1; back <= Math.min(raw.length, 3); back += 1) {
    const first = raw[raw.length - back];
    if (first >= 0xc0) {
      const needed = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
      return needed > back ? raw.length - back : raw.length;
    }
    if (first < 0x80) break;
  }
  return raw.length;
};

/** A dialogue with something that has `send(text)` and `receive(seconds)`, such as `target.openSession()`; the latter gives no text or
 * bytes when nothing came in time. What has `hear(seconds)` as well tells by null that nothing will come any more.
 *
 * `timeout` is that of each step, in seconds, and may be set anew. With `onSilence` it begins again with whatever comes; a device that
 * never stops is ended by the limits of the call. `pagers` are texts at the end of a page: a list, or an object with what answers each,
 * where that is not a blank. `newline` is what the return key sends. Text is taken as UTF-8, as a terminal would show it. */
export class Dialogue {
  #talk;
  #text = '';
  #raw = new Uint8Array();
  // What a control sequence has begun with.
  #begun = '';
  // A carriage return has come, and what follows decides: a line break, or the line is written anew.
  #returned = false;

  constructor(talk, { timeout = 30, pagers = PAGERS, newline = '\n', onSilence = false } = {}) {
    this.#talk = talk;
    Object.assign(this, { timeout, newline, onSilence });
    this.pagers = Array.isArray(pagers) ? Object.fromEntries(pagers.map((mark) => [mark, ' '])) : pagers;
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
    let begin = clock.monotonic();
    for (;;) {
      const found = expressions.map((one, which) => ({ which, match: one.exec(this.#text) })).filter(({ match }) => match);
      if (found.length > 0) {
        const { which, match } = found.reduce((first, next) => (next.match.index < first.match.index ? next : first));
        const before = this.#text.slice(0, match.index);
        this.#text = this.#text.slice(match.index + match[0].length);
        return { which, before, matched: match[0] };
      }
      this.#turnPage();
      const left = Math.max(this.timeout - (clock.monotonic() - begin), 0);
      const piece = this.#talk.hear ? this.#talk.hear(left) : this.#talk.receive(left);
      if (piece === null) throw this.#failure('unreachable', 'did not come before the end', expressions);
      if (piece.length > 0) {
        this.#add(piece);
        if (this.onSilence) begin = clock.monotonic();
      } else if (left === 0 || clock.monotonic() - begin >= this.timeout) {
        throw this.#failure('timed-out', 'did not come in time', expressions);
      }
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

  #failure(kind, what, expressions) {
    const shown = JSON.stringify(this.#text.slice(-120));
    return new Failure(`${expressions.join(' or ')} ${what} of the dialogue; the last that came is ${shown}`, { kind });
  }

  #add(piece) {
    let text = this.#begun + (typeof piece === 'string' ? piece : this.#decoded(piece));
    // A sequence that has begun is at most this long; a longer one is text.
    const escape = text.lastIndexOf('\x1b');
    const begun = escape >= 0 && escape >= text.length - 32 && !SEQUENCE.test(text.slice(escape));
    this.#begun = begun ? text.slice(escape) : '';
    if (begun) text = text.slice(0, escape);
    let at = 0;
    for (const control of text.matchAll(CONTROL)) {
      this.#show(text.slice(at, control.index));
      at = control.index + control[0].length;
      if (control[0] === '\r') {
        this.#returned = true;
      } else {
        this.#lineAnew();
        if (control[0] === '\b' && this.#text !== '' && !this.#text.endsWith('\n')) {
          this.#text = this.#text.replace(/[^]$/u, '');
        }
      }
    }
    this.#show(text.slice(at));
    if (this.#text.length > MOST_TEXT) {
      throw new Failure(`more than ${MOST_TEXT} characters came without a prompt`, { kind: 'too-large' });
    }
  }

  #decoded(piece) {
    const all = joined([this.#raw, piece]);
    const whole = wholeCharacters(all);
    this.#raw = all.slice(whole);
    return new TextDecoder().decode(all.subarray(0, whole));
  }

  #show(text) {
    if (text === '') return;
    if (text.startsWith('\n')) this.#returned = false;
    this.#lineAnew();
    this.#text += text;
  }

  #lineAnew() {
    if (this.#returned) this.#text = this.#text.slice(0, this.#text.lastIndexOf('\n') + 1);
    this.#returned = false;
  }

  #turnPage() {
    const shown = this.#text.replace(/ +$/, '');
    const mark = Object.keys(this.pagers).find((one) => shown.endsWith(one));
    if (mark !== undefined) {
      this.#text = shown.slice(0, -mark.length);
      this.#talk.send(this.pagers[mark]);
    }
  }
}
