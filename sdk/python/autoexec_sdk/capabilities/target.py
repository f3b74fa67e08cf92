"""Commands and files on the node that the step is for. Needs the capability `target`."""

import shlex

from .. import host
from ..failure import Failure
from .clock import millis

quote = shlex.quote


def _command(line, environment, input, timeout):
    return host.record(
        "target", "Command", line=line, environment=list((environment or {}).items()), input=bytes(input),
        timeout_ms=millis(timeout or 0),
    )


def _status(ending):
    return getattr(ending, "value", ending)


def capture(line, *, environment=None, input=b"", timeout=None):
    """Runs a command; returns its status (a number, or the name of a signal), standard output and standard error as bytes."""
    command = _command(line, environment, input, timeout)
    done = host.call("target", "capture", command, doing=f"running `{line}` on the node")
    return _status(done.ending), bytes(done.stdout), bytes(done.stderr)


def text(line, **options):
    """Runs a command and returns its standard output as text; fails unless it ends with status 0."""
    status, stdout, stderr = capture(line, **options)
    if status != 0:
        raise Failure(f"`{line}` on the node ended with {status}: {stderr.decode('utf-8', 'replace').strip()}", "command-failed")
    return stdout.decode("utf-8", "replace")


def run(line, *, environment=None, input=b"", timeout=None):
    """Runs a command, its output going to the node's log; returns its status."""
    command = _command(line, environment, input, timeout)
    return _status(host.call("target", "run", command, doing=f"running `{line}` on the node"))


def upload(local, remote, keep_times=False):
    """Copies a granted file or directory of the runner to the node; returns the bytes sent."""
    return host.call("target", "upload", local, remote, keep_times, doing=f"copying {local} to {remote} on the node")


def download(remote, local, keep_times=False):
    """Copies a file or directory of the node to a granted place of the runner; returns the bytes received."""
    return host.call("target", "download", remote, local, keep_times, doing=f"copying {remote} of the node to {local}")


def list_directory(path):
    """The entries of a directory."""
    return host.call("target", "list_directory", path, doing=f"listing {path} on the node")


def stat(path):
    """What is known of a file or directory."""
    return host.call("target", "stat", path, doing=f"looking at {path} on the node")


class Session:
    """An interactive terminal session; `Dialogue(Session())` answers its prompts."""

    def __init__(self, columns=500, rows=200):
        self._handle = host.call("target", "open_session", columns, rows, doing="opening a terminal session on the node")

    def send(self, data):
        """Types text. May hold references to secrets."""
        host.method(self._handle, "send", bytes(data), doing="typing into the terminal session")

    def receive(self, timeout):
        """Waits for output; empty when nothing came in time."""
        return bytes(host.method(self._handle, "receive", millis(timeout), doing="waiting for output of the session"))
