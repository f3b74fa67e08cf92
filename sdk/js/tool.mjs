// The tool itself: its options, its outputs, and one call.

import { Failure } from './failure.mjs';

const READERS = {
  text: (text) => text,
  number: (text) => {
    const number = Number(text.trim());
    if (text.trim() === '' || !Number.isFinite(number)) throw new TypeError('number');
    return number;
  },
  integer: (text) => {
    const number = READERS.number(text);
    if (!Number.isSafeInteger(number)) throw new TypeError('integer');
    return number;
  },
  boolean: (text) => {
    const word = text.trim().toLowerCase();
    if (['true', 'yes', 'on', '1'].includes(word)) return true;
    if (['false', 'no', 'off', '0'].includes(word)) return false;
    throw new TypeError('boolean');
  },
  json: (text) => JSON.parse(text),
};

const KINDS = { number: 'text', integer: 'text', boolean: 'select' };

/**
 * Describes a tool: `options` (name to `{ help, type, default, label, choices }`), `outputs` (name to `{ help, kind }`),
 * `arguments` (members of the descriptor), and `run(call)`, which may return a line for the operator. `check(call)` gives what a run would
 * change, a list of `{ subject, before, after }`; `probe(call)` gives whether an interrupted run took effect: 'complete', 'none' or
 * 'unknown'. Both change nothing.
 */
export function defineTool(tool) {
  for (const [name, option] of Object.entries(tool.options ?? {})) {
    if (!option.help) throw new TypeError(`option ${name}: say in \`help\` what it is`);
  }
  return tool;
}

/** The tool's part of the descriptor. */
export function describe(tool) {
  const options = Object.entries(tool.options ?? {}).map(([name, option]) => {
    const type = option.type ?? 'text';
    const choices = option.choices ?? (type === 'boolean' ? { true: 'Yes', false: 'No' } : undefined);
    const entry = {
      opt: name, name: option.label ?? label(name), help: option.help,
      type: choices ? 'select' : (KINDS[type] ?? type),
      required: option.required ?? option.default === undefined,
      defaultValue: option.default === undefined || option.default === null ? '' : text(option.default), validate: '',
    };
    if (choices) {
      const list = Array.isArray(choices) ? choices.map((value) => [value, value]) : Object.entries(choices);
      entry.dataSource = { dataList: list.map(([value, shown]) => ({ text: shown, value })) };
    }
    return entry;
  });
  const outputs = Object.entries(tool.outputs ?? {}).map(([name, output]) => (
    { opt: name, name: output.label ?? label(name), help: output.help, type: output.kind ?? 'text' }
  ));
  const can = (what) => typeof tool[what] === 'function';
  return { options, outputs, argument: tool.arguments ?? null, check: can('check'), probe: can('probe') };
}

function label(name) {
  const words = name.replaceAll(/[_-]/g, ' ');
  return words.charAt(0).toUpperCase() + words.slice(1);
}

function text(value) {
  return typeof value === 'string' ? value : JSON.stringify(value);
}

/** Options of the tool's types, read from names and JSON values; and the names that the tool does not have. */
export function readOptions(tool, given) {
  const known = tool.options ?? {};
  const options = {};
  for (const [name, option] of Object.entries(known)) {
    if (Object.hasOwn(given, name)) {
      options[name] = read(name, option, given[name]);
    } else if (option.default === undefined && option.required !== false) {
      throw invalid(name, 'it is missing');
    } else {
      options[name] = option.default;
    }
  }
  return [options, Object.keys(given).filter((name) => !Object.hasOwn(known, name))];
}

function read(name, option, value) {
  const written = text(value);
  const choices = Array.isArray(option.choices) ? option.choices : option.choices && Object.keys(option.choices);
  if (choices && !choices.includes(written)) throw invalid(name, `"${written}" is not one of ${choices.join(', ')}`);
  if (option.type === 'json' && typeof value !== 'string') return value;
  try {
    return (READERS[option.type ?? 'text'] ?? READERS.text)(written);
  } catch {
    throw invalid(name, `"${written}" is not a usable ${option.type}`);
  }
}

function invalid(name, why) {
  return new Failure(`option \`${name}\`: ${why}`, { kind: 'invalid-option', exitCode: 2, option: name });
}
