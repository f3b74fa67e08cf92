// Prints what a tool says of its options and outputs, as JSON: `node describe.mjs tool.js`.

import { pathToFileURL } from 'node:url';

import './register.mjs';
import { describe } from './tool.mjs';

const file = process.argv[2];
const here = new URL('.', import.meta.url).href;

/** Ends with what went wrong and the author's lines: those of the SDK and of Node.js say nothing that could be mended there. */
function fail(error) {
  // What does not parse is told by Node.js itself, with the line and a mark below it.
  if (error instanceof SyntaxError || !error?.stack) throw error;
  const isAuthors = (line) => !/^ {4}at /.test(line) || !(line.includes(here) || /\(?node:/.test(line));
  console.error(error.stack.split('\n').filter(isAuthors).join('\n'));
  process.exit(1);
}

const { default: tool } = await import(pathToFileURL(file)).catch(fail);
if (typeof tool?.run !== 'function') {
  console.error(`${file}: this must have \`export default defineTool({ …, run(call) { … } })\``);
  process.exit(1);
}
process.stdout.write(JSON.stringify(describe(tool)));
