"""Global locks of the server, shared by all jobs. Needs the capability `lock`."""

from contextlib import contextmanager

from .. import host
from .clock import millis


@contextmanager
def _held(name, mode, wait):
    handle = host.call("lock", "acquire", name, host.case("lock", f"Mode_{mode}"), millis(wait), doing=f"waiting for the lock {name}")
    try:
        yield name
    finally:
        # Given back by dropping the handle.
        if hasattr(handle, "__exit__"):
            handle.__exit__(None, None, None)


def shared(name, wait):
    """`with lock.shared("name", 10): …`: the right to read."""
    return _held(name, "Read", wait)


def exclusive(name, wait):
    """`with lock.exclusive("name", 10): …`: the right to write."""
    return _held(name, "Write", wait)
