"""Facts about the job and the node this call is for."""

from __future__ import annotations

from dataclasses import dataclass

from .. import host


@dataclass
class Context:
    """Where in the job this call stands."""

    job_id: str
    phase: str
    #: Number of the phase's group; None outside a job.
    group: int | None
    #: Id of the step, `bundle/tool_id`.
    operation_id: str
    exec_user: str
    #: Empty when stand-alone.
    tenant: str


@dataclass
class Node:
    """A node: a target, or the runner itself (host `local`, resource id 0)."""

    resource_id: int
    host: str
    #: Port of the service the node stands for; None when the node is a machine.
    port: int | None
    name: str
    node_type: str
    protocol: str
    protocol_port: int | None
    username: str


def context() -> Context:
    """Where in the job this call stands."""
    return host.plain(Context, host.call("job", "get_context"))


def node() -> Node:
    """The node this call is for."""
    return host.plain(Node, host.call("job", "get_node"))


def variable(name: str) -> str | None:
    """One variable of this node, set by earlier steps, or None."""
    return host.call("job", "get_variable", name)


def variables() -> dict[str, str]:
    """All variables of this node."""
    return {one.name: one.value for one in host.call("job", "list_variables")}
