"""Files below directories of the runner that the policy names. Needs the capability `filesystem`."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .. import host
from ..failure import Failure, HostError
from . import job

CHUNK = 1 << 20


@dataclass(frozen=True)
class Entry:
    """A file or directory."""

    name: str
    is_directory: bool
    #: Bytes; 0 for directories.
    size: int
    #: Last change in seconds since 1970.
    modified: int
    #: Permission bits, the lower nine.
    mode: int


def in_job(path: str) -> str:
    """The absolute path of one that is relative to the job's directory, as options of the type `file` hold them and as paths in
    jobs always were. An absolute path stays as it is."""
    if path.startswith("/"):
        return path
    directory = job.variable("AUTOEXEC_WORK_PATH") or ""
    if not directory.startswith("/"):
        raise Failure(f"{path} is relative to the job's directory, and there is no job here", "no-job")
    return f"{directory.rstrip('/')}/{path}"


def node_outputs() -> str:
    """The directory of what the steps of this node have put out, `<bundle>/<step>.json` for each. It need not exist yet."""
    node = job.node()
    # As the executor names it.
    name = "".join("_" if c == "/" or unicodedata.category(c) == "Cc" else c for c in node.host)
    port = "" if node.port is None else node.port
    return in_job(f"output-op/{name}-{port}-{node.resource_id}")


def output_directory() -> str:
    """The directory where files belong that this step puts out: the server offers them for download. It need not exist yet."""
    return f"{node_outputs()}/{job.context().operation_id}"


def _call(function: str, verb: str, path: str, *arguments: Any) -> Any:
    return host.call("filesystem", function, path, *arguments, doing=f"{verb} {path}")


def stat(path: str) -> Entry:
    """What is known of a file or directory."""
    return host.plain(Entry, _call("stat", "looking at", path))


def exists(path: str) -> bool:
    """Whether there is a file or directory."""
    try:
        stat(path)
    except HostError as error:
        if error.reason == "not-found":
            return False
        raise
    return True


def list_directory(path: str) -> list[Entry]:
    """The entries of a directory, in the order of their names."""
    return [host.plain(Entry, one) for one in _call("list_directory", "listing", path)]


def read_at(path: str, offset: int, length: int) -> bytes:
    """At most `length` bytes from `offset`; fewer at the end of the file."""
    return bytes(_call("read", "reading", path, offset, length))


def chunks(path: str) -> Iterator[bytes]:
    """The file piece by piece, for files that need not fit into memory."""
    offset = 0
    while piece := read_at(path, offset, CHUNK):
        yield piece
        offset += len(piece)


def read(path: str, limit: int = 16 << 20) -> bytes:
    """The whole file, which must not have more than `limit` bytes."""
    content = bytearray()
    for piece in chunks(path):
        content += piece
        if len(content) > limit:
            raise HostError("too-large", limit, f"reading {path}")
    return bytes(content)


def read_text(path: str, limit: int = 16 << 20) -> str:
    """The whole file as text; what is not UTF-8 is replaced."""
    return read(path, limit).decode("utf-8", "replace")


def write(path: str, content: str | bytes) -> None:
    """Replaces or creates a file as a whole, with text or bytes: written beside and renamed, readable by the owner only."""
    _call("write", "writing", path, _bytes(content))


def append(path: str, content: str | bytes) -> None:
    """Appends text or bytes to a file, creating it when it is missing."""
    _call("append", "appending to", path, _bytes(content))


def _bytes(content: str | bytes) -> bytes:
    return content.encode() if isinstance(content, str) else bytes(content)


def create_directory(path: str) -> None:
    """Makes a directory and those above it."""
    _call("create_directory", "making", path)


def rename(old: str, new: str) -> None:
    """Gives a file or directory another name in the same granted directory."""
    _call("rename", "renaming", old, new)


def remove(path: str) -> None:
    """Removes a file or an empty directory."""
    _call("remove", "removing", path)


def set_modified(path: str, modified: int) -> None:
    """Sets the time of the last change, in seconds since 1970."""
    _call("set_modified", "setting the time of", path, int(modified))


def set_mode(path: str, mode: int) -> None:
    """Sets the permission bits."""
    _call("set_mode", "setting the permissions of", path, mode)
