"""Reads outputs of steps on other nodes of the job. Needs the capability `step-outputs`."""

import json

from .. import host
from ..failure import Failure


def parse(text):
    """A reference to an output as jobs write it, `#{phase.bundle/tool_1.name}` or without the frame, as (phase, operation id, name):
    what `find` takes."""
    bare = text.strip()
    if bare.startswith("#{") and bare.endswith("}"):
        bare = bare[2:-1]
    parts = tuple(part.strip() for part in bare.split("."))
    if len(parts) != 3 or not all(parts):
        raise Failure(f"Malform output key {text}.", "invalid-option")
    return parts


def find(phase, operation_id, name):
    """Values on all nodes that have the output, as a list of (host, port, value)."""
    doing = f"reading the outputs {phase}.{operation_id}.{name}"
    found = host.call("step_outputs", "find", phase, operation_id, name, doing=doing)
    return [(one.host, one.port, json.loads(one.value)) for one in found]
