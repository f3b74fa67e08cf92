// Types of the SDK for editors and for `tsc --checkJs`. What each name is for stands beside its code.

/** Kinds of values that the server knows. */
export type Kind =
  | 'text' | 'password' | 'textarea' | 'json' | 'node' | 'file' | 'filepath' | 'date' | 'time' | 'datetime' | 'phase' | 'account'
  | 'userselect' | 'checkbox' | 'multiselect';

/** Types of options: kinds, and those that are read as something else than text. */
export type OptionType = Kind | 'number' | 'integer' | 'seconds' | 'boolean' | 'list' | 'lines';

export interface Option {
  /** The help text that the console shows. */
  readonly help: string;
  readonly type?: OptionType;
  /** The value when the job sets none. Without it the option is required. */
  readonly default?: unknown;
  /** What can be chosen: values, or values with the texts that are shown. */
  readonly choices?: readonly string[] | Readonly<Record<string, string>>;
  readonly label?: string;
  /** Its name in the job, where it is not that of the member. */
  readonly name?: string;
  readonly required?: boolean;
  /** A rule that the console checks. */
  readonly validate?: string;
}

/** Options that several tools have in common. */
export interface Group {
  readonly group: Options;
}

export type Options = { readonly [name: string]: Option | Group };

export interface Output {
  readonly help: string;
  readonly kind?: Kind;
  readonly label?: string;
  readonly name?: string;
  /** Its value when the tool sets none. */
  readonly default?: unknown;
}

/** What an option is read as. */
export type ValueOf<O> = O extends { group: infer G extends Options } ? ValuesOf<G>
  : O extends { type: 'number' | 'integer' | 'seconds' } ? number
  : O extends { type: 'boolean' } ? boolean
  : O extends { type: 'json' } ? any
  : O extends { type: 'list' | 'lines' } ? string[]
  : string;

type Absent<O> = O extends { default: undefined } | { default: null } ? O extends { default: infer D } ? D : never
  : O extends { default: unknown } ? never
  : O extends { required: false } ? undefined
  : never;

export type ValuesOf<T extends Options> = { [K in keyof T]: ValueOf<T[K]> | Absent<T[K]> };

export interface Call<T extends Options = Options> {
  options: ValuesOf<T>;
  /** Free arguments, in order: JSON values. */
  arguments: any[];
  /** The free arguments as text: strings as they are, anything else as JSON. */
  textArguments(): string[];
}

export interface Change {
  subject: string;
  /** How it is now; none when it does not exist. */
  before?: string | null;
  /** How it would be; none when it would be gone. */
  after?: string | null;
}

export type Effect = 'complete' | 'none' | 'unknown';

export interface Tool<T extends Options = Options> {
  options?: T;
  outputs?: Record<string, Output>;
  /** Members of the descriptor. */
  arguments?: Record<string, unknown>;
  run(call: Call<T>): string | null | undefined | void;
  check?(call: Call<T>): Change[];
  probe?(call: Call<T>): Effect;
}

export function defineTool<const T extends Options>(tool: Tool<T>): Tool<T>;

export const Change: {
  created(subject: string, after: string): Change;
  changed(subject: string, before: string, after: string): Change;
  removed(subject: string, before: string): Change;
};

export type FailureKind = 'invalid-option' | 'not-found' | 'check-failed' | 'unreachable' | 'timed-out' | 'denied' | (string & {});

export class Failure extends Error {
  constructor(message: string, details?: { kind?: FailureKind; exitCode?: number; option?: string });
  kind: FailureKind;
  exitCode: number;
  option?: string;
}

export class HostError extends Failure {
  constructor(reason: string, detail: unknown, doing: string);
  /** The case of the WIT error, such as "timed-out". */
  reason: string;
  /** What the host said. */
  detail: unknown;
  /** What was tried. */
  doing: string;
}

export function context<R>(doing: string, act: () => R, details?: { exitCode?: number }): R;

type Data = string | Uint8Array;

export const log: {
  plain(text: unknown): void;
  info(text: unknown): void;
  fine(text: unknown): void;
  warn(text: unknown): void;
  error(text: unknown): void;
  write(data: Data): void;
};

export const output: {
  set(name: string, value: unknown): void;
  put(outputs: Record<string, unknown>): void;
  setLiveData(data: unknown): void;
};

export interface Context {
  jobId: string;
  phase: string;
  /** Number of the phase's group; none outside a job. */
  group?: number;
  /** Id of the step, `bundle/tool_id`. */
  operationId: string;
  execUser: string;
  /** Empty when stand-alone. */
  tenant: string;
}

