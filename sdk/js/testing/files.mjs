// The capability `filesystem` as a disk in memory. What was not granted fails the test.

import { bytes, joined } from '../capabilities/common.mjs';

/** What a fake says no to: a case of the WIT error, and what it holds. */
export class Refused {
  constructor(reason, detail) {
    Object.assign(this, { reason, detail });
  }
}

const parent = (path) => path.slice(0, Math.max(path.lastIndexOf('/'), 0));
const isBelow = (path, directory) => `${path}/`.startsWith(`${directory}/`);
const isDirectory = (node) => node.content === undefined;

/** Files of the runner: `host.files.writable('/out')`, `host.files.readable('/etc').file('/etc/hosts', '…')`. */
export class Files {
  #nodes = new Map();
  #readable = [];
  #writable = [];

  /** Whether something was granted. */
  get isUsed() {
    return this.#readable.length > 0;
  }

  /** Grants a directory for reading, and makes it. */
  readable(directory) {
    this.#readable.push(directory.replace(/\/+$/, ''));
    this.#make(directory);
    return this;
  }

  /** Grants a directory for reading and writing, and makes it. */
  writable(directory) {
    this.#writable.push(directory.replace(/\/+$/, ''));
    return this.readable(directory);
  }

  /** Puts a file there, and the directories above it. */
  file(path, content) {
    this.#make(parent(path));
    this.#put(path, bytes(content));
    return this;
  }

  /** What a file holds; undefined when there is none. */
  content(path) {
    return this.#nodes.get(path)?.content;
  }

  /** The paths of all files, sorted. */
  paths() {
    return [...this.#nodes].filter(([, node]) => !isDirectory(node)).map(([path]) => path).sort();
  }

  /** Does what a function of the interface does. */
  call(name, args) {
    return this[`_${name}`](...args);
  }

  #put(path, content) {
    this.#nodes.set(path, { content, modified: 0, mode: content === undefined ? 0o700 : 0o600 });
  }

  #make(directory) {
    for (let path = directory; path !== '' && path !== '/' && !this.#nodes.has(path); path = parent(path)) this.#put(path, undefined);
  }

  #granted(name, path, writes = false) {
    const granted = writes ? this.#writable : this.#readable;
    if (path.split('/').includes('..') || !granted.some((directory) => isBelow(path, directory))) {
      const word = writes ? 'writable' : 'readable';
      const text = `the tool did what was not expected: filesystem.${name} ${path}`;
      throw new Error(`${text}; no directory above it was made ${word}: ${granted.join(', ')}`);
    }
  }

  #node(path) {
    const node = this.#nodes.get(path);
    if (node === undefined) throw new Refused('not-found');
    return node;
  }

  #file(path) {
    const { content } = this.#node(path);
    if (content === undefined) throw new Refused('wrong-kind', 'it is a directory');
    return content;
  }

  #entry(path, node) {
    return {
      name: path.slice(path.lastIndexOf('/') + 1), isDirectory: isDirectory(node), size: BigInt(node.content?.length ?? 0),
      modified: BigInt(node.modified), mode: node.mode,
    };
  }

  _stat(path) {
    this.#granted('stat', path);
    return this.#entry(path, this.#node(path));
  }

  _listDirectory(path) {
    this.#granted('listDirectory', path);
    if (!isDirectory(this.#node(path))) throw new Refused('wrong-kind', 'it is a file');
    const inside = [...this.#nodes].filter(([own]) => parent(own) === path);
    return inside.sort(([a], [b]) => (a < b ? -1 : 1)).map(([own, node]) => this.#entry(own, node));
  }

  _read(path, offset, length) {
    this.#granted('read', path);
    return this.#file(path).slice(Number(offset), Number(offset) + length);
  }

  _write(path, content) {
    this.#granted('write', path, true);
    this.#node(parent(path));
    this.#put(path, content);
  }

  _append(path, content) {
    this.#granted('append', path, true);
    this.#node(parent(path));
    this.#put(path, joined([this.#nodes.has(path) ? this.#file(path) : bytes(''), content]));
  }

  _createDirectory(path) {
    this.#granted('createDirectory', path, true);
    this.#make(path);
  }

  _rename(from, to) {
    this.#granted('rename', from, true);
    this.#granted('rename', to, true);
    this.#node(from);
    for (const [path, node] of [...this.#nodes].filter(([own]) => isBelow(own, from))) {
      this.#nodes.delete(path);
      this.#nodes.set(to + path.slice(from.length), node);
    }
  }

  _remove(path) {
    this.#granted('remove', path, true);
    this.#node(path);
    if ([...this.#nodes.keys()].some((own) => parent(own) === path)) throw new Refused('wrong-kind', 'the directory is not empty');
    this.#nodes.delete(path);
  }

  _setModified(path, modified) {
    this.#granted('setModified', path, true);
    this.#node(path).modified = Number(modified);
  }

  _setMode(path, mode) {
    this.#granted('setMode', path, true);
    this.#node(path).mode = mode & 0o777;
  }
}
