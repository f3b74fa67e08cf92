import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Host } from 'autoexec-sdk/testing';
import tool from './tool.js';

const bytes = (text) => new TextEncoder().encode(text);

test('a line that is missing is added', () => {
  const host = new Host();
  host.files.writable('/x').file('/x/a', 'one\n');
  host.run(tool, { path: '/x/a', line: 'two' });
  assert.deepEqual(host.files.content('/x/a'), bytes('one\ntwo\n'));
  assert.deepEqual(host.outputs, { changed: true, copied: 0 });
  host.verify();
});

test('a last line without an end is ended', () => {
  const host = new Host();
  host.files.writable('/x').file('/x/a', 'one');
  host.run(tool, { path: '/x/a', line: 'two' });
  assert.deepEqual(host.files.content('/x/a'), bytes('one\ntwo\n'));
  host.verify();
});

test('a line that is there changes nothing', () => {
  const host = new Host();
  host.files.readable('/x').file('/x/a', '\u00e4\n');
  host.run(tool, { path: '/x/a', line: '\u00e4' });
  assert.deepEqual(host.outputs, { changed: false, copied: 0 });
  host.verify();
});

test('a file that is new begins as the server has it and is copied', () => {
  const host = new Host();
  host.files.writable('/x');
  host.expect('http', 'GET', 'http://a/begin').answers({ status: 200, body: ['on', 'e\n'] });
  host.expect('http', 'PUT', 'http://a/copy').answersWith((_verb, _url, { headers, body }) => {
    assert.deepEqual([headers[1], body], [['content-length', '8'], bytes('one\ntwo\n')]);
    return { status: 201 };
  });
  host.run(tool, { path: '/x/a', line: 'two', begin: 'http://a/begin', copy: 'http://a/copy' });
  assert.deepEqual(host.outputs, { changed: true, copied: 8 });
  host.verify();
});

test('a server that says no leaves no file', () => {
  const host = new Host();
  host.files.writable('/x');
  host.expect('http', 'GET', 'http://a/begin').answers({ status: 404, body: 'none' });
  assert.throws(() => host.run(tool, { path: '/x/a', line: 'two', begin: 'http://a/begin' }), { kind: 'not-found' });
  assert.deepEqual(host.files.paths(), []);
  host.verify();
});

test('a dry run says what would be added', () => {
  const host = new Host();
  host.files.readable('/x');
  assert.deepEqual(host.check(tool, { path: '/x/a', line: 'two', begin: 'http://a/begin' }), [
    { subject: '/x/a', after: 'http://a/begin' }, { subject: 'line of /x/a', after: 'two' },
  ]);
  host.verify();
});

test('an interrupted run is told by the file', () => {
  for (const [content, copy, effect] of [
    ['one\ntwo', undefined, 'complete'], ['one\n', undefined, 'none'], ['two\n', 'http://a/copy', 'unknown'],
  ]) {
    const host = new Host();
    host.files.readable('/x').file('/x/a', content);
    assert.equal(host.probe(tool, { path: '/x/a', line: 'two', copy }), effect);
    host.verify();
  }
});

test('two lines are refused before anything is read', () => {
  const host = new Host();
  assert.throws(() => host.run(tool, { path: '/x/a', line: 'one\ntwo' }), { option: 'line' });
  host.verify();
});
