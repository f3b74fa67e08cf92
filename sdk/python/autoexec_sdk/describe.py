"""Prints what the tool's class says of its options and outputs, as JSON: `python -m autoexec_sdk.describe`."""

from __future__ import annotations

import importlib
import json
import sys
import traceback
from pathlib import Path
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


def load(name: str) -> ModuleType:
    """Imports the author's module. What goes wrong is told with the author's lines alone: those of the SDK and of Python say nothing
    that could be mended there."""
    try:
        return importlib.import_module(name)
    except Exception as error:
        told = traceback.TracebackException.from_exception(error)
        others = (Path(__file__).parent, Path(importlib.__file__).parent)
        is_authors = [
            not frame.filename.startswith("<frozen") and not any(other in Path(frame.filename).parents for other in others)
            for frame in told.stack
        ]
        told.stack[:] = [frame for frame, is_one in zip(told.stack, is_authors) if is_one]
        raise SystemExit("".join(told.format()).rstrip()) from None


if __name__ == "__main__":
    json.dump(describe(find(load("tool"))), sys.stdout)
