// Prints what a tool says of its options and outputs, as JSON: `node describe.mjs tool.js`.

import { pathToFileURL } from 'node:url';

import './register.mjs';
import { describe } from './tool.mjs';

const file = process.argv[2];
const { default: tool } = await import(pathToFileURL(file));
if (typeof tool?.run !== 'function') {
  console.error(`${file}: this must have \`export default defineTool({ …, run(call) { … } })\``);
  process.exit(1);
}
process.stdout.write(JSON.stringify(describe(tool)));
