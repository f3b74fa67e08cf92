// The table in docs/authoring.md is true and complete for JavaScript, and so are the types.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import * as sdk from '../index.mjs';
import * as testing from '../testing.mjs';

const read = (name) => readFileSync(new URL(name, import.meta.url), 'utf8');
const COLUMN = 4;

/** The members of each interface, class and constant of a file of types. */
function declared(name) {
  const found = {};
  for (const [, owner, body] of read(name).matchAll(/^export (?:interface|class|const|type) (\w+)[^{\n]*\{\n([^]*?)^\}/gm)) {
    found[owner] = [...(found[owner] ?? []), ...[...body.matchAll(/^ {2}(?:readonly )?(\w+)[?]?[(<:]/gm)].map(([, own]) => own)];
  }
  return found;
}

/** The constants of a file of types: those have to be there when the code runs. */
const constants = (name) => [...read(name).matchAll(/^export const (\w+): \{$/gm)].map(([, own]) => own);

/** What the column of the table names: `module.{one, two}` is two names. */
function named() {
  const section = read('../../../docs/authoring.md').split('## The same in three languages')[1].split('\n## ')[0];
  const rows = section.split('\n').filter((line) => line.startsWith('| ')).slice(1);
  return rows.flatMap((row) => (
    [...row.split('|')[COLUMN].matchAll(/`(\w+(?:\.\w+)*)(?:\.\{([^}]*)\})?`/g)]
      .flatMap(([, path, several]) => (several ? several.split(', ').map((own) => `${path}.${own}`) : [path]))
  ));
}

const types = { ...declared('../index.d.ts'), ...Object.fromEntries(
  Object.entries(declared('../testing.d.ts')).map(([owner, members]) => [`testing.${owner}`, members]),
) };

test('what the table names has types', () => {
  const paths = named().filter((path) => path.includes('.'));
  assert.ok(paths.length > 100, 'the table has lost its rows');
  const missing = paths.filter((path) => {
    const at = path.lastIndexOf('.');
    const [owner, own] = [path.slice(0, at), path.slice(at + 1)];
    return !(types[owner] ?? []).includes(own) && !(owner === 'testing' && own in testing);
  });
  assert.deepEqual(missing, []);
});

test('what has types is in the table', () => {
  const words = new Set(named().flatMap((path) => path.split('.')));
  // Records that are handed over, not called.
  const records = ['Change', 'Context', 'Node', 'Entry', 'Binding', 'DialogueOptions'];
  const missing = Object.entries(types).filter(([owner]) => !records.includes(owner))
    .flatMap(([owner, members]) => members.filter((own) => own !== 'constructor' && !words.has(own)).map((own) => `${owner}.${own}`));
  assert.deepEqual(missing, []);
  assert.deepEqual(Object.keys(sdk).filter((own) => !words.has(own) && own !== 'Failure'), []);
});

test('the types are those of the code', () => {
  for (const own of constants('../index.d.ts').filter((name) => name !== 'Change')) {
    assert.deepEqual([...types[own]].sort(), Object.keys(sdk[own]).sort(), own);
  }
  const exported = [...read('../index.d.ts').matchAll(/^export (?:const|function|class) (\w+)/gm)].map(([, own]) => own);
  assert.deepEqual([...new Set(exported)].sort(), Object.keys(sdk).sort());
  const host = new testing.Host();
  const script = new testing.Script();
  host.expect('http').answers({ status: 200 });
  host.expect('connection.connect').answers(script);
  host.expect('target.openSession').answers(script);
  const objects = {
    Response: sdk.http.get('http://a/'), Stream: sdk.connection.connect('a', 1), Session: sdk.target.openSession(),
    Dialogue: new sdk.Dialogue({}), Failure: new sdk.Failure('x', { option: 'y' }), HostError: new sdk.HostError('a', 'b', 'c'),
    'testing.Host': host, 'testing.Expected': host.expect('x').always(), 'testing.Script': script, 'testing.Files': host.files,
  };
  for (const [owner, object] of Object.entries(objects)) {
    assert.ok(types[owner].length > 0, owner);
    assert.deepEqual(types[owner].filter((own) => !(own in object)), [], owner);
  }
  host.verify();
});
