// What the world exports, made of an author's tool.

import { log } from './capabilities.mjs';
import { Failure } from './failure.mjs';
import { Bindings, install } from './host.mjs';
import { callOf, readOptions } from './tool.mjs';

const PLAIN_KINDS = ['not-found', 'check-failed', 'unreachable', 'timed-out', 'denied'];

const EFFECTS = ['complete', 'none', 'unknown'];

const outcome = (message) => ({ message: message === undefined || message === null ? undefined : String(message) });

const changes = (found) => {
  if (!Array.isArray(found) || !found.every((change) => typeof change?.subject === 'string')) {
    throw new TypeError('`check` must return a list of changes, each with its `subject`');
  }
  return found.map(({ subject, before, after }) => ({ subject, before: before ?? undefined, after: after ?? undefined }));
};

const effect = (found) => {
  if (!EFFECTS.includes(found)) throw new TypeError(`\`probe\` must return one of ${EFFECTS.join(', ')}, not ${found}`);
  return found;
};

/** What went wrong and where, in the author's files: the engine only knows lines of the bundle. */
export function told(error, lines) {
  const calls = String(error?.stack ?? '').split('\n').flatMap((call) => {
    const [, name, line] = /^([^@]*)@.*?:(\d+)(?::\d+)?$/.exec(call) ?? [];
    return lines[line] === undefined ? [] : [`  ${lines[line]}${name ? `, in ${name}` : ''}`];
  });
  return [String(error), ...calls].join('\n');
}

/** Makes what the world exports out of an author's tool, with the component's imports and the author's lines. */
export function exported(author, modules, lines) {
  install(new Bindings(modules));
  const ask = (what, invocation, answer) => {
    try {
      const given = Object.fromEntries(invocation.options.map(({ name, value }) => [name, JSON.parse(value)]));
      const [options, unknown] = readOptions(author, given);
      for (const name of unknown) log.warn(`option \`${name}\` is not known and was not used`);
      return answer(author[what](callOf(options, invocation.arguments.map((text) => JSON.parse(text)))));
    } catch (error) {
      if (error instanceof Failure) throw failure(error);
      // A defect of the tool: its text and place go to the log, since a trap has neither.
      log.error(`the tool has a defect: ${told(error, lines)}`);
      throw failure(new Failure(`the tool has a defect: ${error}`, { kind: 'defect' }));
    }
  };
  return {
    tool: { run: (invocation) => ask('run', invocation, outcome) },
    dryRun: { check: (invocation) => ask('check', invocation, changes) },
    effectProbe: { probe: (invocation) => ask('probe', invocation, effect) },
  };
}

function failure(error) {
  let kind = { tag: 'other', val: error.kind };
  if (error.kind === 'invalid-option') kind = { tag: 'invalid-option', val: error.option ?? '' };
  if (PLAIN_KINDS.includes(error.kind)) kind = { tag: error.kind };
  return { kind, message: error.message, exitCode: error.exitCode };
}
