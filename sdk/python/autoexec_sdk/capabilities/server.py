"""Calls of the console server, each granted by its name. Needs the capability `server`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from .. import host


def call(name: str, parameters: Mapping[str, Any] | None = None) -> Any:
    """Sends one call, `name` being its path below the server's API, and returns the data of the answer. The host signs it."""
    return json.loads(host.call("server", "call", name, json.dumps(dict(parameters or {})), doing=f"the server call {name}"))
