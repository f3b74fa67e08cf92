"""The capability `filesystem` as a disk in memory. What was not granted fails the test."""

from __future__ import annotations

from typing import Any

from ..capabilities.filesystem import Entry


class _Node:
    def __init__(self, content: bytes | None) -> None:
        #: None is a directory.
        self.content = content
        self.modified = 0
        self.mode = 0o700 if content is None else 0o600

    def entry(self, path: str) -> Entry:
        size = 0 if self.content is None else len(self.content)
        return Entry(path.rsplit("/", 1)[-1], self.content is None, size, self.modified, self.mode)


def _parent(path: str) -> str:
    return path.rpartition("/")[0]


class Files:
    """Files of the runner: `host.files.writable("/out")`, `host.files.readable("/etc").file("/etc/hosts", "…")`."""

    class Refused(Exception):
        """What the host says no to: a case of the WIT error, and what it holds."""

    def __init__(self) -> None:
        self._nodes: dict[str, _Node] = {}
        self._readable: list[str] = []
        self._writable: list[str] = []

    @property
    def is_used(self) -> bool:
        """Whether something was granted."""
        return bool(self._readable)

    def readable(self, directory: str) -> Files:
        """Grants a directory for reading, and makes it."""
        self._readable.append(directory.rstrip("/"))
        self._make(directory)
        return self

    def writable(self, directory: str) -> Files:
        """Grants a directory for reading and writing, and makes it."""
        self._writable.append(directory.rstrip("/"))
        return self.readable(directory)

    def file(self, path: str, content: str | bytes) -> Files:
        """Puts a file there, and the directories above it."""
        self._make(_parent(path))
        self._nodes[path] = _Node(content.encode() if isinstance(content, str) else content)
        return self

    def content(self, path: str) -> bytes | None:
        """What a file holds; None when there is none."""
        node = self._nodes.get(path)
        return None if node is None else node.content

    def paths(self) -> list[str]:
        """The paths of all files, sorted."""
        return sorted(path for path, node in self._nodes.items() if node.content is not None)

    def call(self, function: str, arguments: tuple[Any, ...]) -> Any:
        """Does what a function of the interface does."""
        return getattr(self, f"_{function}")(*arguments)

    def _make(self, path: str) -> None:
        while path not in ("", "/") and path not in self._nodes:
            self._nodes[path] = _Node(None)
            path = _parent(path)

    def _granted(self, function: str, path: str, writes: bool = False) -> None:
        granted = self._writable if writes else self._readable
        is_below = any(f"{path}/".startswith(f"{directory}/") for directory in granted)
        if ".." in path.split("/") or not is_below:
            word = "writable" if writes else "readable"
            raise AssertionError(
                f"the tool did what was not expected: filesystem.{function} {path!r}; no directory above it was made {word}: {granted}"
            )

    def _node(self, path: str) -> _Node:
        if path not in self._nodes:
            raise self.Refused("not-found", None)
        return self._nodes[path]

    def _file(self, path: str) -> bytes:
        content = self._node(path).content
        if content is None:
            raise self.Refused("wrong-kind", "it is a directory")
        return content

    def _stat(self, path: str) -> Entry:
        self._granted("stat", path)
        return self._node(path).entry(path)

    def _list_directory(self, path: str) -> list[Entry]:
        self._granted("list_directory", path)
        if self._node(path).content is not None:
            raise self.Refused("wrong-kind", "it is a file")
        return [node.entry(own) for own, node in sorted(self._nodes.items()) if _parent(own) == path]

    def _read(self, path: str, offset: int, length: int) -> bytes:
        self._granted("read", path)
        return self._file(path)[offset:offset + length]

    def _write(self, path: str, content: bytes) -> None:
        self._granted("write", path, writes=True)
        self._node(_parent(path))
        self._nodes[path] = _Node(content)

    def _append(self, path: str, content: bytes) -> None:
        self._granted("append", path, writes=True)
        self._node(_parent(path))
        before = self._file(path) if path in self._nodes else b""
        self._nodes[path] = _Node(before + content)

    def _create_directory(self, path: str) -> None:
        self._granted("create_directory", path, writes=True)
        self._make(path)

    def _rename(self, old: str, new: str) -> None:
        self._granted("rename", old, writes=True)
        self._granted("rename", new, writes=True)
        self._node(old)
        for path in [path for path in self._nodes if f"{path}/".startswith(f"{old}/")]:
            self._nodes[new + path[len(old):]] = self._nodes.pop(path)

    def _remove(self, path: str) -> None:
        self._granted("remove", path, writes=True)
        self._node(path)
        if any(_parent(own) == path for own in self._nodes):
            raise self.Refused("wrong-kind", "the directory is not empty")
        del self._nodes[path]

    def _set_modified(self, path: str, modified: int) -> None:
        self._granted("set_modified", path, writes=True)
        self._node(path).modified = modified

    def _set_mode(self, path: str, mode: int) -> None:
        self._granted("set_mode", path, writes=True)
        self._node(path).mode = mode & 0o777
