"""Asks the person who watches the job. Needs the capability `interact`."""

from __future__ import annotations

from collections.abc import Iterable

from .. import host


KINDS = ("button", "select", "mselect", "input")


def ask(
    title: str, message: str = "", choices: Iterable[str] = (), kind: str | None = None, role: str | None = None, timeout: float = 0,
) -> list[str] | None:
    """Asks and waits; returns the list of what was chosen or entered, or None when the person went on without an answer.
    Kinds are `button`, `select`, `mselect` (any number) and `input` (a free text). Only the role may answer, if one is named. `timeout`
    in seconds; without it the host's limit holds."""
    choices = list(choices)
    kind = kind or ("button" if choices else "input")
    if kind not in KINDS:
        raise ValueError(f"`{kind}` is not a kind of question; known are {', '.join(KINDS)}")
    question = host.record(
        "interact", "Question", kind=host.case("interact", f"QuestionKind_{kind.capitalize()}"), title=title,
        message=message, choices=choices, role=role, timeout_ms=int(timeout * 1000),
    )
    answer = host.call("interact", "ask", question, doing=f'asking "{title}"')
    return getattr(answer, "value", None)
