"""Random numbers fit for secrets; those of Python's own modules are the same in every call of a tool."""

from __future__ import annotations

from .. import host


def token(count: int) -> bytes:
    """Random bytes."""
    return bytes(host.call("random", "get_random_bytes", count))


def number() -> int:
    """A random number of 64 bits."""
    return host.call("random", "get_random_u64")
