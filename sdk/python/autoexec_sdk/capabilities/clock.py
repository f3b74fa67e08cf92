"""Time: what `time` can not give in a tool."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from .. import host


def monotonic() -> float:
    """Seconds of the steady clock, for measuring how long something takes."""
    return host.call("monotonic_clock", "now") / 1e9


def now() -> float:
    """Seconds since 1970, UTC."""
    moment = host.call("wall_clock", "now")
    return moment.seconds + moment.nanoseconds / 1e9


def local_now() -> datetime:
    """Now, with the runner's time zone."""
    seconds = now()
    return datetime.fromtimestamp(seconds, timezone(timedelta(seconds=utc_offset(seconds))))


def utc_offset(unix_seconds: float) -> int:
    """Seconds to add to UTC for the runner's local time at that moment."""
    return host.call("local_time", "utc_offset", int(unix_seconds))


def sleep(seconds: float) -> None:
    """Waits. Costs no processor time, but counts as running time."""
    timer = host.call("monotonic_clock", "subscribe_duration", int(seconds * 1e9))
    host.method(timer, "block", doing="waiting")
