"""Asks SNMP agents; the host speaks the protocol. Needs the capability `snmp`."""

from .. import host
from .clock import millis


def v2c(community):
    """Who asks, in version 2c. The community may be a reference to a secret."""
    return host.case("snmp", "Credentials_V2c", community)


class Agent:
    """An agent and who asks it."""

    def __init__(self, address, credentials, port=161, timeout=5.0, retries=2):
        self.peer = f"{address}:{port}"
        self._agent = host.record(
            "snmp", "Agent", host=address, port=port, credentials=credentials, timeout_ms=millis(timeout), retries=retries,
        )

    def get(self, *names):
        """Values of these objects, as a list of (name, value)."""
        doing = f"asking the SNMP agent {self.peer} for {', '.join(names)}"
        return [(one.name, value(one.value)) for one in host.call("snmp", "get", self._agent, list(names), doing=doing)]

    def get_one(self, name):
        """The value of one object; None when there is none."""
        return next((value for _, value in self.get(name)), None)

    def walk(self, root, limit=10000):
        """All values below an object, as a list of (name, value)."""
        doing = f"asking the SNMP agent {self.peer} for {root}"
        return [(one.name, value(one.value)) for one in host.call("snmp", "walk", self._agent, root, limit, doing=doing)]


def value(variant):
    """A value as Python has it: numbers, bytes, text, or None."""
    held = getattr(variant, "value", None)
    return bytes(held) if isinstance(held, (bytes, bytearray, list)) else held
