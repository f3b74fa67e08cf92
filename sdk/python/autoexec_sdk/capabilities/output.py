"""Outputs and live data."""

import json

from .. import host


def set(name, value):
    """Sets one output; a later value for the same name replaces it."""
    host.call("output", "set", name, json.dumps(value))


def set_live_data(data):
    """Replaces the data behind the tool's live page."""
    host.call("output", "set_live_data", json.dumps(data))
