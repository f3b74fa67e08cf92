"""Asks the person who watches the job. Needs the capability `interact`."""

from .. import host


def ask(title, message="", choices=(), kind=None, role=None, timeout=0):
    """Asks and waits; returns the list of what was chosen or entered, or None when the person went on without an answer.
    Kinds are `button`, `select`, `mselect` and `input`."""
    kind = kind or ("button" if choices else "input")
    question = host.record(
        "interact", "Question", kind=host.case("interact", f"QuestionKind_{kind.capitalize()}"), title=title,
        message=message, choices=list(choices), role=role, timeout_ms=int(timeout * 1000),
    )
    answer = host.call("interact", "ask", question, doing=f'asking "{title}"')
    return getattr(answer, "value", None)
