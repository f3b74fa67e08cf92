"""Options and outputs: how a class describes them, and how what a job has set is read."""

from __future__ import annotations

import enum
import json
import math
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from .failure import Failure

T = TypeVar("T")
MISSING: Any = object()
#: Kinds of values that the server knows.
KINDS = (
    "text", "password", "textarea", "json", "node", "file", "filepath", "date", "time", "datetime", "phase", "account",
    "userselect", "checkbox", "select", "multiselect",
)
BOOLEANS = {
    "true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False,
}


class Secret(str):
    """A reference to a password. It is not shown by `repr`."""

    def __repr__(self) -> str:
        return "Secret"


class Lines(list):  # type: ignore[type-arg]
    """A text of several lines: those that are not blank, without blanks around them."""


class Seconds(float):
    """A length of time in seconds, which may be a fraction."""


@dataclass
class Option:
    """What is known of one option."""

    help: str
    default: Any = MISSING
    label: str | None = None
    name: str | None = None
    kind: str | None = None
    choices: dict[str, str] | None = None
    required: bool | None = None
    validate: str | None = None


@dataclass
class Group:
    """A field that stands for all options of a class."""

    owner: type


@dataclass
class Result:
    """What is known of one output."""

    help: str
    label: str | None = None
    kind: str = "text"
    name: str | None = None
    default: Any = MISSING


def option(
    help: str, default: Any = MISSING, *, label: str | None = None, name: str | None = None, kind: str | None = None,
    choices: Mapping[str, str] | Iterable[str] | None = None, required: bool | None = None, validate: str | None = None,
) -> Any:
    """Describes an option: `port: int = option("Port to look at", default=22)`. Without a default it is required, unless its type is
    `… | None`. `validate` names a rule that the console checks."""
    _known_kind(kind, "option")
    if choices is not None:
        choices = dict(choices) if isinstance(choices, Mapping) else {value: value for value in choices}
    return Option(help, default, label, name, kind, choices, required, validate)


def group(owner: type[T]) -> T:
    """Options that several tools have in common: `account = group(Account)`, where `Account` is a class of options. They are described
    where the field stands, and read into it: `call.options.account.user`."""
    return cast(T, Group(owner))


def result(
    help: str, *, label: str | None = None, kind: str = "text", name: str | None = None, default: Any = MISSING,
) -> Any:
    """Describes an output: `milliseconds = result("Time until it answered")`. `default` is its value when the tool sets none."""
    _known_kind(kind, "output")
    return Result(help, label, kind, name, default)


def _known_kind(kind: str | None, what: str) -> None:
    if kind is not None and kind not in KINDS:
        raise TypeError(f"`{kind}` is not a kind of {what}; known are {', '.join(KINDS)}")


def fields(owner: type) -> list[tuple[str, Any, Any]]:
    """The described fields of a class and of those it is derived from, in their order: name, type and what is known of it."""
    found: dict[str, Any] = {}
    for one in reversed(owner.__mro__):
        found.update(vars(one))
    types_ = _annotations(owner)
    described = (Option, Group, Result)
    return [(own, types_.get(own, str), known) for own, known in found.items() if isinstance(known, described)]


def checked(owner: type, kind: type | tuple[type, ...]) -> None:
    """Refuses what is not described, and what can not be: a misspelt option would be no option, and nobody would see it."""
    where = owner.__qualname__
    plain = {own for own in _annotations(owner) if not own.startswith("_")}
    for one in owner.__mro__[:-1]:
        plain.update(own for own, value in vars(one).items() if not own.startswith("_") and not callable(value))
    known = fields(owner)
    missing = plain.difference(own for own, _, what in known if isinstance(what, kind))
    if missing:
        name, word = min(missing), "result" if kind is Result else "option"
        raise TypeError(f"{where}: `{name}` is not described: write `{name} = {word}(\"what it is\")`")
    for own, annotation, what in known:
        if isinstance(what, Group):
            checked(what.owner, kind)
        elif isinstance(what, Option):
            _check_option(where, own, annotation, what)
        if isinstance(what, (Option, Result)) and not what.help:
            raise TypeError(f"{where}: say what `{own}` is: it is the help text that the console shows")
    names = [name for name, _, _ in _flat(owner)]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise TypeError(f"{where}: `{min(twice)}` is there twice")


def _annotations(owner: type) -> dict[str, Any]:
    try:
        return typing.get_type_hints(owner)
    except (NameError, SyntaxError, TypeError) as error:
        raise TypeError(f"{owner.__qualname__}: a type of its fields is not known: {error}") from None


def _check_option(where: str, own: str, annotation: Any, known: Option) -> None:
    kind, _ = _bare(annotation)
    if not (kind in _KINDS_OF or _is_choice(kind)):
        shown = getattr(annotation, "__name__", annotation)
        usable = ", ".join(one.__name__ for one in _KINDS_OF if one not in (_Texts, Any))
        raise TypeError(
            f"{where}: option `{own}`: `{shown}` is not a type of options; use {usable}, list[str], an Enum of texts, or one of them with `| None`"
        )
    if known.default is MISSING or known.default is None:
        return
    try:
        _read(annotation, known, own, known.default if isinstance(known.default, (dict, list)) else text_of(known.default))
    except Failure as failure:
        raise TypeError(f"{where}: the default does not fit: {failure.message}") from None


