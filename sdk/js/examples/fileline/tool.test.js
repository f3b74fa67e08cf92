import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Host } from 'autoexec-sdk/testing';
import tool from './tool.js';

const bytes = (text) => new TextEncoder().encode(text);

function holds(host, path, content) {
  host.expect('filesystem.read', path, 0n).answers(bytes(content));
  host.expect('filesystem.read', path, BigInt(content.length)).answers(bytes(''));
}

test('a line that is missing is added', () => {
  const host = new Host();
  holds(host, '/x/a', 'one\n');
  host.expect('filesystem.write', '/x/a', bytes('one\ntwo\n'));
  host.run(tool, { path: '/x/a', line: 'two' });
  assert.deepEqual(host.outputs, { changed: true });
  host.verify();
});

test('a line that is there changes nothing', () => {
  const host = new Host();
  holds(host, '/x/a', 'one\n');
  host.run(tool, { path: '/x/a', line: 'one' });
  assert.deepEqual(host.outputs, { changed: false });
  host.verify();
});

test('a dry run says what would be added', () => {
  const host = new Host();
  host.expect('filesystem.read', '/x/a').fails('not-found');
  assert.deepEqual(host.check(tool, { path: '/x/a', line: 'two' }), [{ subject: 'line of /x/a', after: 'two' }]);
  host.verify();
});

test('an interrupted run is told by the file', () => {
  for (const [content, effect] of [['one\ntwo\n', 'complete'], ['one\n', 'none']]) {
    const host = new Host();
    holds(host, '/x/a', content);
    assert.equal(host.probe(tool, { path: '/x/a', line: 'two' }), effect);
    host.verify();
  }
});

test('two lines are refused before anything is read', () => {
  const host = new Host();
  assert.throws(() => host.run(tool, { path: '/x/a', line: 'one\ntwo' }), { option: 'line' });
  host.verify();
});
