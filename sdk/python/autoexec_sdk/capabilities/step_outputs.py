"""Reads outputs of steps on other nodes of the job. Needs the capability `step-outputs`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from .. import host
from ..failure import Failure


@dataclass
class NodeValue:
    """One node's value of an output."""

    #: Id of the resource; 0 is the runner.
    resource_id: int
    host: str
    port: int | None
    value: Any

    def address(self) -> str:
        """`host:port`, or `host` without a port."""
        return self.host if self.port is None else f"{self.host}:{self.port}"

    def is_runner(self) -> bool:
        """Whether it is the runner's own pseudo node."""
        return self.host == "local"


def parse(text: str) -> tuple[str, str, str]:
    """A reference to an output as jobs write it, `#{phase.bundle/tool_1.name}` or without the frame, as (phase, operation id, name):
    what `find` takes."""
    bare = text.strip()
    if bare.startswith("#{") and bare.endswith("}"):
        bare = bare[2:-1]
    parts = [part.strip() for part in bare.split(".")]
    if len(parts) != 3 or not all(parts):
        raise Failure(f"Malform output key {text}.", "invalid-option")
    return parts[0], parts[1], parts[2]


def find(phase: str, operation_id: str, name: str) -> list[NodeValue]:
    """Values on all nodes that have the output, in the order of the nodes."""
    doing = f"reading the outputs {phase}.{operation_id}.{name}"
    found = host.call("step_outputs", "find", phase, operation_id, name, doing=doing)
    return [NodeValue(one.resource_id, one.host, one.port, json.loads(one.value)) for one in found]
