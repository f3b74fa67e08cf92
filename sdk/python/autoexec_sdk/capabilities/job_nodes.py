"""The nodes of this job. Needs the capability `job-nodes`."""

from __future__ import annotations

from collections.abc import Iterator

from .. import host
from .job import Node

PAGE = 500


def page(phase: str, offset: int, limit: int) -> list[Node]:
    """Nodes of a phase in the order of the list, from `offset`; at most `limit`."""
    found = host.call("job_nodes", "list", phase, offset, limit, doing=f"listing the nodes of phase {phase}")
    return [host.plain(Node, one) for one in found]


def all(phase: str) -> Iterator[Node]:
    """All nodes of a phase, read piece by piece: a job may have a hundred thousand."""
    offset = 0
    while True:
        nodes = page(phase, offset, PAGE)
        yield from nodes
        offset += len(nodes)
        if len(nodes) < PAGE:
            return
