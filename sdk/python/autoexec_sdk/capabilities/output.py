"""Outputs and live data."""

from __future__ import annotations

import json
from typing import Any

from .. import host


def set(name: str, value: Any) -> None:
    """Sets one output; a later value for the same name replaces it."""
    host.call("output", "set", name, json.dumps(value))


def put(**outputs: Any) -> None:
    """Sets several outputs: `output.put(rows=3, table=text)`."""
    for name, value in outputs.items():
        set(name, value)


def set_live_data(data: Any) -> None:
    """Replaces the data behind the tool's live page."""
    host.call("output", "set_live_data", json.dumps(data))