export interface Node {
  resourceId: bigint;
  host: string;
  /** Port of the service the node stands for; none when the node is a machine. */
  port?: number;
  name: string;
  nodeType: string;
  protocol: string;
  protocolPort?: number;
  username: string;
}

export const job: {
  context(): Context;
  node(): Node;
  variable(name: string): string | undefined;
  variables(): Record<string, string>;
};

export const clock: {
  monotonic(): number;
  now(): number;
  localNow(): { unixSeconds: number; utcOffset: number };
  utcOffset(unixSeconds: number): number;
  sleep(seconds: number): void;
};

export const random: {
  bytes(count: number): Uint8Array;
  number(): bigint;
};

export const netProbe: {
  /** Seconds until the connection was there. */
  tcpConnect(host: string, port: number, timeout?: number): number;
  /** Seconds until the reply. */
  icmpEcho(host: string, timeout?: number): number;
};

export interface NodeValue {
  resourceId: bigint;
  host: string;
  port?: number;
  value: any;
  /** `host:port`, or `host` without a port. */
  address: string;
  isRunner: boolean;
}

export const stepOutputs: {
  parse(text: string): [phase: string, operationId: string, name: string];
  find(phase: string, operationId: string, name: string): NodeValue[];
};

export const jobNodes: {
  page(phase: string, offset: number, limit: number): Node[];
  all(phase: string): Generator<Node, void>;
};

export const secret: {
  reference(name: string): string;
  basicAuthorization(user: string, name: string): string;
};

export const server: {
  call(name: string, parameters?: Record<string, unknown>): any;
};

export const documents: {
  date(seconds: number): { $date: { $numberLong: string } };
  find(collection: string, filter: Record<string, unknown>, limit?: number): any[];
  save(collection: string, filter: Record<string, unknown>, document: Record<string, unknown>): void;
  remove(collection: string, filter: Record<string, unknown>): number;
};

export const lock: {
  shared<R>(name: string, wait: number, act: () => R): R;
  exclusive<R>(name: string, wait: number, act: () => R): R;
};

export const interact: {
  ask(question: {
    title: string;
    message?: string;
    choices?: string[];
    kind?: 'button' | 'select' | 'mselect' | 'input';
    role?: string;
    timeout?: number;
  }): string[] | null;
};

export const program: {
  run(
    name: string,
    args?: string[],
    options?: { environment?: Record<string, string>; directory?: string; input?: Data; timeout?: number },
  ): { status: number; stdout: string; stderr: string; stdoutBytes: Uint8Array; stderrBytes: Uint8Array };
};

export interface Entry {
  name: string;
  isDirectory: boolean;
  /** Bytes; 0 for directories. */
  size: number;
  /** Last change in seconds since 1970. */
  modified: number;
  mode: number;
}

export interface CommandOptions {
  environment?: Record<string, string>;
  input?: Data;
  timeout?: number;
}

export interface Session extends Talk {
  send(data: Data): void;
  receive(timeout: number): string;
  hear(timeout: number): Uint8Array | null;
  dialogue(options?: DialogueOptions): Dialogue;
}

export const target: {
  quote(text: string): string;
  join(words: string[]): string;
  capture(line: string, options?: CommandOptions): {
    status: number | string; stdout: string; stderr: string; stdoutBytes: Uint8Array; stderrBytes: Uint8Array;
  };
  text(line: string, options?: CommandOptions): string;
  run(line: string, options?: CommandOptions): number | string;
  upload(local: string, remote: string, keepTimes?: boolean): number;
  download(remote: string, local: string, keepTimes?: boolean): number;
  listDirectory(path: string): Entry[];
  stat(path: string): Entry;
  openSession(columns?: number, rows?: number): Session;
};

export const filesystem: {
  inJob(path: string): string;
  nodeOutputs(): string;
  outputDirectory(): string;
  stat(path: string): Entry;
  exists(path: string): boolean;
  listDirectory(path: string): Entry[];
  readAt(path: string, offset: number, length: number): Uint8Array;
  chunks(path: string): Generator<Uint8Array, void>;
  read(path: string, limit?: number): Uint8Array;
  readText(path: string, limit?: number): string;
  write(path: string, content: Data): void;
  append(path: string, content: Data): void;
  createDirectory(path: string): void;
  rename(from: string, to: string): void;
  remove(path: string): void;
  setModified(path: string, seconds: number): void;
  setMode(path: string, mode: number): void;
};

