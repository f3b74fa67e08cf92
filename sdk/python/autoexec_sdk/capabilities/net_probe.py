"""Asks whether a host is there. Needs the capability `net-probe`."""

from __future__ import annotations

from .. import host


def tcp_connect(address: str, port: int, timeout: float = 5.0) -> float:
    """Opens a TCP connection and closes it at once; returns the seconds it took to come up."""
    doing = f"connecting to {host.peer(address, port)}"
    return host.call("net_probe", "tcp_connect", address, port, host.millis(timeout), doing=doing) / 1000


def icmp_echo(address: str, timeout: float = 5.0) -> float:
    """Sends one ICMP echo request; returns the seconds until its reply."""
    return host.call("net_probe", "icmp_echo", address, host.millis(timeout), doing=f"pinging {address}") / 1_000_000
