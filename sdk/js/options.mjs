// Options and outputs: how a tool describes them, and how what a job has set is read.

import { Failure } from './failure.mjs';

const number = (text) => {
  const read = Number(text.trim());
  if (text.trim() === '' || !Number.isFinite(read)) throw new TypeError('number');
  return read;
};

/** Types of options that are read as something else than text. */
const READERS = {
  number,
  integer: (text) => {
    const read = number(text);
    if (!Number.isSafeInteger(read)) throw new TypeError('integer');
    return read;
  },
  /** A length of time in seconds, which may be a fraction. */
  seconds: (text) => {
    const read = number(text);
    if (read < 0) throw new TypeError('seconds');
    return read;
  },
  boolean: (text) => {
    const word = text.trim().toLowerCase();
    if (['true', 'yes', 'on', '1'].includes(word)) return true;
    if (['false', 'no', 'off', '0'].includes(word)) return false;
    throw new TypeError('boolean');
  },
  json: (text) => JSON.parse(text),
  /** A list of texts. */
  list: (text) => {
    const read = JSON.parse(text);
    if (!Array.isArray(read)) throw new TypeError('list');
    return read.map(textOf);
  },
  /** A text of several lines: those that are not blank, without blanks around them. The console stores line breaks as two characters. */
  lines: (text) => text.replaceAll('\\n', '\n').split('\n').map((line) => line.trim()).filter((line) => line !== ''),
};

/** Kinds of values that the server knows, and what the types above are there. */
const KINDS = [
  'text', 'password', 'textarea', 'json', 'node', 'file', 'filepath', 'date', 'time', 'datetime', 'phase', 'account', 'userselect',
  'checkbox', 'multiselect',
];
const SHOWN_AS = { number: 'text', integer: 'text', seconds: 'text', boolean: 'select', list: 'json', lines: 'textarea' };
const TYPES = [...new Set([...KINDS, ...Object.keys(SHOWN_AS)])];

const TOOL_KEYS = ['options', 'outputs', 'arguments', 'run', 'check', 'probe'];
const OPTION_KEYS = ['help', 'type', 'default', 'choices', 'label', 'name', 'required', 'validate'];
const OUTPUT_KEYS = ['help', 'kind', 'label', 'name', 'default'];

/** Refuses what is misspelt or can not be, where the author has written it. */
export function checkTool(tool) {
  known('a tool', tool, TOOL_KEYS);
  if (typeof tool.run !== 'function') throw new TypeError('a tool needs `run(call) { … }`: it does the work');
  checkOptions(tool.options ?? {});
  for (const [name, output] of Object.entries(tool.outputs ?? {})) {
    known(`output ${name}`, output, OUTPUT_KEYS);
    if (!output.help) throw new TypeError(`output ${name}: say in \`help\` what it holds`);
    if (!KINDS.includes(output.kind ?? 'text')) throw unknownType(`output ${name}: \`${output.kind}\` is not a kind`, KINDS);
  }
  const names = flat(tool.options ?? {}).map(([name]) => name);
  const twice = names.find((name, at) => names.indexOf(name) !== at);
  if (twice !== undefined) throw new TypeError(`option ${twice} is there twice`);
}

function checkOptions(options) {
  for (const [own, option] of Object.entries(options)) {
    if (isGroup(option)) {
      known(`option ${own}`, option, ['group']);
      checkOptions(option.group);
    } else {
      checkOption(own, option);
    }
  }
}

function checkOption(own, option) {
  known(`option ${own}`, option, OPTION_KEYS);
  if (!option.help) throw new TypeError(`option ${own}: say in \`help\` what it is`);
  if (!TYPES.includes(option.type ?? 'text')) throw unknownType(`option ${own}: \`${option.type}\` is not a type`, TYPES);
  if (option.default === undefined || option.default === null) return;
  try {
    read(own, option, option.default);
  } catch (error) {
    throw new TypeError(`option ${own}: the default does not fit: ${error.message}`);
  }
}

