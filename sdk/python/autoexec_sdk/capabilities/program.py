"""Runs programs of the runner that the policy names; no shell is involved. Needs the capability `program`."""

from .. import host
from .clock import millis


def run(name, *arguments, environment=None, directory=None, input=b"", timeout=0):
    """Runs it; returns status, standard output and standard error as bytes."""
    invocation = host.record(
        "program", "Invocation", name=name, arguments=list(arguments), environment=list((environment or {}).items()),
        directory=directory, input=bytes(input), timeout_ms=millis(timeout),
    )
    done = host.call("program", "run", invocation, doing=f"running {name}")
    return done.status, bytes(done.stdout), bytes(done.stderr)
