// The SDK without a component: what a tool says of itself, what is made of options, and what the fake host refuses.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import {
  Change, clock, connection, context, datagrams, defineTool, Dialogue, documents, filesystem, http, interact, jobNodes, netProbe, output,
  program, secret, snmp, stepOutputs, target,
} from '../index.mjs';
import { told } from '../exported.mjs';
import { sourceLines } from '../source-lines.mjs';
import { ANY, Host, Script } from '../testing.mjs';
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
  assert.throws(() => defineTool({ run() {}, options: { x: {} } }), /option x/);
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
  const get = (url, headers) => ['GET', url, { method: 'GET', url, headers, timeout: 60, body: new Uint8Array() }];
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

const bytes = (text) => new TextEncoder().encode(text);

test('options of all types, groups and choices', () => {
  const account = { user: { help: 'Account' }, proof: { group: { password: { help: 'Password', name: 'pass', type: 'password', required: false } } } };
  const grouped = defineTool({
    options: {
      wait: { help: 'Wait', type: 'seconds', default: 5 },
      lines: { help: 'Lines', type: 'lines', required: false },
      names: { help: 'Names', type: 'list', default: ['a'] },
      mode: { help: 'Mode', default: 'fast', choices: { fast: 'Fast', slow: 'Very slow' }, validate: 'enchar' },
      account: { group: account },
    },
    run() {},
  });
  const told = describe(grouped).options;
  assert.deepEqual(told.map(({ opt, type }) => [opt, type]), [
    ['wait', 'text'], ['lines', 'textarea'], ['names', 'json'], ['mode', 'select'], ['user', 'text'], ['pass', 'password'],
  ]);
  assert.deepEqual([told[3].dataSource.dataList[1], told[3].validate], [{ text: 'Very slow', value: 'slow' }, ['enchar']]);
  assert.deepEqual(told.filter(({ required }) => required).map(({ opt }) => opt), ['user']);
  const [given, unknown] = readOptions(grouped, { wait: '1.5', lines: 'a\\n b \n', names: '["x", 1]', user: 'me', pass: 'ref', account: 1 });
  assert.deepEqual([given.wait, given.lines, given.names, given.mode], [1.5, ['a', 'b'], ['x', '1'], 'fast']);
  assert.deepEqual([given.account, unknown], [{ user: 'me', proof: { password: 'ref' } }, ['account']]);
  assert.throws(() => readOptions(grouped, { user: 'me', wait: '-1' }), /`wait`: "-1" is not a usable seconds/);
  assert.throws(() => readOptions(grouped, { user: 'me', names: '{}' }), /`names`/);
});