function known(what, given, keys) {
  if (typeof given !== 'object' || given === null) throw new TypeError(`${what}: this must be an object with ${keys.join(', ')}`);
  const other = Object.keys(given).find((key) => !keys.includes(key));
  if (other !== undefined) throw new TypeError(`${what}: \`${other}\` is not known here; known are ${keys.join(', ')}`);
}

function unknownType(text, usable) {
  return new TypeError(`${text}; known are ${usable.join(', ')}`);
}

const isGroup = (option) => option?.group !== undefined;

/** All options, those of groups where the group stands: name in the job, and what is known of it. */
function flat(options) {
  return Object.entries(options).flatMap(([own, option]) => (isGroup(option) ? flat(option.group) : [[option.name ?? own, option]]));
}

/** Options in the form of the server. */
export function describedOptions(options) {
  return flat(options).map(([name, option]) => {
    const type = option.type ?? 'text';
    const choices = option.choices ?? (type === 'boolean' ? { true: 'Yes', false: 'No' } : undefined);
    const shown = choices && type !== 'multiselect' ? 'select' : (SHOWN_AS[type] ?? type);
    const entry = {
      opt: name, name: option.label ?? labelOf(name), help: option.help, type: shown,
      required: option.required ?? option.default === undefined,
      defaultValue: option.default === undefined || option.default === null ? '' : defaultText(option),
      validate: option.validate === undefined ? '' : [option.validate],
    };
    if (choices) {
      const list = Array.isArray(choices) ? choices.map((value) => [value, value]) : Object.entries(choices);
      entry.dataSource = { dataList: list.map(([value, text]) => ({ text, value })) };
    }
    return entry;
  });
}

/** Outputs in the form of the server. */
export function describedOutputs(outputs) {
  return Object.entries(outputs).map(([own, output]) => {
    const name = output.name ?? own;
    const entry = { opt: name, name: output.label ?? labelOf(name), help: output.help, type: output.kind ?? 'text' };
    if (output.default !== undefined) entry.defaultValue = textOf(output.default);
    return entry;
  });
}

/** Names of outputs as the job knows them. */
export const outputNames = (outputs) => Object.entries(outputs).map(([own, output]) => output.name ?? own);

/** Takes options out of what the job has set, and reads them. */
export function take(options, given) {
  return Object.fromEntries(Object.entries(options).map(([own, option]) => {
    if (isGroup(option)) return [own, take(option.group, given)];
    const name = option.name ?? own;
    if (Object.hasOwn(given, name)) {
      const value = given[name];
      delete given[name];
      return [own, read(name, option, value)];
    }
    if (option.default === undefined && option.required !== false) throw invalid(name, 'it is missing');
    return [own, option.default];
  }));
}

/** The console stores most values as text. */
function read(name, option, value) {
  const type = option.type ?? 'text';
  const written = type === 'lines' && Array.isArray(value) ? value.join('\n') : textOf(value);
  const choices = Array.isArray(option.choices) ? option.choices : option.choices && Object.keys(option.choices);
  if (choices && type !== 'multiselect' && !choices.includes(written)) {
    throw invalid(name, `"${written}" is not one of ${choices.join(', ')}`);
  }
  if (type === 'json' && typeof value !== 'string') return value;
  try {
    return Object.hasOwn(READERS, type) ? READERS[type](written) : written;
  } catch {
    throw invalid(name, `"${written}" is not a usable ${type}`);
  }
}

function invalid(name, why) {
  return new Failure(`option \`${name}\`: ${why}`, { kind: 'invalid-option', exitCode: 2, option: name });
}

const defaultText = (option) => (option.type === 'lines' && Array.isArray(option.default) ? option.default.join('\n') : textOf(option.default));

function labelOf(name) {
  const words = name.replaceAll(/[_-]/g, ' ');
  return words.charAt(0).toUpperCase() + words.slice(1);
}

function textOf(value) {
  return typeof value === 'string' ? value : JSON.stringify(value);
}
