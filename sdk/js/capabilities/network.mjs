// Probes, connections and datagrams.

import { Dialogue } from '../dialogue.mjs';
import { HostError } from '../failure.mjs';
import { call, method } from '../host.mjs';
import { bytes, gathered, joined, millis, peerOf, utf8 } from './common.mjs';

/** Asks whether a host is there. Times are in seconds. */
export const netProbe = {
  tcpConnect: (host, port, timeout = 5) => (
    call('net-probe', 'tcpConnect', [host, port, millis(timeout)], `connecting to ${peerOf(host, port)}`) / 1000
  ),
  icmpEcho: (host, timeout = 5) => call('net-probe', 'icmpEcho', [host, millis(timeout)], `pinging ${host}`) / 1e6,
};

const PIECE = 65536;

/** A TCP connection. `timeout` (seconds) holds for connecting and for every later step; it may be set anew. */
class Stream {
  #handle;
  #ahead = new Uint8Array();

  constructor(host, port, timeout) {
    this.peer = peerOf(host, port);
    this.timeout = timeout;
    this.#handle = call('connection', 'connect', [host, port, millis(timeout)], `connecting to ${this.peer}`);
  }

  /** Address of the peer, as far as the host tells it. */
  peerAddress() {
    return method(this.#handle, 'peerAddress', [], `asking for the address of ${this.peer}`);
  }

  /** Goes on in TLS, as a client. The certificate must be for this name. */
  startTls(name) {
    method(this.#handle, 'startTls', [name, millis(this.timeout)], `starting TLS with ${this.peer}`);
  }

  /** Sends all of the text or bytes. May hold references to secrets, each whole in one call. */
  send(data) {
    method(this.#handle, 'send', [bytes(data), millis(this.timeout)], `sending to ${this.peer}`);
  }

  /** Waits for bytes; null at the end. With a time limit of its own, in seconds, it is null when nothing came in time, too. */
  receive(within) {
    const got = this.hear(within ?? this.timeout);
    if (got?.length !== 0) return got;
    if (within === undefined) throw new HostError('timed-out', undefined, `waiting for ${this.peer}`);
    return null;
  }

  /** Waits for bytes at most this long: none when nothing came in time, null at the end. */
  hear(timeout) {
    if (this.#ahead.length > 0) {
      const before = this.#ahead;
      this.#ahead = new Uint8Array();
      return before;
    }
    const got = method(this.#handle, 'receive', [PIECE, millis(timeout)], `reading from ${this.peer}`);
    if (got.tag === 'data') return got.val;
    return got.tag === 'nothing' ? new Uint8Array() : null;
  }

  /** Text up to the line feed, without it and a carriage return in front of it; null when the peer sends no more. A line of more
   * than `most` bytes and an end within a line are errors. */
  receiveLine(most = 64 << 10) {
    let line = new Uint8Array();
    for (let piece = this.receive(); piece !== null; piece = this.receive()) {
      const end = piece.indexOf(10);
      line = joined([line, end < 0 ? piece : piece.subarray(0, end)]);
      if (end >= 0) {
        this.#ahead = piece.subarray(end + 1);
        return utf8(line).replace(/\r$/, '');
      }
      if (line.length > most) throw this.#reading('other', `a line of more than ${most} bytes`);
    }
    if (line.length > 0) throw this.#reading('closed', 'within a line');
    return null;
  }

  /** All bytes until the peer sends no more, which must not be more than `most`. */
  receiveAll(most = 16 << 20) {
    const stream = this;
    const rest = function* rest() {
      for (let piece = stream.receive(); piece !== null; piece = stream.receive()) yield piece;
    };
    return gathered(rest(), most, () => this.#reading('other', `more than ${most} bytes`));
  }

  /** Goes on with waiting for prompts and answering them. */
  dialogue(options) {
    return new Dialogue(this, options);
  }

  #reading(reason, detail) {
    return new HostError(reason, detail, `reading from ${this.peer}`);
  }
}

/** TCP and TLS connections to services. */
export const connection = {
  connect: (host, port, timeout = 30) => new Stream(host, port, timeout),
};

/** Datagrams (UDP) to and from one peer. */
export const datagrams = {
  open: (host, port) => {
    const peer = peerOf(host, port);
    const handle = call('connection', 'openDatagrams', [host, port], `preparing datagrams to ${peer}`);
    return {
      /** Address of the peer, as far as the host tells it. */
      peerAddress: () => method(handle, 'peerAddress', [], `asking for the address of ${peer}`),
      /** Sends one. Not for secrets: they would go in the clear. */
      send: (data) => method(handle, 'send', [bytes(data)], `sending a datagram to ${peer}`),
      /** Waits for one; null when none came in time. */
      receive: (timeout) => {
        const got = method(handle, 'receive', [millis(timeout)], `waiting for a datagram of ${peer}`);
        return got.tag === 'data' ? got.val : null;
      },
    };
  },
};
