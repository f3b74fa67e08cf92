// Tool `example/fileline`: makes sure that a file holds a line.

import { Change, defineTool, Failure, filesystem, http, log, output, random } from 'autoexec-sdk';

const MOST = 256 << 20;

/** Where the file comes from and goes to. Several tools may have these options in common. */
const remote = {
  begin: { help: 'URL of what the file begins with when it does not exist', required: false },
  copy: { help: 'URL that gets the file afterwards, with PUT', required: false },
};

function checked(line) {
  if (line.includes('\n')) {
    throw new Failure('option `line`: it must be one line', { kind: 'invalid-option', exitCode: 2, option: 'line' });
  }
  return line;
}

const LINE_FEED = 10;

/** Whether the file has the line, and how many bytes of a last line without an end. No more of the file than a piece is kept. */
function look(path, line) {
  const wanted = new TextEncoder().encode(line);
  let begun = [];
  const isWanted = (piece, from, end) => {
    if (begun.length + end - from !== wanted.length) return false;
    return [...begun, ...piece.subarray(from, end)].every((byte, at) => byte === wanted[at]);
  };
  for (const piece of filesystem.exists(path) ? filesystem.chunks(path) : []) {
    let from = 0;
    for (let end = piece.indexOf(LINE_FEED); end >= 0; end = piece.indexOf(LINE_FEED, from)) {
      if (isWanted(piece, from, end)) return { isThere: true, begun: 0 };
      begun = [];
      from = end + 1;
    }
    begun = [...begun, ...piece.subarray(from)];
  }
  return { isThere: begun.length > 0 && isWanted(new Uint8Array(), 0, 0), begun: begun.length };
}

const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');

export default defineTool({
  options: {
    path: { help: 'File of the runner', type: 'filepath' },
    line: { help: 'Line that it shall hold' },
    remote: { group: remote },
  },
  outputs: {
    changed: { help: 'Whether the file was changed' },
    copied: { help: 'Bytes that were copied' },
  },
  run({ options: { path, line, remote: { begin, copy } } }) {
    checked(line);
    if (begin && !filesystem.exists(path)) {
      // Bodies are handed on piece by piece: they need not fit into the memory of the tool.
      const size = http.get(begin).requireSuccess().save(path, MOST);
      log.info(`${path}: ${size} bytes of ${begin}`);
    }
    const { isThere, begun } = look(path, line);
    if (!isThere) {
      filesystem.append(path, `${begun > 0 ? '\n' : ''}${line}\n`);
      log.info(`${path}: added the line`);
    } else {
      log.info(`${path} holds the line already`);
    }
    if (copy) http.put(copy, { file: path, headers: { 'x-request-id': hex(random.bytes(8)) } }).requireSuccess();
    output.put({ changed: !isThere, copied: copy ? filesystem.stat(path).size : 0 });
    return `${path} holds the line`;
  },
  check({ options: { path, line, remote: { begin } } }) {
    const added = Change.created(`line of ${path}`, checked(line));
    if (begin && !filesystem.exists(path)) return [Change.created(path, begin), added];
    return look(path, line).isThere ? [] : [added];
  },
  probe({ options: { path, line, remote: { copy } } }) {
    if (!look(path, checked(line)).isThere) return 'none';
    // The file does not say whether it was copied.
    return copy ? 'unknown' : 'complete';
  },
});
