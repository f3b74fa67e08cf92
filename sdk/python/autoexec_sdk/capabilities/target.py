"""Commands and files on the node that the step is for. Needs the capability `target`."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from .. import host
from ..dialogue import Dialogue
from ..failure import Failure, HostError
from .filesystem import Entry


class Captured(NamedTuple):
    """How a command ended and what it wrote."""

    #: A number, or the name of a signal such as "KILL".
    status: int | str
    stdout: bytes
    stderr: bytes


def quote(text: str) -> str:
    """A text as one word for a POSIX shell, whatever it holds."""
    return shlex.quote(text)


def join(words: Iterable[str]) -> str:
    """A program with arguments as a command line, each word quoted."""
    return shlex.join(words)


def _command(line: str, environment: Mapping[str, str] | None, input: bytes, timeout: float | None) -> Any:
    return host.record(
        "target", "Command", line=line, environment=list((environment or {}).items()), input=bytes(input),
        timeout_ms=host.millis(timeout or 0),
    )


def _status(ending: Any) -> int | str:
    return getattr(ending, "value", ending)


def capture(
    line: str, *, environment: Mapping[str, str] | None = None, input: bytes = b"", timeout: float | None = None,
) -> Captured:
    """Runs a command and hands its output over. That it ended with another status than 0 is no error."""
    command = _command(line, environment, input, timeout)
    done = host.call("target", "capture", command, doing=f"running `{line}` on the node")
    return Captured(_status(done.ending), bytes(done.stdout), bytes(done.stderr))


def text(
    line: str, *, environment: Mapping[str, str] | None = None, input: bytes = b"", timeout: float | None = None,
) -> str:
    """Runs a command and returns its standard output as text; fails unless it ends with status 0."""
    status, stdout, stderr = capture(line, environment=environment, input=input, timeout=timeout)
    if status == 0:
        return stdout.decode("utf-8", "replace")
    how = f"was ended by the signal {status}" if isinstance(status, str) else f"ended with status {status}"
    errors = stderr.decode("utf-8", "replace").strip()
    raise Failure(f"`{line}` on the node {how}{': ' if errors else ''}{errors}", "command-failed")


def run(
    line: str, *, environment: Mapping[str, str] | None = None, input: bytes = b"", timeout: float | None = None,
) -> int | str:
    """Runs a command, its output going to the node's log as it comes; returns its status, or the name of the signal that ended it."""
    command = _command(line, environment, input, timeout)
    return _status(host.call("target", "run", command, doing=f"running `{line}` on the node"))


def upload(local: str, remote: str, keep_times: bool = False) -> int:
    """Copies a granted file or directory of the runner to the node; returns the bytes sent."""
    return host.call("target", "upload", local, remote, keep_times, doing=f"copying {local} to {remote} on the node")


def download(remote: str, local: str, keep_times: bool = False) -> int:
    """Copies a file or directory of the node to a granted place of the runner; returns the bytes received."""
    return host.call("target", "download", remote, local, keep_times, doing=f"copying {remote} of the node to {local}")


def list_directory(path: str) -> list[Entry]:
    """The entries of a directory of the node, in the order of their names."""
    found = host.call("target", "list_directory", path, doing=f"listing {path} on the node")
    return [host.plain(Entry, one) for one in found]


def stat(path: str) -> Entry:
    """What is known of a file or directory of the node; follows links."""
    return host.plain(Entry, host.call("target", "stat", path, doing=f"looking at {path} on the node"))


class Session:
    """An interactive terminal session on the node, for devices that know nothing else. Many columns keep devices from breaking lines."""

    def __init__(self, columns: int = 500, rows: int = 200) -> None:
        self._handle = host.call("target", "open_session", columns, rows, doing="opening a terminal session on the node")

    def send(self, data: bytes) -> None:
        """Types text. May hold references to secrets."""
        host.method(self._handle, "send", bytes(data), doing="typing into the terminal session")

    def receive(self, timeout: float) -> bytes:
        """Waits for output; empty when nothing came in time."""
        return bytes(host.method(self._handle, "receive", host.millis(timeout), doing="waiting for output of the session"))

    def hear(self, timeout: float) -> bytes | None:
        """Waits for output at most this long: empty when nothing came in time, None when the session has ended."""
        try:
            return self.receive(timeout)
        except HostError as error:
            if error.reason == "disconnected":
                return None
            raise

    def dialogue(self, timeout: float = 30.0) -> Dialogue:
        """Goes on with waiting for prompts and answering them."""
        return Dialogue(self, timeout)
