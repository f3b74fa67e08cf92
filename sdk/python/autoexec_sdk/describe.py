"""Prints what the tool's class says of its options and outputs, as JSON: `python -m autoexec_sdk.describe`."""

from __future__ import annotations

import importlib
import json
import sys
from types import ModuleType

from .tool import Tool, describe


def find(module: ModuleType) -> type[Tool]:
    """The one subclass of `Tool` that a module defines."""
    tools = [
        value for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Tool) and value.__module__ == module.__name__
    ]
    if len(tools) != 1:
        names = ", ".join(tool.__name__ for tool in tools) or "none"
        raise SystemExit(f"{module.__file__}: this must define one subclass of autoexec_sdk.Tool, and defines {names}")
    if tools[0].run is Tool.run:
        raise SystemExit(f"{module.__file__}: {tools[0].__name__} has no `run(self, call)`: it does the work")
    return tools[0]


if __name__ == "__main__":
    json.dump(describe(find(importlib.import_module("tool"))), sys.stdout)
