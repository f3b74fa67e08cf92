"""Values that a tool may use but never see: it holds references. Needs the capability `secret`."""

from __future__ import annotations

from .. import host


def reference(name: str) -> str:
    """A reference to a secret: `option:NAME`, or `node`."""
    return host.call("secret", "value", name, doing=f"asking for the secret {name}")


def basic_authorization(username: str, name: str) -> str:
    """A reference to the value of the header `Authorization` for HTTP Basic."""
    return host.call("secret", "basic_authorization", username, name, doing=f"asking for the secret {name}")
