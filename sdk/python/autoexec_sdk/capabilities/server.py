"""Calls of the console server, each granted by its name. Needs the capability `server`."""

import json

from .. import host


def call(name, parameters=None):
    """Sends one call and returns the data of the answer."""
    return json.loads(host.call("server", "call", name, json.dumps(parameters or {}), doing=f"the server call {name}"))
