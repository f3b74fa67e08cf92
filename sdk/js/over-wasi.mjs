// One HTTP request over the bindings of `wasi:http`. Only in components that ask for the capability `http`.

import { HostError } from './failure.mjs';
import { guard } from './host.mjs';

const METHODS = ['get', 'head', 'post', 'put', 'delete', 'options', 'patch'];

/** Bytes that `wasi:io` takes at once, and those asked for at once. */
const PIECE = 4096;
const CHUNK = 65536n;

/** The codes of `wasi:http` that are reasons of other capabilities, too. */
const REASONS = {
  'http-request-denied': 'denied', 'destination-ip-prohibited': 'denied', 'http-request-uri-invalid': 'invalid-url',
  'dns-timeout': 'timed-out', 'connection-timeout': 'timed-out', 'connection-read-timeout': 'timed-out',
  'connection-write-timeout': 'timed-out', 'http-response-timeout': 'timed-out', 'dns-error': 'unresolved',
  'destination-not-found': 'unresolved', 'connection-refused': 'refused', 'connection-terminated': 'closed',
  'http-response-incomplete': 'closed', 'tls-protocol-error': 'tls', 'tls-certificate-error': 'tls', 'tls-alert-received': 'tls',
};

/** A code of `wasi:http` as an error with the words of the SDK. */
function error(code, doing) {
  const name = code.tag.toLowerCase();
  if (name in REASONS) return new HostError(REASONS[name], code.val?.rcode ?? code.val?.alertMessage, doing);
  return new HostError('http', name === 'internal-error' ? code.val : name, doing);
}

/** Does something that may fail with a code of `wasi:http`. */
function coded(act, doing) {
  try {
    return act();
  } catch (thrown) {
    if (typeof thrown?.payload?.tag !== 'string') throw thrown;
    throw error(thrown.payload, doing);
  }
}

/** Sends it; gives status, headers and the pieces of the body as they come. */
export function overWasi({ 'http-types': types, 'outgoing-handler': handler }, request) {
  const doing = `${request.method} ${request.url}`;
  const outgoing = head(types, request, doing);
  const options = new types.RequestOptions();
  const nanos = BigInt(Math.trunc(request.timeout * 1e9));
  options.setConnectTimeout(nanos);
  options.setFirstByteTimeout(nanos);
  options.setBetweenBytesTimeout(nanos);
  const left = request.pieces[Symbol.iterator]();
  const first = left.next();
  const sending = first.done ? undefined : outgoing.body();
  const future = coded(() => handler.handle(outgoing, options), doing);
  if (sending) {
    try {
      write(sending, first, left);
      types.OutgoingBody.finish(sending, undefined);
    } catch (thrown) {
      // The peer may have answered before it has read everything.
      const tag = thrown?.payload?.tag;
      if (tag === undefined) throw thrown;
      if (!['closed', 'last-operation-failed'].includes(tag)) throw error(thrown.payload, doing);
    }
  }
  const ready = future.subscribe();
  ready.block();
  ready[Symbol.dispose]?.();
  const outer = future.get();
  if (outer?.tag === 'err') throw new HostError('closed', undefined, doing);
  if (outer.val.tag === 'err') throw error(outer.val.val, doing);
  const response = outer.val.val;
  const decoder = new TextDecoder();
  const headers = response.headers().entries().map(([name, value]) => [name, decoder.decode(value)]);
  return { status: response.status(), headers, pieces: body(types, response.consume(), doing) };
}

function head(types, request, doing) {
  const [, scheme, authority, rest] = /^(https?):\/\/([^/?#]+)([^#]*)/i.exec(request.url);
  const lower = request.method.toLowerCase();
  const encoder = new TextEncoder();
  const fields = guard(() => types.Fields.fromList(request.headers.map(([name, value]) => [name, encoder.encode(value)])), doing);
  const outgoing = new types.OutgoingRequest(fields);
  guard(() => {
    outgoing.setMethod(METHODS.includes(lower) ? { tag: lower } : { tag: 'other', val: request.method });
    outgoing.setScheme({ tag: scheme.toLowerCase() === 'https' ? 'HTTPS' : 'HTTP' });
    outgoing.setAuthority(authority);
    outgoing.setPathWithQuery(rest.startsWith('/') ? rest : `/${rest}`);
  }, doing);
  return outgoing;
}

function write(sending, first, left) {
  const stream = sending.write();
  try {
    for (let next = first; !next.done; next = left.next()) {
      for (let at = 0; at < next.value.length; at += PIECE) {
        stream.blockingWriteAndFlush(next.value.subarray(at, at + PIECE));
      }
    }
  } finally {
    stream[Symbol.dispose]?.();
  }
}

function* body(types, incoming, doing) {
  const stream = incoming.stream();
  try {
    for (;;) {
      let piece;
      try {
        piece = stream.blockingRead(CHUNK);
      } catch (thrown) {
        if (thrown?.payload?.tag === 'closed') return;
        const code = thrown?.payload?.tag === 'last-operation-failed' ? types.httpErrorCode(thrown.payload.val) : undefined;
        throw code ? error(code, doing) : new HostError('closed', undefined, doing);
      }
      if (piece.length > 0) yield piece;
    }
  } finally {
    // The stream is a child of the body, and is given back before it.
    stream[Symbol.dispose]?.();
    incoming[Symbol.dispose]?.();
  }
}
