// HTTP requests.

import { Failure, HostError } from '../failure.mjs';
import { current } from '../host.mjs';
import { clock } from './always.mjs';
import { bytes, gathered, joined, utf8 } from './common.mjs';
import { filesystem } from './filesystem.mjs';

const CREDENTIALS = ['authorization', 'cookie', 'proxy-authorization'];
const REDIRECTS = [301, 302, 303, 307, 308];
/** Bytes of a body that a failure shows. */
const SHOWN = 300;

/** An answer: its head is there, its body is read when it is asked for. */
class Response {
  #doing;
  #pieces;
  #limit;
  #body;

  constructor(doing, url, { status, headers, pieces }, taken, limit) {
    Object.assign(this, { url, status, headers, taken });
    this.#doing = doing;
    this.#pieces = pieces[Symbol.iterator]();
    this.#limit = limit;
  }

  /** Whether the status is 2xx. */
  get isSuccess() {
    return this.status >= 200 && this.status < 300;
  }

  /** The first value of a header. */
  header(name) {
    return this.headers.find(([own]) => own.toLowerCase() === name.toLowerCase())?.[1];
  }

  /** The body piece by piece, for bodies that need not fit into memory. A piece is handed out once. */
  * chunks() {
    if (this.#body !== undefined) {
      if (this.#body.length > 0) yield this.#body;
      return;
    }
    // Not `yield*`: who stops early may go on later.
    for (let next = this.#pieces.next(); !next.done; next = this.#pieces.next()) yield next.value;
  }

  /** The whole body, which must not have more bytes than the `limit` of the request. */
  get body() {
    this.#body ??= gathered(this.chunks(), this.#limit, () => new HostError('too-large', this.#limit, this.#doing));
    return this.#body;
  }

  /** The whole body as text; what is not UTF-8 is replaced. */
  text() {
    return utf8(this.body);
  }

  /** The whole body as JSON. */
  json() {
    try {
      return JSON.parse(this.text());
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
      throw new Failure(`${this.#doing}: the body is not JSON: ${error.message}`, { kind: 'invalid-data' });
    }
  }

  /** Writes the body to a file of the runner (granted for writing), piece by piece: under the name with `.part` until it is complete.
   * Gives its bytes, of which there must not be more than `limit`; `progress` is told how many are there after each piece. */
  save(path, limit, progress = () => {}) {
    const part = `${path}.part`;
    let size = 0;
    filesystem.write(part, '');
    try {
      for (const piece of this.chunks()) {
        size += piece.length;
        if (size > limit) throw new HostError('too-large', limit, this.#doing);
        filesystem.append(part, piece);
        progress(size);
      }
      filesystem.rename(part, path);
    } catch (error) {
      removed(part);
      throw error;
    }
    return size;
  }

  /** Itself when the status is 2xx, a failure with the begin of the body otherwise. */
  requireSuccess() {
    if (this.isSuccess) return this;
    const begin = utf8(this.#begin()).split(/\s+/).join(' ').trim().slice(0, SHOWN);
    const kind = { 401: 'denied', 403: 'denied', 404: 'not-found', 410: 'not-found' }[this.status] ?? 'http-status';
    throw new Failure(`${this.#doing}: the answer has the status ${this.status}${begin ? ': ' : ''}${begin}`, { kind });
  }

  #begin() {
    const pieces = [];
    let size = 0;
    try {
      for (const piece of this.chunks()) {
        pieces.push(piece);
        size += piece.length;
        if (size >= SHOWN) break;
      }
    } catch (error) {
      // The status says more than that the body broke off.
      if (!(error instanceof HostError)) throw error;
    }
    return joined(pieces);
  }
}

const removed = (path) => {
  try {
    filesystem.remove(path);
  } catch (error) {
    // What went wrong before is what the author has to hear.
    if (!(error instanceof HostError)) throw error;
  }
};

const encodedForm = (fields) => {
  const encoded = (text) => encodeURIComponent(text).replace(/[!'()~]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`)
    .replaceAll('%20', '+');
  return Object.entries(fields).map(([name, value]) => `${encoded(name)}=${encoded(value)}`).join('&');
};

/** Refuses what can not be asked before anything is sent. */
const checked = (url, doing) => {
  const parts = /^https?:\/\/([^/?#]+)/i.exec(url);
  if (!parts || parts[1].includes('@') || parts[1].startsWith(':') || !/^[\x21-\x7e]+$/.test(url)) {
    throw new HostError('invalid-url', 'http or https, a host, no user name, and no blanks', doing);
  }
};

/** The body of a request: its pieces, and their length where they are made while they are sent. */
const bodyOf = ({ body, length, file, json, form }, headers) => {
  if (file !== undefined) return { pieces: filesystem.chunks(file), length: filesystem.stat(file).size };
  let content = body;
  if (json !== undefined) {
    headers.push(['content-type', 'application/json']);
    content = JSON.stringify(json);
  } else if (form !== undefined) {
    headers.push(['content-type', 'application/x-www-form-urlencoded']);
    content = encodedForm(form);
  }
  if (content === undefined || content === null || typeof content === 'string' || content instanceof Uint8Array) {
    const whole = bytes(content);
    return { pieces: whole.length > 0 ? [whole] : [] };
  }
  if (length === undefined) throw new TypeError('a body in pieces needs its `length` in bytes');
  return { pieces: content, length };
};

/** HTTP requests. A status of 400 and above is an answer, not an error. The body of a request is given as it is (text or bytes), as pieces
 * of `length` bytes in all that are made while they are sent, as a `file` of the runner (granted for reading), as a document (`json`) or as
 * the fields of a `form`. A redirect is an answer like others unless `redirects` says how many are followed: without credentials where
 * another host, port or scheme is asked; a body in pieces can not be sent again, so a redirect that asks for it is an error. `timeout`
 * (seconds) is for all until the begin of the answer, and for each wait for more of its body; `limit` is the most bytes of its `body`. */
export const http = {
  request: (asked, address, { headers = {}, timeout = 60, redirects = 0, limit = 16 << 20, ...content } = {}) => {
    let [verb, url, sent] = [asked, address, Object.entries(headers)];
    let { pieces, length } = bodyOf(content, sent);
    if (length !== undefined) sent.push(['content-length', String(length)]);
    for (let followed = 0; ; followed += 1) {
      const doing = `${verb} ${url}`;
      checked(url, doing);
      const begin = clock.monotonic();
      const answer = current().http({ method: verb, url, headers: sent, pieces, timeout });
      const response = new Response(doing, url, answer, clock.monotonic() - begin, limit);
      const location = REDIRECTS.includes(response.status) ? response.header('location') : undefined;
      if (redirects === 0 || location === undefined) return response;
      if (followed === redirects) throw new HostError('too-many-redirects', redirects, doing);
      const [from, to] = [new URL(url), new URL(location, url)];
      if (from.origin !== to.origin) sent = sent.filter(([name]) => !CREDENTIALS.includes(name.toLowerCase()));
      if (![307, 308].includes(response.status) && !['GET', 'HEAD'].includes(verb)) {
        [verb, pieces, length] = ['GET', [], undefined];
        sent = sent.filter(([name]) => !name.toLowerCase().startsWith('content-'));
      }
      if (length !== undefined) throw new HostError('other', 'a redirect asks for a body again that was streamed', doing);
      url = to.href;
    }
  },
  get: (url, options) => http.request('GET', url, options),
  head: (url, options) => http.request('HEAD', url, options),
  post: (url, options) => http.request('POST', url, options),
  put: (url, options) => http.request('PUT', url, options),
  delete: (url, options) => http.request('DELETE', url, options),
};
