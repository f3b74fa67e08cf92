"""Writes autoexec tools in Python.

A tool is a subclass of `Tool` in `tool.py`, with its options as annotated fields and one `run`. `tool.toml` beside it says who
it is and which capabilities it asks for; names, types, defaults and help of options and outputs come from the class.
"""

from .capabilities import (
    clock,
    connection,
    documents,
    filesystem,
    http,
    interact,
    job,
    job_nodes,
    lock,
    log,
    net_probe,
    output,
    program,
    random,
    secret,
    server,
    snmp,
    step_outputs,
    target,
)
from .dialogue import USUAL_PROMPT, Dialogue
from .failure import Failure, HostError, context
from .options import Lines, Seconds, Secret, group, option, result
from .tool import Call, Change, Effect, Tool

__all__ = [
    "USUAL_PROMPT", "Call", "Change", "Dialogue", "Effect", "Failure", "HostError", "Lines", "Seconds", "Secret", "Tool", "clock",
    "connection", "context", "documents", "filesystem", "group", "http", "interact", "job", "job_nodes", "lock", "log", "net_probe",
    "option", "output", "program", "random", "result", "secret", "server", "snmp", "step_outputs", "target",
]
