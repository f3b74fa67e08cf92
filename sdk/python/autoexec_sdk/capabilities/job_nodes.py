"""The nodes of this job. Needs the capability `job-nodes`."""

from .. import host

PAGE = 500


def all(phase):
    """All nodes of a phase, read piece by piece."""
    offset = 0
    while True:
        page = host.call("job_nodes", "list", phase, offset, PAGE, doing=f"listing the nodes of phase {phase}")
        yield from page
        offset += len(page)
        if len(page) < PAGE:
            return
