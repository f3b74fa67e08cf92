"""The node's log. The reason of a failing step belongs into `Failure` instead."""

from .. import host


def _line(level, text):
    host.call("log", "line", host.case("log", f"Level_{level}"), str(text))


def plain(text):
    """A line without a level."""
    _line("Plain", text)


def info(text):
    """Progress."""
    _line("Info", text)


def fine(text):
    """Something that went well."""
    _line("Fine", text)


def warn(text):
    """Something to look at that does not fail the step."""
    _line("Warn", text)


def error(text):
    """Something that went wrong."""
    _line("Error", text)


def write(data):
    """Bytes as they come."""
    host.call("log", "write", bytes(data))
