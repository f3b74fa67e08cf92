// Files below directories of the runner that the policy names.

import { Failure, HostError } from '../failure.mjs';
import { call } from '../host.mjs';
import { job } from './always.mjs';
import { bytes, entryOf, gathered, utf8 } from './common.mjs';

const file = (name, verb) => (path, ...rest) => call('filesystem', name, [path, ...rest], `${verb} ${path}`);
const CHUNK = 1 << 20;

/** Files below directories of the runner that the policy names. */
export const filesystem = {
  /** The absolute path of one that is relative to the job's directory; an absolute path stays as it is. */
  inJob: (path) => {
    if (path.startsWith('/')) return path;
    const directory = job.variable('AUTOEXEC_WORK_PATH') ?? '';
    if (!directory.startsWith('/')) {
      throw new Failure(`${path} is relative to the job's directory, and there is no job here`, { kind: 'no-job' });
    }
    return `${directory.replace(/\/+$/, '')}/${path}`;
  },
  /** The directory of what the steps of this node have put out, `<bundle>/<step>.json` for each. It need not exist yet. */
  nodeOutputs: () => {
    const { host, port, resourceId } = job.node();
    // As the executor names it.
    return filesystem.inJob(`output-op/${host.replace(/[/\u0000-\u001f\u007f-\u009f]/g, '_')}-${port ?? ''}-${resourceId}`);
  },
  /** The directory where files belong that this step puts out: the server offers them for download. */
  outputDirectory: () => `${filesystem.nodeOutputs()}/${job.context().operationId}`,
  stat: (path) => entryOf(file('stat', 'looking at')(path)),
  exists: (path) => {
    try {
      filesystem.stat(path);
      return true;
    } catch (error) {
      if (error.reason === 'not-found') return false;
      throw error;
    }
  },
  listDirectory: (path) => file('listDirectory', 'listing')(path).map(entryOf),
  /** At most `length` bytes from `offset`; fewer at the end of the file. */
  readAt: (path, offset, length) => file('read', 'reading')(path, BigInt(offset), length),
  /** The file piece by piece, for files that need not fit into memory. */
  chunks: function* chunks(path) {
    for (let size = 0; ;) {
      const piece = filesystem.readAt(path, size, CHUNK);
      if (piece.length === 0) return;
      yield piece;
      size += piece.length;
    }
  },
  read: (path, limit = 16 << 20) => (
    gathered(filesystem.chunks(path), limit, () => new HostError('too-large', limit, `reading ${path}`))
  ),
  readText: (path, limit) => utf8(filesystem.read(path, limit)),
  /** Replaces or creates a file as a whole: written beside and renamed, readable by the owner only. */
  write: (path, content) => call('filesystem', 'write', [path, bytes(content)], `writing ${path}`),
  append: (path, content) => call('filesystem', 'append', [path, bytes(content)], `appending to ${path}`),
  createDirectory: file('createDirectory', 'making'),
  rename: file('rename', 'renaming'),
  remove: file('remove', 'removing'),
  setModified: (path, seconds) => (
    call('filesystem', 'setModified', [path, BigInt(Math.trunc(seconds))], `setting the time of ${path}`)
  ),
  setMode: file('setMode', 'setting the permissions of'),
};
