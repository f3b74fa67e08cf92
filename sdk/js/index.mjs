// Writes autoexec tools in JavaScript: `export default defineTool({ options, outputs, run })` in `tool.js`. `tool.toml` beside it
// says who the tool is and which capabilities it asks for.

export * from './capabilities.mjs';
export { Dialogue, USUAL_PROMPT } from './dialogue.mjs';
export { context, Failure, HostError } from './failure.mjs';
export { Change, defineTool } from './tool.mjs';
