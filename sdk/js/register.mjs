// Lets `tool.js` name the SDK as `autoexec-sdk`, without anything being installed: `node --import register.mjs …`.

import { register } from 'node:module';

const here = new URL('.', import.meta.url);
const hook = `
export async function resolve(name, context, next) {
  if (name === 'autoexec-sdk') return { url: '${new URL('index.mjs', here)}', shortCircuit: true };
  if (name === 'autoexec-sdk/testing') return { url: '${new URL('testing.mjs', here)}', shortCircuit: true };
  return next(name, context);
}`;
register(`data:text/javascript,${encodeURIComponent(hook)}`, import.meta.url);
