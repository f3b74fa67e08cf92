// Why a tool gives up, and why a function of the host did not do what it was asked for.

const KINDS = {
  denied: 'denied', 'not-found': 'not-found', 'timed-out': 'timed-out', tls: 'denied', 'not-authenticated': 'denied',
  unreachable: 'unreachable', unresolved: 'unreachable', refused: 'unreachable', closed: 'unreachable',
  disconnected: 'unreachable', unavailable: 'unreachable', none: 'unavailable', invalid: 'invalid-data', 'too-many': 'too-large',
  'too-many-redirects': 'http',
};

const WORDS = {
  denied: 'not granted', unresolved: 'the name has no address', refused: 'refused, nobody listens there',
  unreachable: 'unreachable', 'timed-out': 'no answer in time', 'not-found': 'it does not exist',
  closed: 'the connection has ended', disconnected: 'the connection has ended', exists: 'it is there already',
  tls: 'no trusted TLS connection', 'not-authenticated': 'the account is not accepted',
  unavailable: 'can not be had now', none: 'there is none here', 'no-space': 'no space or quota left',
  'too-large': 'more bytes than the limit', invalid: 'not taken', 'wrong-kind': 'of the wrong kind',
  unsupported: "the node's protocol can not do this", 'too-many': 'more values than the limit',
  'invalid-url': 'not a URL that can be asked', 'too-many-redirects': 'more redirects than the limit',
};

/** A failure never looks like success. */
const status = (code) => Math.min(Math.max(Math.trunc(code), 1), 255);

/** The tool could not do its work. The message says what went wrong, to what, and what to do next. Kinds are `invalid-option`,
 * `not-found`, `check-failed`, `unreachable`, `timed-out`, `denied`, or a word of the tool's own with dashes. */
export class Failure extends Error {
  constructor(message, { kind = 'other', exitCode = 1, option } = {}) {
    super(message);
    this.kind = kind;
    this.exitCode = status(exitCode);
    this.option = option;
  }
}

/** What a function of the host could not do. `reason` is the case of the WIT error, such as "timed-out". */
export class HostError extends Failure {
  constructor(reason, detail, doing) {
    let text = WORDS[reason] ?? (reason === 'other' ? '' : reason);
    if (detail !== undefined && detail !== null && detail !== '') text = text ? `${text}: ${detail}` : String(detail);
    super(`${doing}: ${text}`, { kind: KINDS[reason] ?? reason });
    this.reason = reason;
    this.detail = detail;
    this.doing = doing;
  }
}

/** Says more about a failure on its way out: puts what the tool was doing in front of the message, and may set the exit status.
 * `context('the database of shop', () => netProbe.tcpConnect('db', 5432), { exitCode: 3 })` */
export function context(doing, act, { exitCode } = {}) {
  try {
    return act();
  } catch (error) {
    if (error instanceof Failure) {
      error.message = `${doing}: ${error.message}`;
      if (exitCode !== undefined) error.exitCode = status(exitCode);
    }
    throw error;
  }
}
