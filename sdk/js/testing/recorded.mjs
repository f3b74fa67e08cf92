// A device as `snmpwalk` saw it.

import { bytes } from '../capabilities/common.mjs';

const integer = (text) => BigInt(/^-?\d+/.exec(text)[0]);

const READERS = {
  STRING: (text) => ({ tag: 'octets', val: bytes(/^"[^]*"$/.test(text) && text.length > 1 ? text.slice(1, -1) : text) }),
  'Hex-STRING': (text) => {
    const numbers = text.split(/\s+/).map((byte) => (/^[0-9A-Fa-f]{2}$/.test(byte) ? parseInt(byte, 16) : undefined));
    if (numbers.includes(undefined)) throw new TypeError(text);
    return { tag: 'octets', val: Uint8Array.from(numbers) };
  },
  INTEGER: (text) => ({ tag: 'integer', val: integer(text) }),
  Counter32: (text) => ({ tag: 'unsigned', val: integer(text) }),
  Gauge32: (text) => ({ tag: 'unsigned', val: integer(text) }),
  Counter64: (text) => ({ tag: 'unsigned', val: integer(text) }),
  Timeticks: (text) => ({ tag: 'time-ticks', val: Number(/^\((\d+)\)/.exec(text)[1]) }),
  OID: (text) => ({ tag: 'object-id', val: text.replace(/^\.+/, '') }),
  IpAddress: (text) => ({ tag: 'ip-address', val: text }),
};

const valueOf = (name, text) => {
  if (text === '""') return { tag: 'octets', val: bytes('') };
  const colon = text.indexOf(':');
  if (colon < 0) return { tag: 'none' };
  try {
    return READERS[text.slice(0, colon)](text.slice(colon + 1).trim());
  } catch {
    throw new Error(`the recorded value of ${name} can not be read: ${text}`);
  }
};

/** Reads lines such as `.1.3.6.1.2.1.1.5.0 = STRING: "sw1"`; a line without a name goes on with the text before. */
export function recordedValues(walk) {
  const found = [];
  for (const line of walk.split('\n')) {
    const at = line.indexOf(' = ');
    if (at > 0 && line.startsWith('.')) {
      found.push([line.slice(0, at).replace(/^\.+/, ''), line.slice(at + 3)]);
    } else if (found.length > 0) {
      found.at(-1)[1] += `\n${line}`;
    }
  }
  return found.map(([name, text]) => ({ name, value: valueOf(name, text.trim()) }));
}
