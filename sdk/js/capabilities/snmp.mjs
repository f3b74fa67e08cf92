// SNMP agents. The host speaks the protocol.

import { call } from '../host.mjs';
import { millis, peerOf } from './common.mjs';

const AUTHENTICATIONS = ['md5', 'sha1', 'sha224', 'sha256', 'sha384', 'sha512'];
const PRIVACIES = ['des', 'aes128', 'aes192', 'aes256'];
/** Objects that the host asks for at once. */
const MOST_AT_ONCE = 64;

const protection = (known, wanted) => {
  if (wanted !== undefined && !known.includes(wanted[0])) {
    throw new TypeError(`\`${wanted[0]}\` is not known here; known are ${known.join(', ')}`);
  }
  return wanted;
};

const hex = (data) => Array.from(data, (byte) => byte.toString(16).padStart(2, '0')).join(':');

/** Octets as text, where they can be shown. */
const shown = (data) => {
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(data);
    return /[\u0000-\u0008\u000e-\u001f\u007f-\u0084\u0086-\u009f]/.test(text) ? hex(data) : text;
  } catch {
    return hex(data);
  }
};

/** SNMP agents: `snmp.agent('10.0.0.1', snmp.v2c(community))`. A value is `{ tag, val }`; the tags are `integer`, `octets`, `object-id`,
 * `ip-address`, `unsigned`, `time-ticks`, `opaque` and `none`. Communities and passphrases may be references to secrets. */
export const snmp = {
  v1: (community) => ({ tag: 'v1', val: community }),
  v2c: (community) => ({ tag: 'v2c', val: community }),
  /** `snmp.v3('monitor', { authentication: ['sha256', passphrase], privacy: ['aes128', passphrase] })`. There is encryption only beside a
   * signature. */
  v3: (name, { authentication, privacy } = {}) => ({
    tag: 'v3', val: { name, authentication: protection(AUTHENTICATIONS, authentication), privacy: protection(PRIVACIES, privacy) },
  }),
  agent: (host, credentials, { port = 161, timeout = 5, retries = 2 } = {}) => {
    const agent = { host, port, credentials, timeoutMs: millis(timeout), retries };
    const doing = (what) => `asking the SNMP agent ${peerOf(host, port)} for ${what}`;
    const get = (...names) => {
      const found = [];
      for (let at = 0; at < names.length; at += MOST_AT_ONCE) {
        const some = names.slice(at, at + MOST_AT_ONCE);
        found.push(...call('snmp', 'get', [agent, some], doing(some.join(', '))));
      }
      return found;
    };
    return {
      /** Values of these objects, in their order. */
      get,
      /** The value of one object; undefined when there is none. */
      getOne: (name) => get(name)[0]?.value,
      /** All values below an object. More than `limit` is an error. */
      walk: (root, limit = 10000) => call('snmp', 'walk', [agent, root, limit], doing(root)),
    };
  },
  /** A value as text: octets as UTF-8 where they can be shown, else as bytes in hexadecimal with colons; empty when there is none. */
  toText: (value) => {
    if (value === undefined || value.tag === 'none') return '';
    return ['octets', 'opaque'].includes(value.tag) ? shown(value.val) : String(value.val);
  },
  /** A value as a number, where it is one; a bigint where a number is not exact. */
  toNumber: (value) => {
    if (!['integer', 'unsigned', 'time-ticks'].includes(value?.tag)) return undefined;
    const number = Number(value.val);
    return Number.isSafeInteger(number) ? number : value.val;
  },
  /** The part of a name below `root`, such as the index of a table's row; undefined when it is not below. */
  indexBelow: (name, root) => (name.startsWith(`${root}.`) ? name.slice(root.length + 1) : undefined),
};
