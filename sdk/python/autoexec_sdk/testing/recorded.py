"""A device as `snmpwalk` saw it."""

from __future__ import annotations

from typing import Any


def recorded_values(walk: str) -> dict[str, Any]:
    """Reads lines such as `.1.3.6.1.2.1.1.5.0 = STRING: "sw1"`; a line without a name goes on with the text before."""
    found: list[list[str]] = []
    for line in walk.splitlines():
        name, equals, text = line.partition(" = ")
        if equals and name.startswith("."):
            found.append([name.lstrip("."), text])
        elif found:
            found[-1][1] += f"\n{line}"
    return {name: _value(name, text.strip()) for name, text in found}


def _value(name: str, text: str) -> Any:
    kind, colon, rest = text.partition(":")
    rest = rest.strip()
    try:
        if text == '""':
            return b""
        if not colon:
            return None
        if kind == "STRING":
            is_quoted = len(rest) > 1 and rest.startswith('"') and rest.endswith('"')
            return (rest[1:-1] if is_quoted else rest).encode()
        if kind == "Hex-STRING":
            return bytes.fromhex(rest)
        if kind in ("INTEGER", "Counter32", "Gauge32", "Counter64"):
            return int(rest.split()[0])
        if kind == "Timeticks":
            return int(rest[1:rest.index(")")])
        if kind in ("OID", "IpAddress"):
            return rest.lstrip(".")
    except (ValueError, IndexError):
        pass
    raise AssertionError(f"the recorded value of {name} can not be read: {text}")
