// Makes a component of `tool.js`: `node componentize.mjs MODULES PROJECT WIT WORLD OUT`. MODULES is the directory of the tool chain.

import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { isAbsolute, join, relative } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

import { sourceLines } from './source-lines.mjs';

const [modules, project, wit, world, out] = process.argv.slice(2);
const require = createRequire(join(modules, 'package.json'));
const { build } = await import(pathToFileURL(require.resolve('esbuild')));
const { componentize } = await import(pathToFileURL(join(modules, 'node_modules/@bytecodealliance/componentize-js/src/componentize.js')));
const sdk = (file) => fileURLToPath(new URL(file, import.meta.url));

// The world says what may be imported, and each interface is handed to the SDK under its short name.
const text = readFileSync(join(wit, `${world}.wit`), 'utf8');
const names = [...text.matchAll(/^ {4}import ([^;]+);$/gm)].map(([, name]) => name);
const camel = (name) => name.replace(/-(.)/g, (_, letter) => letter.toUpperCase());
const exports = [...text.matchAll(/^ {4}export ([^;]+);$/gm)].map(([, name]) => camel(name));
const specifier = (name) => (name.includes(':') ? name : `autoexec:tool/${name}@1.0.0`);
const short = (name) => name.replace(/^.*\//, '').replace(/@.*$/, '');
const imports = names.map((name, number) => `import * as i${number} from '${specifier(name)}';`);
const entries = names.map((name, number) => `'${short(name)}': i${number}`);
if (names.some((name) => name.startsWith('wasi:http/'))) {
  imports.push("import * as httpTypes from 'wasi:http/types@0.2.12';", `import { overWasi } from '${sdk('over-wasi.mjs')}';`);
  entries.push("'http-types': httpTypes", 'http: overWasi');
}
const entry = [
  ...imports,
  `import { exported } from '${sdk('exported.mjs')}';`,
  `import author from '${join(project, 'tool.js')}';`,
  `const all = exported(author, { ${entries.join(', ')} }, JSON.parse('@@LINES@@'));`,
  ...exports.map((name) => `export const ${name} = all.${name};`),
].join('\n');

const bundled = await build({
  stdin: { contents: entry, resolveDir: project, sourcefile: 'entry.js' },
  alias: { 'autoexec-sdk': sdk('index.mjs') },
  bundle: true, format: 'esm', external: ['autoexec:*', 'wasi:*'], write: false, logLevel: 'error', sourcemap: 'external',
  outfile: join(project, 'bundle.js'),
}).catch(() => process.exit(1));
const [map, code] = ['.map', '.js'].map((end) => bundled.outputFiles.find(({ path }) => path.endsWith(end)).text);
// Sources are named from the directory of the bundle, which is the author's.
const authors = (source) => {
  const path = relative(project, join(project, source));
  return path.startsWith('..') || isAbsolute(path) || path.startsWith('vendor/') || source.startsWith('entry.js') ? undefined : path;
};
// On one line, as what it takes the place of: no line of the bundle moves.
const lines = JSON.stringify(JSON.stringify(sourceLines(JSON.parse(map), authors)));
const { component } = await componentize(code.replace('"@@LINES@@"', () => lines), {
  witPath: wit, worldName: world, disableFeatures: ['random', 'stdio', 'clocks', 'http', 'fetch-event'],
});
writeFileSync(out, component);
