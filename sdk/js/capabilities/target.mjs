// Commands, files and sessions on the node that the step is for.

import { Dialogue } from '../dialogue.mjs';
import { Failure } from '../failure.mjs';
import { call, method } from '../host.mjs';
import { bytes, entryOf, millis, utf8 } from './common.mjs';

const command = (line, { environment = {}, input, timeout } = {}) => (
  { line, environment: Object.entries(environment), input: bytes(input), timeoutMs: millis(timeout) }
);

/** Commands and files on the node that the step is for. */
export const target = {
  /** A text as one word for a POSIX shell, whatever it holds. */
  quote: (text) => (/^[A-Za-z0-9_./:=@%+,-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`),
  /** A program with arguments as a command line, each word quoted. */
  join: (words) => words.map(target.quote).join(' '),
  /** Runs a command and hands its output over; `status` is a number, or the name of a signal such as `KILL`. */
  capture: (line, options) => {
    const { ending, stdout, stderr } = call('target', 'capture', [command(line, options)], `running \`${line}\` on the node`);
    return { status: ending.val, stdout: utf8(stdout), stderr: utf8(stderr), stdoutBytes: stdout, stderrBytes: stderr };
  },
  /** Runs a command and gives its standard output as text; fails unless it ends with status 0. */
  text: (line, options) => {
    const { status, stdout, stderr } = target.capture(line, options);
    if (status === 0) return stdout;
    const how = typeof status === 'string' ? `was ended by the signal ${status}` : `ended with status ${status}`;
    const errors = stderr.trim();
    throw new Failure(`\`${line}\` on the node ${how}${errors ? ': ' : ''}${errors}`, { kind: 'command-failed' });
  },
  /** Runs a command, its output going to the node's log as it comes. */
  run: (line, options) => call('target', 'run', [command(line, options)], `running \`${line}\` on the node`).val,
  /** Copies a granted file or directory of the runner to the node; gives the bytes sent. */
  upload: (local, remote, keepTimes = false) => (
    Number(call('target', 'upload', [local, remote, keepTimes], `copying ${local} to ${remote} on the node`))
  ),
  /** Copies a file or directory of the node to a granted place of the runner; gives the bytes received. */
  download: (remote, local, keepTimes = false) => (
    Number(call('target', 'download', [remote, local, keepTimes], `copying ${remote} of the node to ${local}`))
  ),
  listDirectory: (path) => call('target', 'listDirectory', [path], `listing ${path} on the node`).map(entryOf),
  stat: (path) => entryOf(call('target', 'stat', [path], `looking at ${path} on the node`)),
  openSession: (columns = 500, rows = 200) => {
    const handle = call('target', 'openSession', [columns, rows], 'opening a terminal session on the node');
    const receive = (timeout) => method(handle, 'receive', [millis(timeout)], 'waiting for output of the session');
    const session = {
      send: (data) => method(handle, 'send', [bytes(data)], 'typing into the terminal session'),
      /** Waits for output, as text; empty when nothing came in time. */
      receive: (timeout) => utf8(receive(timeout)),
      /** Waits for output, as bytes: none when nothing came in time, null when the session has ended. */
      hear: (timeout) => {
        try {
          return receive(timeout);
        } catch (error) {
          if (error.reason === 'disconnected') return null;
          throw error;
        }
      },
      /** Goes on with waiting for prompts and answering them. */
      dialogue: (options) => new Dialogue(session, options),
    };
    return session;
  },
};