def _bare(annotation: Any) -> tuple[Any, bool]:
    """A type without its `| None`, and whether it had one."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        parts = [part for part in typing.get_args(annotation) if part is not type(None)]
        if len(parts) == 1:
            return _bare(parts[0])[0], True
    origin = typing.get_origin(annotation)
    if origin is list and typing.get_args(annotation) == (str,):
        return _Texts, False
    return (origin if origin in (list, dict) else annotation), False


class _Texts:
    """What `list[str]` is read by."""


def _is_choice(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, enum.Enum) and all(isinstance(one.value, str) for one in kind)


def _choices(kind: Any, known: Option) -> dict[str, str] | None:
    if known.choices is not None:
        return known.choices
    if _is_choice(kind):
        return {one.value: label_of(one.name.lower()) for one in kind}
    return {"true": "Yes", "false": "No"} if kind is bool and known.kind in (None, "select") else None


def label_of(name: str) -> str:
    """`max_rows` is shown as "Max rows"."""
    words = name.replace("_", " ").replace("-", " ")
    return words[:1].upper() + words[1:]


def text_of(default: Any) -> str:
    """A default as the console fills it in."""
    if default is MISSING or default is None:
        return ""
    if isinstance(default, enum.Enum):
        return str(default.value)
    if isinstance(default, Lines):
        return "\n".join(default)
    return default if isinstance(default, str) else json.dumps(default)


def _flat(owner: type) -> list[tuple[str, Any, Any]]:
    """All options, those of groups where the group stands: name in the job, type, and what is known of it."""
    all_: list[tuple[str, Any, Any]] = []
    for own, annotation, known in fields(owner):
        all_ += _flat(known.owner) if isinstance(known, Group) else [(known.name or own, annotation, known)]
    return all_


def described_options(owner: type) -> list[dict[str, Any]]:
    """Options in the form of the server."""
    entries = []
    for name, annotation, known in _flat(owner):
        kind, is_optional = _bare(annotation)
        choices = _choices(kind, known)
        is_required = known.default is MISSING and not is_optional if known.required is None else known.required
        entry = {
            "opt": name, "name": known.label or label_of(name), "help": known.help,
            "type": known.kind or ("select" if choices is not None else _KINDS_OF[kind]),
            "required": is_required, "defaultValue": text_of(known.default),
            "validate": "" if known.validate is None else [known.validate],
        }
        if choices is not None:
            entry["dataSource"] = {"dataList": [{"text": text, "value": value} for value, text in choices.items()]}
        entries.append(entry)
    return entries


def described_outputs(owner: type) -> list[dict[str, Any]]:
    """Outputs in the form of the server."""
    entries = []
    for name, _, known in _flat(owner):
        entry = {"opt": name, "name": known.label or label_of(name), "help": known.help, "type": known.kind}
        if known.default is not MISSING:
            entry["defaultValue"] = text_of(known.default)
        entries.append(entry)
    return entries


def take(owner: type, given: dict[str, Any]) -> Any:
    """Takes the options of a class out of what the job has set, and reads them."""
    options = owner()
    for own, annotation, known in fields(owner):
        if isinstance(known, Group):
            value = take(known.owner, given)
        elif (name := known.name or own) in given:
            value = _read(annotation, known, name, given.pop(name))
        elif known.default is not MISSING:
            kind, _ = _bare(annotation)
            value = kind(known.default) if _is_choice(kind) and known.default is not None else known.default
        elif _bare(annotation)[1] or known.required is False:
            value = None
        else:
            raise _invalid(name, "it is missing")
        setattr(options, own, value)
    return options


def _invalid(name: str, why: str) -> Failure:
    return Failure(f"option `{name}`: {why}", "invalid-option", 2, option=name)


def _read(annotation: Any, known: Option, name: str, value: Any) -> Any:
    """The console stores most values as text."""
    kind, _ = _bare(annotation)
    text = value if isinstance(value, str) else json.dumps(value)
    choices = None if kind is bool else _choices(kind, known)
    if choices is not None and text not in choices and known.kind != "multiselect":
        raise _invalid(name, f'"{text}" is not one of {", ".join(choices)}')
    try:
        return kind(text) if _is_choice(kind) else _READERS[kind](value, text)
    except (KeyError, ValueError, TypeError):
        word = getattr(kind, "__name__", str(kind)).lower().lstrip("_")
        raise _invalid(name, f'"{text}" is not a usable {word}') from None


def _boolean(_value: Any, text: str) -> bool:
    return BOOLEANS[text.strip().lower()]


def _number(_value: Any, text: str) -> float:
    number = float(text.strip())
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def _seconds(value: Any, text: str) -> Seconds:
    seconds = _number(value, text)
    if seconds < 0:
        raise ValueError(text)
    return Seconds(seconds)


def _lines(_value: Any, text: str) -> Lines:
    # The console stores line breaks as two characters.
    lines = (line.strip() for line in text.replace("\\n", "\n").splitlines())
    return Lines(line for line in lines if line)


def _document(value: Any, _text: str) -> Any:
    return json.loads(value) if isinstance(value, str) else value


def _of(kind: type) -> Any:
    def read(value: Any, text: str) -> Any:
        document = _document(value, text)
        if not isinstance(document, kind):
            raise TypeError(text)
        return document

    return read


def _texts(value: Any, text: str) -> list[str]:
    return [one if isinstance(one, str) else json.dumps(one) for one in _of(list)(value, text)]


_KINDS_OF: dict[Any, str] = {
    str: "text", int: "text", float: "text", Seconds: "text", bool: "select", Secret: "password", Lines: "textarea",
    list: "json", dict: "json", _Texts: "json", Any: "json", object: "json",
}

_READERS: dict[Any, Any] = {
    str: lambda _, text: text, int: lambda _, text: int(text.strip()), float: _number, Seconds: _seconds, bool: _boolean,
    Secret: lambda _, text: Secret(text), Lines: _lines, list: _of(list), dict: _of(dict), _Texts: _texts,
    Any: _document, object: _document,
}
