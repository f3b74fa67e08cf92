"""Global locks of the server, shared by all jobs. Needs the capability `lock`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from .. import host


@contextmanager
def _held(name: str, mode: str, wait: float) -> Iterator[str]:
    handle = host.call("lock", "acquire", name, host.case("lock", f"Mode_{mode}"), host.millis(wait), doing=f"waiting for the lock {name}")
    try:
        yield name
    finally:
        # Given back by dropping the handle.
        if hasattr(handle, "__exit__"):
            handle.__exit__(None, None, None)


def shared(name: str, wait: float) -> AbstractContextManager[str]:
    """`with lock.shared("name", 10): …`: the right to read, which others may have at the same time. `wait` in seconds."""
    return _held(name, "Read", wait)


def exclusive(name: str, wait: float) -> AbstractContextManager[str]:
    """`with lock.exclusive("name", 10): …`: the right to write, which nobody else has at the same time."""
    return _held(name, "Write", wait)
