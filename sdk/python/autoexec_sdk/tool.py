"""The tool itself: its options, its outputs, and one call."""

import enum
import json
import math
from dataclasses import dataclass, field

from .failure import Failure

MISSING = object()
KINDS = {
    "text", "password", "textarea", "json", "node", "file", "filepath", "date", "time", "datetime", "phase", "account",
    "userselect", "checkbox", "select", "multiselect",
}


@dataclass
class Option:
    """What is known of one option."""

    help: str
    default: object = MISSING
    label: str = None
    name: str = None
    kind: str = None
    choices: dict = None
    required: bool = None


@dataclass
class Result:
    """What is known of one output."""

    help: str
    label: str = None
    kind: str = "text"


class Secret(str):
    """A reference to a password. It is not shown by `repr`."""

    def __repr__(self):
        return "Secret"


def option(help, default=MISSING, *, label=None, name=None, kind=None, choices=None, required=None):
    """Describes an option: `port: int = option("Port to look at", default=22)`. Without a default it is required."""
    if kind is not None and kind not in KINDS:
        raise TypeError(f"`{kind}` is not a kind of option; known are {', '.join(sorted(KINDS))}")
    if choices is not None and not isinstance(choices, dict):
        choices = {value: value for value in choices}
    return Option(help, default, label, name, kind, choices, required)


def result(help, *, label=None, kind="text"):
    """Describes an output: `milliseconds = result("Time until it answered")`."""
    return Result(help, label, kind)


@dataclass
class Call:
    """What the step was asked to do."""

    options: object
    arguments: list = field(default_factory=list)


@dataclass
class Change:
    """One thing that would be changed: what, how it is now (None when it does not exist), how it would be (None when it would
    be gone)."""

    subject: str
    before: str = None
    after: str = None


class Effect(enum.Enum):
    """What an earlier, interrupted run did."""

    #: All that the step is for; it need not run again.
    COMPLETE = "complete"
    #: Nothing, or so little that running again is safe.
    NONE = "none"
    #: Can not be told; a person decides.
    UNKNOWN = "unknown"


class Tool:
    """A tool. Options are fields of the inner class `Options`, outputs are fields of `Outputs`."""

    class Options:
        """None."""

    class Outputs:
        """None."""

    #: Description of the free arguments, as a dictionary of the descriptor's members, or None.
    arguments = None

    def run(self, call):
        """Does the work once; may return a line for the operator, and raises `Failure` when it can not do it."""
        raise NotImplementedError

    def check(self, call):
        """Says what `run` would change, as a list of `Change`, and changes nothing. A tool that defines it takes part in dry runs."""
        raise NotImplementedError

    def probe(self, call):
        """Says whether an earlier, interrupted run took effect, as an `Effect`, and changes nothing. A tool that defines it has the rerun
        class "probe" in tool.toml."""
        raise NotImplementedError


def can(tool, what):
    """Whether a tool defines `check` or `probe`."""
    return getattr(tool, what) is not getattr(Tool, what)


def described(owner, kind):
    """Fields of a class that are described, in their order."""
    return [(name, value) for name, value in vars(owner).items() if isinstance(value, kind)]


def label_of(name):
    words = name.replace("_", " ").replace("-", " ")
    return words[:1].upper() + words[1:]


def describe(tool):
    """The tool's part of the descriptor."""
    options = []
    for own, known in described(tool.Options, Option):
        annotation = tool.Options.__annotations__.get(own, str)
        kind = known.kind or kind_of(annotation, known)
        choices = known.choices
        if annotation is bool and choices is None and kind == "select":
            choices = {"true": "Yes", "false": "No"}
        required = known.default is MISSING if known.required is None else known.required
        entry = {
            "opt": known.name or own, "name": known.label or label_of(own), "help": known.help, "type": kind,
            "required": required, "defaultValue": text_of(known.default), "validate": "",
        }
        if choices is not None:
            entry["dataSource"] = {"dataList": [{"text": text, "value": value} for value, text in choices.items()]}
        options.append(entry)
    outputs = [
        {"opt": own, "name": known.label or label_of(own), "help": known.help, "type": known.kind}
        for own, known in described(tool.Outputs, Result)
    ]
    return {
        "options": options, "outputs": outputs, "argument": tool.arguments, "check": can(tool, "check"),
        "probe": can(tool, "probe"),
    }


def kind_of(annotation, known):
    if known.choices is not None or annotation is bool:
        return "select"
    if annotation is Secret:
        return "password"
    return "json" if annotation in (dict, list) else "text"


def text_of(default):
    if default is MISSING or default is None:
        return ""
    if isinstance(default, bool):
        return "true" if default else "false"
    return default if isinstance(default, str) else json.dumps(default)


def read_options(tool, given):
    """An object with the options of the tool, read from names and JSON values."""
    given = dict(given)
    options = tool.Options()
    for own, known in described(tool.Options, Option):
        name = known.name or own
        annotation = tool.Options.__annotations__.get(own, str)
        if name in given:
            value = read(annotation, known, name, given.pop(name))
        elif known.default is MISSING:
            raise invalid(name, "it is missing")
        else:
            value = known.default
        setattr(options, own, value)
    return options, list(given)


def invalid(name, why):
    return Failure(f"option `{name}`: {why}", "invalid-option", 2, option=name)


def read(annotation, known, name, value):
    """The console stores most values as text."""
    text = value if isinstance(value, str) else json.dumps(value)
    if known.choices is not None and text not in known.choices and known.kind != "multiselect":
        raise invalid(name, f'"{text}" is not one of {", ".join(known.choices)}')
    try:
        if annotation is bool:
            return {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False,
                    "0": False}[text.strip().lower()]
        if annotation is int:
            return int(text.strip())
        if annotation is float:
            number = float(text.strip())
            if not math.isfinite(number):
                raise ValueError
            return number
        if annotation in (dict, list):
            read_value = json.loads(value) if isinstance(value, str) else value
            if not isinstance(read_value, annotation):
                raise ValueError
            return read_value
        if annotation is Secret:
            return Secret(text)
    except (KeyError, ValueError):
        raise invalid(name, f'"{text}" is not a usable {annotation.__name__}') from None
    return text if annotation is str else value
