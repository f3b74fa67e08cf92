"""Runs programs of the runner that the policy names; no shell is involved. Needs the capability `program`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from .. import host


class Completed(NamedTuple):
    """How a program ended and what it wrote."""

    #: Exit status; 128 plus its number when a signal ended it.
    status: int
    stdout: bytes
    stderr: bytes


def run(
    name: str, *arguments: str, environment: Mapping[str, str] | None = None, directory: str | None = None, input: bytes = b"",
    timeout: float = 0,
) -> Completed:
    """Runs it and waits for its end. That it ended with another status than 0 is no error. Secrets belong into `input`: others see
    arguments in `ps`. `directory` is granted for writing; without it the program runs in a private empty one."""
    invocation = host.record(
        "program", "Invocation", name=name, arguments=list(arguments), environment=list((environment or {}).items()),
        directory=directory, input=bytes(input), timeout_ms=host.millis(timeout),
    )
    done = host.call("program", "run", invocation, doing=f"running {name}")
    return Completed(done.status, bytes(done.stdout), bytes(done.stderr))
