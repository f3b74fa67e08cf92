"""The node's log. The reason of a failing step belongs into `Failure` instead."""

from __future__ import annotations

from .. import host


def _line(level: str, text: object) -> None:
    host.call("log", "line", host.case("log", f"Level_{level}"), str(text))


def plain(text: object) -> None:
    """A line without a level."""
    _line("Plain", text)


def info(text: object) -> None:
    """Progress."""
    _line("Info", text)


def fine(text: object) -> None:
    """Something that went well."""
    _line("Fine", text)


def warn(text: object) -> None:
    """Something to look at that does not fail the step."""
    _line("Warn", text)


def error(text: object) -> None:
    """Something that went wrong."""
    _line("Error", text)


def write(data: bytes) -> None:
    """Bytes as they come, for output passed through from elsewhere."""
    host.call("log", "write", bytes(data))
