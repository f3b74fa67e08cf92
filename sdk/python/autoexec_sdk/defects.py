"""Tells of an exception that nobody expected, with the author's lines.

Inside the sandbox there is no file to read a line from, and asking for one ends the call: so the module `traceback` can not be used, and
the author's files are read while the component is made."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, TracebackType


def sources(tool: ModuleType) -> dict[str, list[str]]:
    """The lines of the author's files that are loaded: those beside the tool's module and below."""
    directory = Path(str(tool.__file__)).parent
    own = Path(__file__).parent
    files = {str(getattr(module, "__file__", None) or "") for module in list(sys.modules.values())}
    authors = [Path(file) for file in files if file.endswith(".py") and directory in Path(file).parents and own not in Path(file).parents]
    return {str(file): file.read_text("utf-8").splitlines() for file in authors}


def told(error: BaseException, lines: dict[str, list[str]]) -> str:
    """What went wrong, and where: the calls that led there, the last one at the end."""
    return "\n".join([f"{type(error).__name__}: {error}", *_calls(error.__traceback__, lines)])


def _calls(trace: TracebackType | None, lines: dict[str, list[str]]) -> list[str]:
    calls = []
    while trace is not None:
        code, number = trace.tb_frame.f_code, trace.tb_lineno
        source = lines.get(code.co_filename, [])
        shown = f": {source[number - 1].strip()}" if 0 < number <= len(source) else ""
        # Those of the SDK say nothing that the author could mend.
        if shown or "autoexec_sdk" not in code.co_filename:
            calls.append(f"  {Path(code.co_filename).name}, line {number}, in {code.co_name}{shown}")
        trace = trace.tb_next
    return calls
