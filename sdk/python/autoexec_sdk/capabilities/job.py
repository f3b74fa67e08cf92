"""Facts about the job and the node this call is for."""

from .. import host


def context():
    """Where in the job this call stands: `job_id`, `phase`, `group`, `operation_id`, `exec_user`, `tenant`."""
    return host.call("job", "get_context")


def node():
    """The node this call is for: `resource_id`, `host`, `port`, `name` and so on. The runner itself has the host `local`."""
    return host.call("job", "get_node")


def variable(name):
    """One variable of this node, or None."""
    return host.call("job", "get_variable", name)


def variables():
    """All variables of this node, as a dictionary."""
    return {one.name: one.value for one in host.call("job", "list_variables")}
