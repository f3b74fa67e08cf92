"""TCP, TLS and UDP connections to services. Needs the capability `sockets`."""

from __future__ import annotations

from .. import host
from ..dialogue import Dialogue
from ..failure import HostError

_PIECE = 65536


class Stream:
    """A TCP connection. `timeout` holds for connecting and for every later step; it may be set anew."""

    def __init__(self, address: str, port: int, timeout: float = 30.0) -> None:
        self.peer, self.timeout, self._ahead = host.peer(address, port), timeout, b""
        self._handle = host.call("connection", "connect", address, port, host.millis(timeout), doing=f"connecting to {self.peer}")

    def peer_address(self) -> str:
        """Address of the peer, as far as the host tells it."""
        return host.method(self._handle, "peer_address", doing=f"asking for the address of {self.peer}")

    def start_tls(self, server_name: str) -> None:
        """Goes on in TLS, as a client. The certificate must be for this name."""
        host.method(self._handle, "start_tls", server_name, host.millis(self.timeout), doing=f"starting TLS with {self.peer}")

    def send(self, data: bytes) -> None:
        """Sends all of the bytes. May hold references to secrets, each whole in one call."""
        host.method(self._handle, "send", bytes(data), host.millis(self.timeout), doing=f"sending to {self.peer}")

    def receive(self, timeout: float | None = None) -> bytes:
        """Waits for bytes; empty at the end. With a time limit of its own it is empty when nothing came in time, too."""
        got = self.hear(self.timeout if timeout is None else timeout)
        if got == b"" and timeout is None:
            raise HostError("timed-out", None, f"waiting for {self.peer}")
        return got or b""

    def hear(self, timeout: float) -> bytes | None:
        """Waits for bytes at most this long: empty when nothing came in time, None at the end."""
        if self._ahead:
            ahead, self._ahead = self._ahead, b""
            return ahead
        got = host.method(self._handle, "receive", _PIECE, host.millis(timeout), doing=f"reading from {self.peer}")
        name = host.case_name(got)
        return bytes(got.value) if name == "data" else b"" if name == "nothing" else None

    def receive_line(self, limit: int = 64 << 10) -> str | None:
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

    def receive_all(self, limit: int = 16 << 20) -> bytes:
        """All bytes until the peer sends no more, which must not be more than `limit`."""
        content = b""
        while piece := self.receive():
            content += piece
            if len(content) > limit:
                raise HostError("other", f"more than {limit} bytes", f"reading from {self.peer}")
        return content

    def dialogue(self, timeout: float = 30.0) -> Dialogue:
        """Goes on with waiting for prompts and answering them."""
        return Dialogue(self, timeout)


class Datagrams:
    """Datagrams (UDP) to and from one peer."""

    def __init__(self, address: str, port: int) -> None:
        self.peer = host.peer(address, port)
        self._handle = host.call("connection", "open_datagrams", address, port, doing=f"preparing datagrams to {self.peer}")

    def peer_address(self) -> str:
        """Address of the peer, as far as the host tells it."""
        return host.method(self._handle, "peer_address", doing=f"asking for the address of {self.peer}")

    def send(self, data: bytes) -> None:
        """Sends one datagram. Not for secrets: they would go in the clear."""
        host.method(self._handle, "send", bytes(data), doing=f"sending a datagram to {self.peer}")

    def receive(self, timeout: float) -> bytes | None:
        """Waits for one datagram; None when none came in time."""
        got = host.method(self._handle, "receive", host.millis(timeout), doing=f"waiting for a datagram of {self.peer}")
        return bytes(got.value) if host.case_name(got) == "data" else None
