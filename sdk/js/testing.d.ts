// Types of the fake host for tests.

import type { Change, Context, Effect, Node, Options, Tool } from './index.js';

/** Any argument. */
export const ANY: any;

export interface Expected {
  answers(value?: unknown): Expected;
  answersWith(act: (...args: any[]) => unknown): Expected;
  fails(reason: string, detail?: unknown): Expected;
  prints(text: string | Uint8Array): Expected;
  exits(status: number, errors?: string | Uint8Array): Expected;
  times(count: number): Expected;
  always(): Expected;
}

export class Script {
  shows(text: string | Uint8Array): Script;
  pauses(seconds: number): Script;
  expects(text: string | Uint8Array): Script;
  ends(): Script;
}

export interface Files {
  readable(directory: string): Files;
  writable(directory: string): Files;
  file(path: string, content: string | Uint8Array): Files;
  content(path: string): Uint8Array | undefined;
  paths(): string[];
}

export class Host {
  log: [level: string, text: string][];
  readonly lines: string[];
  readonly logLines: string[];
  written: Uint8Array;
  outputs: Record<string, any>;
  liveData: any;
  context: Context;
  node: Node;
  variables: Record<string, string>;
  waited: number;
  files: Files;
  expect(name: string, ...args: any[]): Expected;
  snmpRecorded(address: string, walk: string): void;
  setTime(unixSeconds: number, utcOffset?: number): void;
  run<T extends Options>(tool: Tool<T>, options?: Record<string, unknown>, args?: unknown[]): string | null | undefined | void;
  check<T extends Options>(tool: Tool<T>, options?: Record<string, unknown>, args?: unknown[]): Change[];
  probe<T extends Options>(tool: Tool<T>, options?: Record<string, unknown>, args?: unknown[]): Effect;
  verify(): void;
}
