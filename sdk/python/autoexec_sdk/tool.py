"""The tool itself: its options, its outputs, and one call."""

from __future__ import annotations

import enum
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .options import Group, Option, Result, checked, described_options, described_outputs, take


@dataclass
class Call:
    """What the step was asked to do."""

    #: An object of the class `Options`.
    options: Any
    #: Free arguments, in order: JSON values.
    arguments: list[Any] = field(default_factory=list)

    def text_arguments(self) -> list[str]:
        """The free arguments as text: strings as they are, anything else as JSON."""
        return [one if isinstance(one, str) else json.dumps(one) for one in self.arguments]


@dataclass
class Change:
    """One thing that would be changed: what, how it is now (None when it does not exist), how it would be (None when it would
    be gone)."""

    subject: str
    before: str | None = None
    after: str | None = None

    @classmethod
    def created(cls, subject: str, after: str) -> Change:
        """Something that does not exist would be made."""
        return cls(subject, None, after)

    @classmethod
    def changed(cls, subject: str, before: str, after: str) -> Change:
        """Something would be another."""
        return cls(subject, before, after)

    @classmethod
    def removed(cls, subject: str, before: str) -> Change:
        """Something would be gone."""
        return cls(subject, before, None)


class Effect(enum.Enum):
    """What an earlier, interrupted run did."""

    #: All that the step is for; it need not run again.
    COMPLETE = "complete"
    #: Nothing, or so little that running again is safe.
    NONE = "none"
    #: Can not be told; a person decides.
    UNKNOWN = "unknown"


class Tool:
    """A tool. Options are fields of the inner class `Options`, outputs are fields of `Outputs`. What several tools have in common is a
    class of its own, from which `Options` is derived, or which stands in it with `group`."""

    class Options:
        """None."""

    class Outputs:
        """None."""

    #: Description of the free arguments, as a dictionary of the descriptor's members, or None.
    arguments: Mapping[str, Any] | None = None

    def __init_subclass__(cls) -> None:
        # Here, so that the traceback of a mistake ends in the author's file.
        checked(cls.Options, (Option, Group))
        checked(cls.Outputs, Result)

    def run(self, call: Call) -> str | None:
        """Does the work once; may return a line for the operator, and raises `Failure` when it can not do it."""
        raise NotImplementedError

    def check(self, call: Call) -> list[Change]:
        """Says what `run` would change, as a list of `Change`, and changes nothing. A tool that defines it takes part in dry runs."""
        raise NotImplementedError

    def probe(self, call: Call) -> Effect:
        """Says whether an earlier, interrupted run took effect, as an `Effect`, and changes nothing. A tool that defines it has the rerun
        class "probe" in tool.toml."""
        raise NotImplementedError


def can(tool: type[Tool], what: str) -> bool:
    """Whether a tool defines `check` or `probe`."""
    return getattr(tool, what) is not getattr(Tool, what)


def describe(tool: type[Tool]) -> dict[str, Any]:
    """The tool's part of the descriptor."""
    return {
        "options": described_options(tool.Options), "outputs": described_outputs(tool.Outputs), "argument": tool.arguments,
        "check": can(tool, "check"), "probe": can(tool, "probe"),
    }


def read_options(tool: type[Tool], given: Mapping[str, Any]) -> tuple[Any, list[str]]:
    """An object with the options of the tool, read from names and JSON values; and the names that the tool does not have."""
    left = dict(given)
    return take(tool.Options, left), list(left)
