// One HTTP request over the bindings of `wasi:http`. Only in components that ask for the capability `http`.

import { HostError } from './failure.mjs';
import { guard } from './host.mjs';

const METHODS = ['get', 'head', 'post', 'put', 'delete', 'options', 'patch'];

/** Sends it and reads the whole answer. */
export function overWasi({ 'http-types': types, 'outgoing-handler': handler }, request) {
  const doing = `${request.method} ${request.url}`;
  const parts = /^(https?):\/\/([^/?#@]+)([^#]*)/i.exec(request.url);
  if (!parts) throw new HostError('invalid-url', 'http or https, a host, and no user name', doing);
  const [, scheme, authority, rest] = parts;
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
  const options = new types.RequestOptions();
  const nanos = BigInt(Math.trunc(request.timeout * 1e9));
  options.setConnectTimeout(nanos);
  options.setFirstByteTimeout(nanos);
  options.setBetweenBytesTimeout(nanos);
  const sending = request.body.length > 0 ? outgoing.body() : undefined;
  const future = guard(() => handler.handle(outgoing, options), doing);
  if (sending) {
    const stream = sending.write();
    for (let at = 0; at < request.body.length; at += 4096) {
      guard(() => stream.blockingWriteAndFlush(request.body.subarray(at, at + 4096)), doing);
    }
    stream[Symbol.dispose]?.();
    guard(() => types.OutgoingBody.finish(sending, undefined), doing);
  }
  const ready = future.subscribe();
  ready.block();
  ready[Symbol.dispose]?.();
  const outer = future.get();
  if (outer?.tag === 'err') throw new HostError('closed', undefined, doing);
  if (outer.val.tag === 'err') throw new HostError(reason(outer.val.val.tag), outer.val.val.tag, doing);
  const response = outer.val.val;
  const decoder = new TextDecoder();
  const headers = response.headers().entries().map(([name, value]) => [name, decoder.decode(value)]);
  return { status: response.status(), headers, body: body(response.consume(), request.limit, doing) };
}

function reason(code) {
  if (code.includes('denied') || code.includes('prohibited')) return 'denied';
  if (code.includes('refused')) return 'refused';
  if (code.includes('timeout')) return 'timed-out';
  if (code.startsWith('TLS')) return 'tls';
  return code.startsWith('DNS') ? 'unresolved' : 'http';
}

function body(incoming, limit, doing) {
  const stream = incoming.stream();
  const pieces = [];
  let size = 0;
  for (;;) {
    try {
      const piece = stream.blockingRead(65536n);
      pieces.push(piece);
      size += piece.length;
    } catch (error) {
      if (error?.payload?.tag === 'closed') break;
      throw new HostError('closed', undefined, doing);
    }
    if (size > limit) throw new HostError('too-large', limit, doing);
  }
  const whole = new Uint8Array(size);
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}
