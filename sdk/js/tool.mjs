// The tool itself: its options, its outputs, and one call.

import { checkTool, describedOptions, describedOutputs, take } from './options.mjs';

/**
 * Describes a tool: `options` (name to `{ help, type, default, choices, label, name, required, validate }`, or `{ group }` for options
 * that several tools have in common), `outputs` (name to `{ help, kind, label, name, default }`), `arguments` (members of the
 * descriptor), and `run(call)`, which may return a line for the operator. `check(call)` gives what a run would change, a list of
 * `{ subject, before, after }`; `probe(call)` gives whether an interrupted run took effect: 'complete', 'none' or 'unknown'. Both change
 * nothing.
 */
export function defineTool(tool) {
  try {
    checkTool(tool);
  } catch (error) {
    // The first line of the trace is the author's.
    Error.captureStackTrace?.(error, defineTool);
    throw error;
  }
  return tool;
}

/** One thing that would be changed, as `check` gives it. */
export const Change = {
  /** Something that does not exist would be made. */
  created: (subject, after) => ({ subject, after }),
  /** Something would be another. */
  changed: (subject, before, after) => ({ subject, before, after }),
  /** Something would be gone. */
  removed: (subject, before) => ({ subject, before }),
};

/** What a tool is called with. */
export function callOf(options, given) {
  return {
    options,
    arguments: given,
    /** The free arguments as text: strings as they are, anything else as JSON. */
    textArguments: () => given.map((one) => (typeof one === 'string' ? one : JSON.stringify(one))),
  };
}

/** The tool's part of the descriptor. */
export function describe(tool) {
  const can = (what) => typeof tool[what] === 'function';
  return {
    options: describedOptions(tool.options ?? {}), outputs: describedOutputs(tool.outputs ?? {}), argument: tool.arguments ?? null,
    check: can('check'), probe: can('probe'),
  };
}

/** Options of the tool's types, read from names and JSON values; and the names that the tool does not have. */
export function readOptions(tool, given) {
  const left = { ...given };
  return [take(tool.options ?? {}, left), Object.keys(left)];
}