export interface Stream extends Talk {
  peer: string;
  /** Seconds, for every later step. */
  timeout: number;
  peerAddress(): string;
  startTls(name: string): void;
  send(data: Data): void;
  receive(within?: number): Uint8Array | null;
  hear(timeout: number): Uint8Array | null;
  receiveLine(most?: number): string | null;
  receiveAll(most?: number): Uint8Array;
  dialogue(options?: DialogueOptions): Dialogue;
}

export const connection: {
  connect(host: string, port: number, timeout?: number): Stream;
};

export const datagrams: {
  open(host: string, port: number): {
    peerAddress(): string;
    send(data: Data): void;
    receive(timeout: number): Uint8Array | null;
  };
};

export type Credentials = { tag: 'v1' | 'v2c'; val: string } | { tag: 'v3'; val: unknown };

export type Value =
  | { tag: 'integer' | 'unsigned'; val: bigint }
  | { tag: 'time-ticks'; val: number }
  | { tag: 'octets' | 'opaque'; val: Uint8Array }
  | { tag: 'object-id' | 'ip-address'; val: string }
  | { tag: 'none'; val?: undefined };

export interface Binding {
  name: string;
  value: Value;
}

type Authentication = 'md5' | 'sha1' | 'sha224' | 'sha256' | 'sha384' | 'sha512';
type Privacy = 'des' | 'aes128' | 'aes192' | 'aes256';

export const snmp: {
  v1(community: string): Credentials;
  v2c(community: string): Credentials;
  v3(name: string, user?: { authentication?: [Authentication, string]; privacy?: [Privacy, string] }): Credentials;
  agent(host: string, credentials: Credentials, options?: { port?: number; timeout?: number; retries?: number }): {
    get(...names: string[]): Binding[];
    getOne(name: string): Value | undefined;
    walk(root: string, limit?: number): Binding[];
  };
  toText(value: Value | undefined): string;
  toNumber(value: Value | undefined): number | bigint | undefined;
  indexBelow(name: string, root: string): string | undefined;
};

export interface RequestOptions {
  headers?: Record<string, string>;
  /** Text, bytes, or pieces that are made while they are sent and have `length` bytes in all. */
  body?: Data | Iterable<Uint8Array>;
  length?: number;
  /** A file of the runner as the body. */
  file?: string;
  json?: unknown;
  form?: Record<string, string>;
  /** Seconds. */
  timeout?: number;
  redirects?: number;
  /** The most bytes of the answer's `body`. */
  limit?: number;
}

export interface Response {
  readonly url: string;
  readonly status: number;
  readonly headers: [name: string, value: string][];
  /** Seconds until the (last) answer began. */
  readonly taken: number;
  readonly isSuccess: boolean;
  readonly body: Uint8Array;
  header(name: string): string | undefined;
  chunks(): Generator<Uint8Array, void>;
  text(): string;
  json(): any;
  save(path: string, limit: number, progress?: (bytes: number) => void): number;
  requireSuccess(): Response;
}

export const http: {
  request(method: string, url: string, options?: RequestOptions): Response;
  get(url: string, options?: RequestOptions): Response;
  head(url: string, options?: RequestOptions): Response;
  post(url: string, options?: RequestOptions): Response;
  put(url: string, options?: RequestOptions): Response;
  delete(url: string, options?: RequestOptions): Response;
};

/** What a dialogue is had with. */
export interface Talk {
  send(text: string): void;
  receive(timeout: number): Data | null;
  /** Null when nothing will come any more. */
  hear?(timeout: number): Data | null;
}

export interface DialogueOptions {
  timeout?: number;
  /** Texts at the end of a page, or each with what answers it. */
  pagers?: string[] | Record<string, string>;
  newline?: string;
  /** The time limit begins again with whatever comes. */
  onSilence?: boolean;
}

export const USUAL_PROMPT: RegExp;

export class Dialogue {
  constructor(talk: Talk, options?: DialogueOptions);
  timeout: number;
  newline: string;
  onSilence: boolean;
  pagers: Record<string, string>;
  send(text: string): void;
  sendLine(text: string): void;
  waitFor(pattern: string | RegExp): string;
  waitForAny(patterns: (string | RegExp)[]): { which: number; before: string; matched: string };
  learnPrompt(): RegExp;
  command(line: string, prompt: string | RegExp): string;
}
