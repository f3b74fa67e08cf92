"""Asks whether a host is there. Needs the capability `net-probe`."""

from .. import host
from .clock import millis


def tcp_connect(address, port, timeout=5.0):
    """Opens a TCP connection and closes it at once; returns the seconds it took to come up."""
    doing = f"connecting to {address}:{port}"
    return host.call("net_probe", "tcp_connect", address, port, millis(timeout), doing=doing) / 1000


def icmp_echo(address, timeout=5.0):
    """Sends one ICMP echo request; returns the seconds until its reply."""
    return host.call("net_probe", "icmp_echo", address, millis(timeout), doing=f"pinging {address}") / 1_000_000
