"""Time: what `time` can not give in a tool."""

from .. import host


def monotonic():
    """Seconds of the steady clock, for measuring how long something takes."""
    return host.call("monotonic_clock", "now") / 1e9


def now():
    """Seconds since 1970, UTC."""
    moment = host.call("wall_clock", "now")
    return moment.seconds + moment.nanoseconds / 1e9


def utc_offset(unix_seconds):
    """Seconds to add to UTC for the runner's local time at that moment."""
    return host.call("local_time", "utc_offset", int(unix_seconds))


def sleep(seconds):
    """Waits."""
    timer = host.call("monotonic_clock", "subscribe_duration", int(seconds * 1e9))
    host.method(timer, "block", doing="waiting")


def millis(seconds):
    """A time limit as the host takes it."""
    return min(max(int(seconds * 1000), 0), 2**32 - 1)
