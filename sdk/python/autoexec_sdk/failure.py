"""Why a tool gives up, and why a function of the host did not do what it was asked for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

KINDS = {
    "denied": "denied", "not-found": "not-found", "timed-out": "timed-out", "tls": "denied",
    "not-authenticated": "denied", "unreachable": "unreachable", "unresolved": "unreachable", "refused": "unreachable",
    "closed": "unreachable", "disconnected": "unreachable", "unavailable": "unreachable", "none": "unavailable",
    "invalid": "invalid-data", "too-many": "too-large", "too-many-redirects": "http",
}

WORDS = {
    "denied": "not granted", "unresolved": "the name has no address", "refused": "refused, nobody listens there",
    "unreachable": "unreachable", "timed-out": "no answer in time", "not-found": "it does not exist",
    "closed": "the connection has ended", "disconnected": "the connection has ended", "exists": "it is there already",
    "tls": "no trusted TLS connection", "not-authenticated": "the account is not accepted",
    "unavailable": "can not be had now", "none": "there is none here", "no-space": "no space or quota left",
    "too-large": "more bytes than the limit", "invalid": "not taken", "wrong-kind": "of the wrong kind",
    "unsupported": "the node's protocol can not do this", "too-many": "more values than the limit",
    "invalid-url": "not a URL that can be asked", "too-many-redirects": "more redirects than the limit",
}


class Failure(Exception):
    """The tool could not do its work. The message says what went wrong, to what, and what to do next; the host writes it
    to the log. Kinds are "invalid-option", "not-found", "check-failed", "unreachable", "timed-out", "denied", or a word of the
    tool's own with dashes."""

    def __init__(self, message: str, kind: str = "other", exit_code: int = 1, option: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.kind = kind
        self.exit_code = _status(exit_code)
        self.option = option

    def __str__(self) -> str:
        return self.message


class HostError(Failure):
    """What a function of the host could not do. `reason` is the case of the WIT error, such as "timed-out"; `detail` is
    what the host said; `doing` is what was tried."""

    def __init__(self, reason: str, detail: object, doing: str) -> None:
        text = WORDS.get(reason, "" if reason == "other" else reason)
        if detail not in (None, ""):
            text = f"{text}: {detail}" if text else str(detail)
        super().__init__(f"{doing}: {text}", KINDS.get(reason, reason))
        self.reason = reason
        self.detail = detail
        self.doing = doing


@contextmanager
def context(doing: str, exit_code: int | None = None) -> Iterator[None]:
    """Says more about a failure on its way out: puts what the tool was doing in front of the message, and may set the exit status.

        with context("the database of shop", exit_code=3):
            net_probe.tcp_connect("db", 5432)
    """
    try:
        yield
    except Failure as failure:
        failure.message = f"{doing}: {failure.message}"
        if exit_code is not None:
            failure.exit_code = _status(exit_code)
        raise


def _status(code: int) -> int:
    """A failure never looks like success."""
    return min(max(int(code), 1), 255)
