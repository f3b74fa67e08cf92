// Writes autoexec tools in JavaScript: `export default defineTool({ options, outputs, run })` in `tool.js`. `tool.toml` beside it
// says who the tool is and which capabilities it asks for.

export * from './capabilities.mjs';
export { Dialogue } from './dialogue.mjs';
export { Failure, HostError } from './failure.mjs';
export { defineTool } from './tool.mjs';
