// The SDK without a component: what a tool says of itself, what is made of options, and what the fake host refuses.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { defineTool, Dialogue, http, netProbe, output, secret } from '../index.mjs';
import { Host } from '../testing.mjs';
import { describe, readOptions } from '../tool.mjs';

const sample = defineTool({
  options: {
    host: { help: 'Host' },
    port: { help: 'Port', type: 'integer', default: 22 },
    share: { help: 'Share', type: 'number', default: 0.5 },
    dry: { help: 'Dry', type: 'boolean', default: false },
    tags: { help: 'Tags', type: 'json', required: false },
    token: { help: 'Token', type: 'password', required: false },
    mode: { help: 'Mode', default: 'fast', choices: ['fast', 'slow'] },
  },
  outputs: { answer: { help: 'Answer' } },
  run: ({ options }) => output.set('answer', options.port),
  probe: () => 'unknown',
});

test('a tool describes its options, outputs and exports', () => {
  const told = describe(sample);
  const kinds = Object.fromEntries(told.options.map(({ opt, type }) => [opt, type]));
  assert.deepEqual(kinds, {
    host: 'text', port: 'text', share: 'text', dry: 'select', tags: 'json', token: 'password', mode: 'select',
  });
  assert.deepEqual(told.options.filter(({ required }) => required).map(({ opt }) => opt), ['host']);
  assert.deepEqual([told.check, told.probe], [false, true]);
  assert.deepEqual(told.outputs.map(({ opt }) => opt), ['answer']);
});

test('texts become the types of options', () => {
  const [given, unknown] = readOptions(sample, { host: 'db', port: '5432', dry: 'yes', tags: '[1]', more: 1 });
  assert.deepEqual([given.port, given.share, given.dry, given.tags, unknown], [5432, 0.5, true, [1], ['more']]);
});

test('what is wrong with an option names it', () => {
  for (const [options, message] of [
    [{}, /`host`: it is missing/], [{ host: 'a', port: '1.5' }, /`port`: "1.5" is not a usable integer/],
    [{ host: 'a', mode: 'x' }, /is not one of fast, slow/], [{ host: 'a', tags: '{' }, /`tags`/],
  ]) {
    assert.throws(() => readOptions(sample, options), { message, kind: 'invalid-option', exitCode: 2 });
  }
});

test('an option without help is refused where it is written', () => {
  assert.throws(() => defineTool({ options: { x: {} } }), /option x/);
});

test('a secret is a reference', () => {
  const host = new Host();
  host.expect('secret.value', 'node').answers('autoexec-secret-2');
  assert.equal(secret.reference('node'), 'autoexec-secret-2');
  host.verify();
});

test('a call that was not expected fails the test, and so does one that never came', () => {
  const host = new Host();
  assert.throws(() => netProbe.tcpConnect('db', 22), /net-probe.tcpConnect/);
  host.expect('net-probe.tcpConnect', 'db', 22);
  assert.throws(() => host.verify(), /not done/);
});

test('an output that is not described fails the test', () => {
  const wrong = defineTool({ run: () => output.set('answre', 1) });
  assert.throws(() => new Host().run(wrong), /answre/);
});

test('an answer of a request is text or JSON', () => {
  const host = new Host();
  host.expect('http', 'GET', 'http://a/1').answers({ status: 200, headers: [['X-A', 'b']], body: new TextEncoder().encode('{"x":1}') });
  const answer = http.get('http://a/1');
  assert.deepEqual([answer.status, answer.header('x-a'), answer.json()], [200, 'b', { x: 1 }]);
});

test('a dialogue answers prompts, turns pages and leaves the echo out', () => {
  new Host();
  const sent = [];
  const pieces = ['switch> ', 'show version\r\nline 1\r\n--More--', '\b\b\x1b[Kline 2\r\nswitch> '];
  const dialogue = new Dialogue({ send: (text) => sent.push(text), receive: () => pieces.shift() ?? '' });
  assert.equal(dialogue.waitFor('> '), 'switch');
  assert.equal(dialogue.command('show version', /switch> $/), 'line 1\nline 2\n');
  assert.deepEqual(sent, ['show version\n', ' ']);
});

test('errors of the host say what was tried', () => {
  const host = new Host();
  host.expect('net-probe.icmpEcho', 'db').fails('timed-out');
  assert.throws(() => netProbe.icmpEcho('db'), { reason: 'timed-out', kind: 'timed-out', message: /pinging db/ });
});
