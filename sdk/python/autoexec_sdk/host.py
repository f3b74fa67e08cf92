"""The way to the host: the imports of the component, or the fake of a test."""

from __future__ import annotations

import dataclasses
import re
import types
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from .failure import HostError

T = TypeVar("T")
_backend: Any = None


def install(backend: Any) -> Any:
    """Sets what answers calls; returns what did before."""
    global _backend
    before, _backend = _backend, backend
    return before


def backend() -> Any:
    """What answers calls."""
    if _backend is None:
        raise AssertionError(
            "there is no host outside of a component: use `with autoexec_sdk.testing.Host() as host:` in the test"
        )
    return _backend


def call(interface: str, function: str, *arguments: Any, doing: str | None = None) -> Any:
    """Calls a function of an interface, such as `call("net_probe", "tcp_connect", host, 22, 5000)`."""
    return backend().call(interface, function, arguments, doing or f"{interface}.{function}")


def record(interface: str, name: str, /, **fields: Any) -> Any:
    """A record of an interface."""
    return backend().record(interface, name, fields)


def case(interface: str, name: str, *value: Any) -> Any:
    """A case of a variant, or a value of an enum."""
    return backend().case(interface, name, value)


def method(handle: Any, name: str, *arguments: Any, doing: str) -> Any:
    """Calls a method of a handle."""
    return backend().method(handle, name, arguments, doing)


def case_name(value: Any) -> str:
    """`ProbeError_TimedOut(...)` is "timed-out", and so is an enum's `TIMED_OUT`."""
    own = value.name if hasattr(value, "name") and not hasattr(value, "__dataclass_fields__") else type(value).__name__
    own = own.rsplit("_", 1)[-1] if hasattr(value, "__dataclass_fields__") else own
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", own)
    return words.replace("_", "-").lower()


def plain(kind: type[T], found: Any) -> T:
    """A record of the host as one of the SDK's own classes, which has the same fields."""
    return kind(*(getattr(found, field.name) for field in dataclasses.fields(kind)))  # type: ignore[arg-type]


def peer(address: str, port: int) -> str:
    """`host:port`, with brackets around an IPv6 address."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def millis(seconds: float) -> int:
    """A time limit as the host takes it."""
    return min(max(int(seconds * 1000), 0), 2**32 - 1)


class Bindings:
    """The component's imports, by the names that componentize-py gives them."""

    def __init__(self, modules: dict[str, Any], err: type[Exception]) -> None:
        self.modules = modules
        self.err = err

    def module(self, interface: str) -> Any:
        found = self.modules.get(interface)
        if found is None:
            name = {"connection": "sockets", "outgoing_handler": "http", "http_types": "http"}.get(interface, interface.replace("_", "-"))
            raise HostError("denied", f"tool.toml does not ask for the capability `{name}`", interface)
        return found

    def call(self, interface: str, function: str, arguments: tuple[Any, ...], doing: str) -> Any:
        return self.guard(getattr(self.module(interface), function), arguments, doing)

    def method(self, handle: Any, name: str, arguments: tuple[Any, ...], doing: str) -> Any:
        return self.guard(getattr(handle, name), arguments, doing)

    def guard(self, function: Any, arguments: tuple[Any, ...], doing: str) -> Any:
        try:
            return function(*arguments)
        except self.err as error:
            value = error.value  # type: ignore[attr-defined]
            raise HostError(case_name(value), getattr(value, "value", None), doing) from None

    def http(
        self, method: str, url: str, headers: list[tuple[str, str]], pieces: Iterable[bytes], timeout: float,
    ) -> tuple[int, list[tuple[str, str]], Iterator[bytes]]:
        from .capabilities.http_over_wasi import send

        return send(self, method, url, headers, pieces, timeout)

    def record(self, interface: str, name: str, fields: dict[str, Any]) -> Any:
        return getattr(self.module(interface), name)(**fields)

    def case(self, interface: str, name: str, value: tuple[Any, ...]) -> Any:
        found = getattr(self.module(interface), name, None)
        if found is None:
            enum, member = name.split("_", 1)
            return getattr(getattr(self.module(interface), enum), member.upper())
        return found(*value)


class Plain:
    """Values for tests: what the bindings would be, without them."""

    @staticmethod
    def record(_interface: str, _name: str, fields: dict[str, Any]) -> Any:
        return types.SimpleNamespace(**fields)

    @staticmethod
    def case(_interface: str, name: str, value: tuple[Any, ...]) -> Any:
        return types.SimpleNamespace(case=name, value=value[0] if value else None)
