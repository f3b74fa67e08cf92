// What several capabilities have in common.

/** A time limit in seconds as the host takes it. */
export const millis = (seconds) => Math.min(Math.max(Math.trunc((seconds ?? 0) * 1000), 0), 2 ** 32 - 1);

export const bytes = (data) => (typeof data === 'string' ? new TextEncoder().encode(data) : (data ?? new Uint8Array()));

export const utf8 = (data) => new TextDecoder().decode(data);

/** `host:port`, with brackets around an IPv6 address. */
export const peerOf = (host, port) => (host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`);

/** Pieces of bytes as one. */
export const joined = (pieces) => {
  const whole = new Uint8Array(pieces.reduce((size, piece) => size + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
};

/** All pieces as one, which must not have more than `limit` bytes. */
export const gathered = (pieces, limit, tooMany) => {
  const all = [];
  let size = 0;
  for (const piece of pieces) {
    all.push(piece);
    size += piece.length;
    if (size > limit) throw tooMany();
  }
  return joined(all);
};

/** A file or directory; sizes and times are numbers. */
export const entryOf = ({ name, isDirectory, size, modified, mode }) => (
  { name, isDirectory, size: Number(size), modified: Number(modified), mode }
);
