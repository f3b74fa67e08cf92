// Tool `example/fileline`: makes sure that a file holds a line.

import { defineTool, Failure, filesystem, HostError, log, output } from 'autoexec-sdk';

function linesOf(path, line) {
  if (line.includes('\n')) {
    throw new Failure('option `line`: it must be one line', { kind: 'invalid-option', exitCode: 2, option: 'line' });
  }
  try {
    return filesystem.readText(path).split('\n').filter((one) => one !== '');
  } catch (error) {
    if (error instanceof HostError && error.reason === 'not-found') return [];
    throw error;
  }
}

export default defineTool({
  options: {
    path: { help: 'File of the runner', type: 'filepath' },
    line: { help: 'Line that it shall hold' },
  },
  outputs: {
    changed: { help: 'Whether the file was changed' },
  },
  run({ options: { path, line } }) {
    const lines = linesOf(path, line);
    if (lines.includes(line)) {
      log.info(`${path} holds the line already`);
    } else {
      filesystem.write(path, [...lines, line, ''].join('\n'));
      log.info(`${path}: added the line`);
    }
    output.set('changed', !lines.includes(line));
    return `${path} holds the line`;
  },
  check({ options: { path, line } }) {
    return linesOf(path, line).includes(line) ? [] : [{ subject: `line of ${path}`, after: line }];
  },
  probe({ options: { path, line } }) {
    return linesOf(path, line).includes(line) ? 'complete' : 'none';
  },
});
