"""The entry of the component: componentize-py looks here for the class `Tool` of the world."""

import importlib
import json
import pkgutil

import componentize_py_types
import wit_world.exports
import wit_world.imports
from componentize_py_types import Err

from . import defects, host
from .capabilities import http_over_wasi, log  # noqa: F401: loaded here, used by `host`
from .describe import find
from .failure import Failure
from .tool import Call, Change, Effect, read_options

# Everything is loaded while the component is made: inside the sandbox there is no file system to load it from.
_modules = {
    module.name: importlib.import_module(f"wit_world.imports.{module.name}")
    for module in pkgutil.iter_modules(wit_world.imports.__path__)
}
_exports = {
    module.name: importlib.import_module(f"wit_world.exports.{module.name}")
    for module in pkgutil.iter_modules(wit_world.exports.__path__)
}
# The names of these two depend on what else is imported: there is more than one interface `types`.
_modules.update({"http_types": module for module in list(_modules.values()) if hasattr(module, "OutgoingRequest")})
types = next(module for module in _modules.values() if hasattr(module, "FailureKind_NotFound"))
host.install(host.Bindings(_modules, componentize_py_types.Err))
_module = importlib.import_module("tool")
_tool = find(_module)
_sources = defects.sources(_module)


def _kind(failure):
    known = {
        "not-found": types.FailureKind_NotFound, "check-failed": types.FailureKind_CheckFailed,
        "unreachable": types.FailureKind_Unreachable, "timed-out": types.FailureKind_TimedOut,
        "denied": types.FailureKind_Denied,
    }
    if failure.kind == "invalid-option":
        return types.FailureKind_InvalidOption(failure.option or "")
    return known[failure.kind]() if failure.kind in known else types.FailureKind_Other(failure.kind)


def _ask(what, invocation, answer):
    """Calls the author's method and makes its answer one of the component."""
    try:
        given = {option.name: json.loads(option.value) for option in invocation.options}
        options, unknown = read_options(_tool, given)
        for name in unknown:
            log.warn(f"option `{name}` is not known and was not used")
        return answer(getattr(_tool(), what)(Call(options, [json.loads(text) for text in invocation.arguments])))
    except Failure as failure:
        raise Err(types.Failure(_kind(failure), failure.message, failure.exit_code)) from None
    except Exception as error:
        # A defect of the tool: its text and place go to the log, since a trap has neither.
        log.error("the tool has a defect: " + defects.told(error, _sources))
        message = f"the tool has a defect: {type(error).__name__}: {error}"
        raise Err(types.Failure(types.FailureKind_Other("defect"), message, 1)) from None


def _changes(found):
    if not isinstance(found, (list, tuple)) or not all(isinstance(change, Change) for change in found):
        raise TypeError(f"`check` must return a list of Change, not {found!r}")
    return [_exports["dry_run"].Change(change.subject, change.before, change.after) for change in found]


def _effect(found):
    if not isinstance(found, Effect):
        raise TypeError(f"`probe` must return an Effect, not {found!r}")
    return getattr(_exports["effect_probe"].Effect, found.name)


class Tool:
    """What every world exports."""

    def run(self, invocation):
        return _ask("run", invocation, lambda message: types.Outcome(None if message is None else str(message)))


class DryRun:
    """What the world of a tool with `check` exports."""

    def check(self, invocation):
        return _ask("check", invocation, _changes)


class EffectProbe:
    """What the world of a tool with `probe` exports."""

    def probe(self, invocation):
        return _ask("probe", invocation, _effect)
