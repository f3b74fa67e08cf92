"""The other side of a session or connection, as a script."""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

from ..host import peer


class Script:
    """What the other side shows, and what it expects to be sent, in their order:
    `Script().shows("login: ").expects("admin\\n").shows("sw1#")`. Without `ends` it stays there and is silent."""

    def __init__(self) -> None:
        self.steps: list[tuple[str, Any]] = []
        self.is_ended = False

    def shows(self, text: str | bytes) -> Script:
        """Shows text or bytes, which the tool gets in one piece."""
        return self._then("shows", text.encode() if isinstance(text, str) else text)

    def pauses(self, seconds: float) -> Script:
        """Is silent for so many seconds."""
        return self._then("pauses", seconds)

    def expects(self, text: str | bytes) -> Script:
        """Expects that exactly this is sent, however many pieces it takes."""
        return self._then("expects", text.encode() if isinstance(text, str) else text)

    def ends(self) -> Script:
        """Ends after the last step."""
        self.is_ended = True
        return self

    def _then(self, kind: str, value: Any) -> Script:
        self.steps.append((kind, value))
        return self


class Talk:
    """A script in use, as a session (`target`) or as a connection."""

    class Refused(Exception):
        """What the host says no to: a case of the WIT error, and what it holds."""

    def __init__(
        self, script: Script, interface: str, pass_: Callable[[float], None], start_tls: Callable[[tuple[Any, ...]], Any],
        arguments: tuple[Any, ...],
    ) -> None:
        self._steps, self._is_ended, self._sent = list(script.steps), script.is_ended, b""
        self._pass, self._start_tls = pass_, start_tls
        self._is_session, self._arguments = interface == "target", arguments

    def missing(self) -> list[str]:
        """What was expected to be sent and was not."""
        return [value.decode("utf-8", "replace") for kind, value in self._steps if kind == "expects"]

    def peer_address(self) -> str:
        return peer(*self._arguments[:2])

    def start_tls(self, server_name: str, *_: Any) -> Any:
        return self._start_tls((server_name,))

    def send(self, data: bytes, *_timeout: Any) -> None:
        self._sent += data
        kind, expected = self._steps[0] if self._steps else ("", b"")
        if kind != "expects" or not expected.startswith(self._sent):
            wanted = repr(expected) if kind == "expects" else "nothing now"
            raise AssertionError(f"the tool sent {self._sent!r}, expected was {wanted}")
        if expected == self._sent:
            self._sent = b""
            del self._steps[0]

    def receive(self, *limits: int) -> Any:
        """A session is asked with a time limit, a stream with the most bytes and a time limit, both in milliseconds."""
        most = limits[0] if len(limits) > 1 else 1 << 30
        got = self._hear(most, limits[-1] / 1000)
        if not self._is_session:
            name = "end" if got is None else "data" if got else "nothing"
            return types.SimpleNamespace(name=name, value=got)
        if got is None:
            raise self.Refused("disconnected", "the session has ended")
        return got

    def _hear(self, most: int, timeout: float) -> bytes | None:
        kind: str
        value: Any
        kind, value = self._steps[0] if self._steps else ("", None)
        if kind == "shows":
            piece, rest = value[:most], value[most:]
            self._steps[0:1] = [("shows", rest)] if rest else []
            return piece
        if kind == "pauses":
            passed = min(timeout, value)
            self._pass(passed)
            if passed < value:
                self._steps[0] = ("pauses", value - passed)
                return b""
            del self._steps[0]
            return self._hear(most, timeout - passed)
        if not kind and self._is_ended:
            return None
        self._pass(timeout)
        return b""
