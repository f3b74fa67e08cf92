// The SDK without a component: what a tool says of itself, what is made of options, and what the fake host refuses.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import {
  connection, defineTool, Dialogue, documents, filesystem, http, jobNodes, netProbe, output, secret, snmp, stepOutputs,
} from '../index.mjs';
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

test('requests follow redirects without credentials for others', () => {
  const host = new Host();
  const moved = (location) => ({ status: 302, headers: [['Location', location]], body: new Uint8Array() });
  host.expect('http', 'POST', 'http://a/1').answers(moved('/2'));
  const get = (url, headers) => ['GET', url, { method: 'GET', url, headers, body: new Uint8Array(), timeout: 60, limit: 16 << 20 }];
  host.expect('http', ...get('http://a/2', [['authorization', 'r']])).answers(moved('http://b/3'));
  host.expect('http', ...get('http://b/3', [])).answers({ status: 404, headers: [], body: new TextEncoder().encode('no  such') });
  const answer = http.post('http://a/1', { headers: { authorization: 'r' }, form: { a: 'b c&' }, redirects: 2 });
  assert.equal(answer.url, 'http://b/3');
  assert.throws(() => answer.requireSuccess(), { kind: 'not-found', message: /http:\/\/b\/3: .* 404: no such/ });
  host.expect('http', 'GET', 'http://a/1').answers(moved('/1'));
  host.expect('http', 'GET', 'http://a/1').answers(moved('/1'));
  assert.throws(() => http.get('http://a/1', { redirects: 1 }), { reason: 'too-many-redirects' });
  host.expect('http', 'PUT', 'http://a/1').answers(moved('/2'));
  assert.equal(http.put('http://a/1').status, 302);
  host.verify();
});

test('a date is one of the store', () => {
  const host = new Host();
  host.expect('documents.save', 'C', '{"a":1}', '{"at":{"$date":{"$numberLong":"1500"}}}');
  documents.save('C', { a: 1 }, { at: documents.date(1.5) });
  host.verify();
});

test('paths of the job, and whether there is a file', () => {
  const host = new Host();
  assert.equal(filesystem.inJob('/srv/x'), '/srv/x');
  assert.throws(() => filesystem.inJob('file/x'), { kind: 'no-job' });
  host.variables.AUTOEXEC_WORK_PATH = '/data/job/1/';
  Object.assign(host.node, { host: 'h/1', resourceId: 7n });
  host.context.operationId = 'b/t_1';
  assert.equal(filesystem.inJob('file/x'), '/data/job/1/file/x');
  assert.equal(filesystem.outputDirectory(), '/data/job/1/output-op/h_1--7/b/t_1');
  host.expect('filesystem.stat', '/x').fails('not-found');
  assert.equal(filesystem.exists('/x'), false);
});

test('lines of a connection', () => {
  const host = new Host();
  const stream = (...pieces) => {
    const got = pieces.map((text) => ({ tag: 'data', val: new TextEncoder().encode(text) }));
    return { receive: () => got.shift() ?? { tag: 'end' } };
  };
  host.expect('connection.connect', 'db', 1).answers(stream('one\r\ntw', 'o\nrest', ' of it'));
  const peer = connection.connect('db', 1);
  assert.deepEqual([peer.receiveLine(), peer.receiveLine()], ['one', 'two']);
  assert.equal(new TextDecoder().decode(peer.receiveAll()), 'rest of it');
  assert.equal(peer.receiveLine(), null);
  host.expect('connection.connect', 'db', 1).answers(stream('half'));
  assert.throws(() => connection.connect('db', 1).receiveLine(), { reason: 'closed' });
});

test('references to outputs, one object and one page', () => {
  const host = new Host();
  assert.deepEqual(stepOutputs.parse(' #{p.b/t_1.name} '), ['p', 'b/t_1', 'name']);
  assert.throws(() => stepOutputs.parse('p.name'), { kind: 'invalid-option' });
  host.expect('snmp.get').answers([{ name: '1.3', value: { tag: 'integer', val: 7 } }]);
  assert.deepEqual(snmp.agent('sw', { tag: 'v2c', val: 'public' }).getOne('1.3'), { tag: 'integer', val: 7 });
  host.expect('job-nodes.list', 'p', 10, 2).answers(['a', 'b']);
  assert.deepEqual(jobNodes.page('p', 10, 2), ['a', 'b']);
});

test('a prompt is learned and a banner that looks like one is not taken for it', () => {
  new Host();
  const sent = [];
  const pieces = ['login: ', '\r\nsw1> ', 'show\r\nfake#\r\nmore\r\nsw1(config)# '];
  const dialogue = new Dialogue({ send: (text) => sent.push(text), receive: () => pieces.shift() ?? '' });
  assert.equal(dialogue.waitForAny(['assword:', /login: $/]).which, 1);
  const prompt = dialogue.learnPrompt();
  assert.equal(dialogue.command('show', prompt), 'fake#\nmore\n');
  assert.deepEqual(sent, ['show\n']);
});

test('errors of the host say what was tried', () => {
  const host = new Host();
  host.expect('net-probe.icmpEcho', 'db').fails('timed-out');
  assert.throws(() => netProbe.icmpEcho('db'), { reason: 'timed-out', kind: 'timed-out', message: /pinging db/ });
});
