"""Asks SNMP agents; the host speaks the protocol. Needs the capability `snmp`.

Values are what Python has for them: numbers, bytes (octets), text (addresses and object identifiers), or None."""

from __future__ import annotations

from typing import Any, NamedTuple

from .. import host

#: How messages of version 3 can be signed and encrypted.
AUTHENTICATIONS = ("md5", "sha1", "sha224", "sha256", "sha384", "sha512")
PRIVACIES = ("des", "aes128", "aes192", "aes256")
#: Objects that the host asks for at once.
MOST_AT_ONCE = 64

Value = int | bytes | str | None


class Binding(NamedTuple):
    """A value with its name, an object identifier in dotted form without a dot at the start."""

    name: str
    value: Value


def v1(community: str) -> Any:
    """Who asks, in version 1. The community may be a reference to a secret."""
    return host.case("snmp", "Credentials_V1", community)


def v2c(community: str) -> Any:
    """Who asks, in version 2c. The community may be a reference to a secret."""
    return host.case("snmp", "Credentials_V2c", community)


def v3(name: str, authentication: tuple[str, str] | None = None, privacy: tuple[str, str] | None = None) -> Any:
    """Who asks, in version 3: `v3("monitor", ("sha256", passphrase), ("aes128", passphrase))`. Passphrases may be references to secrets;
    there is encryption only beside a signature."""
    user = host.record(
        "snmp", "User", name=name, authentication=_protection("Authentication", AUTHENTICATIONS, authentication),
        privacy=_protection("Privacy", PRIVACIES, privacy),
    )
    return host.case("snmp", "Credentials_V3", user)


def _protection(enum: str, known: tuple[str, ...], wanted: tuple[str, str] | None) -> tuple[Any, str] | None:
    if wanted is None:
        return None
    kind, passphrase = wanted
    if kind not in known:
        raise ValueError(f"`{kind}` is not known here; known are {', '.join(known)}")
    return host.case("snmp", f"{enum}_{kind.capitalize()}"), passphrase


class Agent:
    """An agent and who asks it. `timeout` is the longest wait for one answer, in seconds."""

    def __init__(self, address: str, credentials: Any, port: int = 161, timeout: float = 5.0, retries: int = 2) -> None:
        self.peer = host.peer(address, port)
        self._agent = host.record(
            "snmp", "Agent", host=address, port=port, credentials=credentials, timeout_ms=host.millis(timeout), retries=retries,
        )

    def get(self, *names: str) -> list[Binding]:
        """Values of these objects, in their order."""
        found: list[Binding] = []
        for start in range(0, len(names), MOST_AT_ONCE):
            some = list(names[start:start + MOST_AT_ONCE])
            found += self._ask("get", some, what=", ".join(some))
        return found

    def get_one(self, name: str) -> Value:
        """The value of one object; None when there is none."""
        return next((value for _, value in self.get(name)), None)

    def walk(self, root: str, limit: int = 10000) -> list[Binding]:
        """All values below an object, in the agent's order. More than `limit` is an error."""
        return self._ask("walk", root, limit, what=root)

    def _ask(self, function: str, *arguments: Any, what: str) -> list[Binding]:
        doing = f"asking the SNMP agent {self.peer} for {what}"
        found = host.call("snmp", function, self._agent, *arguments, doing=doing)
        return [Binding(one.name, _value(one.value)) for one in found]


def _value(variant: Any) -> Value:
    held = getattr(variant, "value", None)
    return bytes(held) if isinstance(held, (bytes, bytearray, list)) else held


def to_text(value: Value) -> str:
    """A value as text: octets as UTF-8 where they can be shown, else as bytes in hexadecimal with colons; nothing for None."""
    if not isinstance(value, bytes):
        return "" if value is None else str(value)
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return value.hex(":")
    return text if all(c.isprintable() or c.isspace() for c in text) else value.hex(":")


def index_below(name: str, root: str) -> str | None:
    """The part of a name below `root`, such as the index of a table's row."""
    return name[len(root) + 1:] if name.startswith(f"{root}.") else None