test('a mistake in a description is an error where the tool is defined', () => {
  for (const [tool, message] of [
    [{ options: {} }, /needs `run\(call\)/], [{ run() {}, option: {} }, /`option` is not known/],
    [{ run() {}, options: { x: 'text' } }, /option x: this must be an object/],
    [{ run() {}, options: { x: { help: 'X', type: 'strng' } } }, /option x: `strng` is not a type; known are text, /],
    [{ run() {}, options: { x: { help: 'X', defualt: 1 } } }, /option x: `defualt` is not known/],
    [{ run() {}, options: { x: { help: 'X', type: 'integer', default: 'y' } } }, /option x: the default does not fit/],
    [{ run() {}, options: { x: { help: 'X' }, y: { help: 'Y', name: 'x' } } }, /option x is there twice/],
    [{ run() {}, outputs: { x: { help: 'X', kind: 'number' } } }, /output x: `number` is not a kind/],
    [{ run() {}, outputs: { x: {} } }, /output x: say in `help`/],
  ]) {
    assert.throws(() => defineTool(tool), { name: 'TypeError', message });
  }
});

test('outputs have names and defaults', () => {
  const tool = defineTool({
    outputs: { rows: { help: 'Rows', name: 'rowCount', default: 0 }, table: { help: 'Table', kind: 'json' } },
    run: (call) => output.put({ rowCount: 3, table: call.textArguments() }),
  });
  assert.deepEqual(describe(tool).outputs[0], { opt: 'rowCount', name: 'RowCount', help: 'Rows', type: 'text', defaultValue: '0' });
  const host = new Host();
  host.run(tool, { }, ['a', { b: 1 }]);
  assert.deepEqual(host.outputs, { rowCount: 3, table: ['a', '{"b":1}'] });
});

test('a failure says more on its way out', () => {
  const host = new Host();
  host.expect('net-probe.tcpConnect', '::1', 22).fails('refused');
  assert.throws(() => context('the database of shop', () => netProbe.tcpConnect('::1', 22), { exitCode: 300 }), {
    message: 'the database of shop: connecting to [::1]:22: refused, nobody listens there', exitCode: 255, kind: 'unreachable',
  });
  assert.deepEqual(Change.removed('x', '1'), { subject: 'x', before: '1' });
  host.verify();
});

test('a download ends in the file or leaves nothing', () => {
  const host = new Host();
  host.files.writable('/out');
  const told = [];
  host.expect('http', 'GET', 'http://a/x').answers({ status: 200, body: ['con', 'tent'] });
  assert.equal(http.get('http://a/x').save('/out/x', 7, (size) => told.push(size)), 7);
  assert.deepEqual([host.files.content('/out/x'), told], [bytes('content'), [3, 7]]);
  host.expect('http', 'GET', 'http://a/y').answers({ status: 200, body: ['con', 'tent'] });
  assert.throws(() => http.get('http://a/y').save('/out/y', 6), { reason: 'too-large' });
  assert.deepEqual(host.files.paths(), ['/out/x']);
  host.verify();
});

test('bodies come and go in pieces', () => {
  const host = new Host();
  const large = new Uint8Array(2 << 20).fill(7);
  host.files.readable('/in').file('/in/x', large);
  host.expect('http', 'PUT', 'http://a/x').answersWith((_verb, _url, sent) => {
    assert.deepEqual([sent.headers, sent.body.length], [[['content-length', String(large.length)]], large.length]);
    return { status: 201 };
  });
  assert.ok(http.put('http://a/x', { file: '/in/x' }).isSuccess);
  host.expect('http', 'POST', 'http://a/y').answersWith((_verb, _url, sent) => {
    assert.deepEqual(sent.body, bytes('abcd'));
    return { status: 200, body: ['1', '2'] };
  });
  const answer = http.post('http://a/y', { body: [bytes('ab'), bytes('cd')].values(), length: 4 });
  for (const piece of answer.chunks()) {
    assert.deepEqual(piece, bytes('1'));
    break;
  }
  assert.equal(answer.text(), '2');
  assert.throws(() => http.post('http://a/y', { body: [bytes('a')] }), TypeError);
  host.expect('http', 'PUT', 'http://a/z').answers({ status: 307, headers: [['location', '/w']] });
  assert.throws(() => http.put('http://a/z', { file: '/in/x', redirects: 1 }), /a redirect asks for a body again/);
  host.verify();
});

test('what is no usable URL is refused before anything is sent', () => {
  const host = new Host();
  for (const url of ['ftp://a/', 'a.example', 'http:///x', 'http://u:p@a/', 'http://a b/', 'http://\u00e4/']) {
    assert.throws(() => http.get(url), { reason: 'invalid-url' }, url);
  }
  host.verify();
});

test('files of the fake behave as on a disk', () => {
  const host = new Host();
  host.files.writable('/data').file('/data/a/b.txt', 'one');
  assert.deepEqual(filesystem.readAt('/data/a/b.txt', 1, 10), bytes('ne'));
  filesystem.append('/data/a/b.txt', ' two');
  assert.throws(() => filesystem.remove('/data/a'), { reason: 'wrong-kind' });
  filesystem.rename('/data/a', '/data/c');
  assert.equal(filesystem.readText('/data/c/b.txt'), 'one two');
  assert.deepEqual(filesystem.listDirectory('/data').map(({ name }) => name), ['c']);
  assert.equal(filesystem.exists('/data/a'), false);
  filesystem.setMode('/data/c/b.txt', 0o644);
  filesystem.setModified('/data/c/b.txt', 7);
  assert.deepEqual(filesystem.stat('/data/c/b.txt'), { name: 'b.txt', isDirectory: false, size: 7, modified: 7, mode: 0o644 });
  assert.throws(() => filesystem.read('/etc/passwd'), /made readable/);
  const reader = new Host();
  reader.files.readable('/in');
  assert.throws(() => filesystem.write('/in/x', ''), /made writable/);
});

test('a script is the other side of a session', () => {
  const host = new Host();
  const script = new Script().shows('login: ').expects('admin\n').shows('\r\nsw1#').expects('show run\n')
    .shows('show run\r\nline 1\r\n --More-- ').expects(' ').shows(`${'\b'.repeat(10)}line 2\r\r\n --More-- `).expects(' ')
    .shows('\r          \rline 3 \u00e4').shows('\r\n\x1b[1msw1#\x1b[0m ');
  host.expect('target.openSession', 200, 50).answers(script);
  const dialogue = target.openSession(200, 50).dialogue({ timeout: 5 });
  dialogue.waitFor('login:');
  dialogue.sendLine('admin');
  const prompt = dialogue.learnPrompt();
  assert.equal(dialogue.command('show run', prompt), 'line 1\nline 2\nline 3 \u00e4\n');
  host.verify();
});

test('characters and sequences in two pieces are kept together, and the end of a session is told', () => {
  const host = new Host();
  const script = new Script().shows(Uint8Array.of(0xe4, 0xb8)).shows(Uint8Array.of(0xad, 0x1b, 0x5b, 0x33)).shows('1m>').ends();
  host.expect('target.openSession').answers(script);
  const dialogue = target.openSession().dialogue();
  assert.equal(dialogue.waitForAny([/.*>$/]).matched, '\u4e2d>');
  assert.throws(() => dialogue.waitFor('#'), { kind: 'unreachable' });
  host.verify();
});

test('a limit on silence begins again with what comes', () => {
  for (const onSilence of [true, false]) {
    const host = new Host();
    host.expect('connection.connect', 'sw', 23).answers(new Script().shows('a').pauses(4).shows('b').pauses(4).shows('sw#'));
    const dialogue = connection.connect('sw', 23).dialogue({ timeout: 5, onSilence });
    if (onSilence) assert.equal(dialogue.waitFor('sw#'), 'ab');
    else assert.throws(() => dialogue.waitFor('sw#'), { kind: 'timed-out', message: /"ab"/ });
    host.verify();
  }
});

test('what a script expects and does not get fails the test', () => {
  const host = new Host();
  host.expect('connection.connect', 'db', 1).answers(new Script().expects('QUIT'));
  const peer = connection.connect('db', 1);
  peer.send('QU');
  assert.throws(() => host.verify(), /QUIT/);
  assert.throws(() => peer.send('X'), /expected was "QUIT"/);
});

test('TLS and datagrams', () => {
  const host = new Host();
  host.expect('connection.connect', 'db', 1).answers(new Script().shows('ready\n'));
  host.expect('connection.startTls', 'db.example');
  const peer = connection.connect('db', 1);
  peer.startTls('db.example');
  assert.deepEqual([peer.peerAddress(), peer.receiveLine()], ['db:1', 'ready']);
  host.expect('connection.openDatagrams', 'log', 514).answers(new Script().expects('x').shows('y'));
  const peers = datagrams.open('log', 514);
  peers.send('x');
  assert.deepEqual([peers.receive(1), peers.receive(1)], [bytes('y'), null]);
  host.verify();
});

test('commands and programs', () => {
  const host = new Host();
  host.expect('target.capture').prints('up 3 days');
  assert.equal(target.text(target.join(['uptime', '-a b'])), 'up 3 days');
  assert.equal(target.join(['ls', '-l', "it's"]), "ls -l 'it'\\''s'");
  host.expect('target.capture').exits(2, 'no such file\n');
  assert.throws(() => target.text('cat x'), { message: '`cat x` on the node ended with status 2: no such file' });
  host.expect('program.run').prints(Uint8Array.of(255)).times(2);
  program.run('tar');
  assert.deepEqual(program.run('tar', ['-c']).stdoutBytes, Uint8Array.of(255));
  host.verify();
});

test('answers may be made of the arguments and be given always', () => {
  const host = new Host();
  host.expect('net-probe.tcpConnect', ANY, 22).answersWith((name, port) => name.length * port).always();
  assert.deepEqual(['a', 'ab'].map((name) => netProbe.tcpConnect(name, 22)), [0.022, 0.044]);
  host.expect('interact.ask').answers({ tag: 'given', val: ['yes'] });
  assert.deepEqual(interact.ask({ title: 'Go on?', choices: ['yes', 'no'] }), ['yes']);
  assert.throws(() => interact.ask({ title: 'Go on?', kind: 'buttons' }), TypeError);
  host.verify();
});

test('a recorded device answers', () => {
  const host = new Host();
  host.snmpRecorded('sw', '.1.3.1.0 = STRING: "two\nlines"\n.1.3.2.1 = INTEGER: 6\n.1.3.2.2 = Hex-STRING: 00 1B 21 \n'
    + '.1.3.3.0 = Timeticks: (4212) 0:00:42.12\n.1.3.4.0 = OID: .1.3.6\n.1.3.20.0 = Counter64: 18446744073709551615\n');
  const user = { authentication: ['sha256', 'ref-1'], privacy: ['aes128', 'ref-2'] };
  const agent = snmp.agent('sw', snmp.v3('monitor', user));
  assert.equal(snmp.toText(agent.getOne('1.3.1.0')), 'two\nlines');
  assert.deepEqual(agent.get('1.3.3.0', '1.3.20.0').map(({ value }) => snmp.toNumber(value)), [4212, 18446744073709551615n]);
  assert.deepEqual([snmp.toText(agent.getOne('1.3.9.0')), snmp.toNumber(agent.getOne('1.3.4.0'))], ['', undefined]);
  assert.deepEqual(agent.walk('1.3.2').map(({ value }) => snmp.toText(value)), ['6', '00:1b:21']);
  assert.equal(agent.get(...Array.from({ length: 70 }, (_, n) => `1.3.${n}.0`)).length, 70);
  assert.deepEqual([snmp.indexBelow('1.3.2.10', '1.3.2'), snmp.indexBelow('1.3.2.10', '1.3.2.1')], ['10', undefined]);
  assert.throws(() => snmp.v3('monitor', { authentication: ['sha3', 'x'] }), TypeError);
  host.verify();
});

test('outputs of other nodes, and the time of day with the zone of the runner', () => {
  const host = new Host();
  host.expect('step-outputs.find', 'p', 'b/t_1', 'x').answers([{ resourceId: 0n, host: 'local', value: '[1]' }]);
  const [{ value, address, isRunner }] = stepOutputs.find('p', 'b/t_1', 'x');
  assert.deepEqual([value, address, isRunner], [[1], 'local', true]);
  host.setTime(1704067200, 3600);
  clock.sleep(1);
  assert.deepEqual(clock.localNow(), { unixSeconds: 1704067201, utcOffset: 3600 });
  host.verify();
});

test('a defect is told with the lines of the author', () => {
  // Line 1 comes from the first line of sdk.mjs, line 2 from line 17 of tool.js, line 3 from the line before that.
  const map = { sources: ['../sdk.mjs', 'tool.js'], mappings: 'AAAA;ACgBA;AADA' };
  const lines = sourceLines(map, (name) => (name.startsWith('..') ? undefined : name));
  assert.deepEqual(lines, { 2: 'tool.js:17', 3: 'tool.js:16' });
  const error = { stack: 'run@source.js:2:32\nask@source.js:1:33\n@source.js:3', toString: () => 'TypeError: x' };
  assert.equal(told(error, lines), 'TypeError: x\n  tool.js:17, in run\n  tool.js:16');
});
