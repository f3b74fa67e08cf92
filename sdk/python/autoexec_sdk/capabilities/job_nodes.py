"""The nodes of this job. Needs the capability `job-nodes`."""

from .. import host

PAGE = 500


def page(phase, offset, limit):
    """Nodes of a phase in the order of the list, from `offset`; at most `limit`."""
    return host.call("job_nodes", "list", phase, offset, limit, doing=f"listing the nodes of phase {phase}")


def all(phase):
    """All nodes of a phase, read piece by piece."""
    offset = 0
    while True:
        nodes = page(phase, offset, PAGE)
        yield from nodes
        offset += len(nodes)
        if len(nodes) < PAGE:
            return
