"""Prints what the tool's class says of its options and outputs, as JSON: `python -m autoexec_sdk.describe`."""

import importlib
import json
import sys

from .tool import Tool, describe


def find(module):
    """The one subclass of `Tool` that a module defines."""
    tools = [
        value for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Tool) and value.__module__ == module.__name__
    ]
    if len(tools) != 1:
        raise SystemExit(f"{module.__file__}: this must define one subclass of autoexec_sdk.Tool, not {len(tools)}")
    return tools[0]


if __name__ == "__main__":
    json.dump(describe(find(importlib.import_module("tool"))), sys.stdout)
