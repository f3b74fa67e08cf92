"""Reads outputs of steps on other nodes of the job. Needs the capability `step-outputs`."""

import json

from .. import host


def find(phase, operation_id, name):
    """Values on all nodes that have the output, as a list of (host, port, value)."""
    doing = f"reading the outputs {phase}.{operation_id}.{name}"
    found = host.call("step_outputs", "find", phase, operation_id, name, doing=doing)
    return [(one.host, one.port, json.loads(one.value)) for one in found]
