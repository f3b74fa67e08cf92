"""TCP, TLS and UDP connections to services. Needs the capability `sockets`."""

from .. import host
from ..failure import HostError
from .clock import millis


class Stream:
    """A TCP connection."""

    def __init__(self, address, port, timeout=30.0):
        self.peer, self.timeout, self._ahead = f"{address}:{port}", timeout, b""
        self._handle = host.call("connection", "connect", address, port, millis(timeout), doing=f"connecting to {self.peer}")

    def start_tls(self, server_name):
        """Goes on in TLS, as a client. The certificate must be for this name."""
        host.method(self._handle, "start_tls", server_name, millis(self.timeout), doing=f"starting TLS with {self.peer}")

    def send(self, data):
        """Sends all of the bytes. May hold references to secrets."""
        host.method(self._handle, "send", bytes(data), millis(self.timeout), doing=f"sending to {self.peer}")

    def receive(self, timeout=None):
        """Waits for bytes; empty at the end. With a time limit of its own it is empty when nothing came in time, too."""
        if self._ahead:
            ahead, self._ahead = self._ahead, b""
            return ahead
        limit = self.timeout if timeout is None else timeout
        got = host.method(self._handle, "receive", 65536, millis(limit), doing=f"reading from {self.peer}")
        name = host.case_name(got)
        if name == "nothing" and timeout is None:
            raise HostError("timed-out", None, f"waiting for {self.peer}")
        return bytes(got.value) if name == "data" else b""

    def receive_line(self, limit=64 << 10):
        """Text up to the line feed, without it and a carriage return in front of it; None when the peer sends no more. A line of
        more than `limit` bytes and an end within a line are errors."""
        line = b""
        while piece := self.receive():
            first, found, rest = piece.partition(b"\n")
            line += first
            if found:
                self._ahead = rest
                return line.removesuffix(b"\r").decode("utf-8", "replace")
            if len(line) > limit:
                raise HostError("other", f"a line of more than {limit} bytes", f"reading from {self.peer}")
        if line:
            raise HostError("closed", "within a line", f"reading from {self.peer}")
        return None

    def receive_all(self, limit=16 << 20):
        """All bytes until the peer sends no more, which must not be more than `limit`."""
        content = b""
        while piece := self.receive():
            content += piece
            if len(content) > limit:
                raise HostError("other", f"more than {limit} bytes", f"reading from {self.peer}")
        return content


class Datagrams:
    """Datagrams (UDP) to and from one peer."""

    def __init__(self, address, port):
        self.peer = f"{address}:{port}"
        self._handle = host.call("connection", "open_datagrams", address, port, doing=f"preparing datagrams to {self.peer}")

    def send(self, data):
        """Sends one datagram."""
        host.method(self._handle, "send", bytes(data), doing=f"sending a datagram to {self.peer}")

    def receive(self, timeout):
        """Waits for one datagram; None when none came in time."""
        got = host.method(self._handle, "receive", millis(timeout), doing=f"waiting for a datagram of {self.peer}")
        return bytes(got.value) if host.case_name(got) == "data" else None
