"""The way to the host: the imports of the component, or the fake of a test."""

import re
import types

from .failure import HostError

_backend = None


def install(backend):
    """Sets what answers calls; returns what did before."""
    global _backend
    before, _backend = _backend, backend
    return before


def backend():
    """What answers calls."""
    if _backend is None:
        raise AssertionError(
            "there is no host outside of a component: use `with autoexec_sdk.testing.Host() as host:` in the test"
        )
    return _backend


def call(interface, function, *arguments, doing=None):
    """Calls a function of an interface, such as `call("net_probe", "tcp_connect", host, 22, 5000)`."""
    return backend().call(interface, function, arguments, doing or f"{interface}.{function}")


def record(interface, name, **fields):
    """A record of an interface."""
    return backend().record(interface, name, fields)


def case(interface, name, *value):
    """A case of a variant, or a value of an enum."""
    return backend().case(interface, name, value)


def method(handle, name, *arguments, doing):
    """Calls a method of a handle."""
    return backend().method(handle, name, arguments, doing)


def case_name(value):
    """`ProbeError_TimedOut(...)` is "timed-out", and so is an enum's `TIMED_OUT`."""
    own = value.name if hasattr(value, "name") and not hasattr(value, "__dataclass_fields__") else type(value).__name__
    own = own.rsplit("_", 1)[-1] if hasattr(value, "__dataclass_fields__") else own
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", own)
    return words.replace("_", "-").lower()


class Bindings:
    """The component's imports, by the names that componentize-py gives them."""

    def __init__(self, modules, err):
        self.modules = modules
        self.err = err

    def module(self, interface):
        found = self.modules.get(interface)
        if found is None:
            name = {"connection": "sockets", "outgoing_handler": "http", "wasi_http_types": "http"}.get(interface, interface.replace("_", "-"))
            raise HostError("denied", f"tool.toml does not ask for the capability `{name}`", interface)
        return found

    def call(self, interface, function, arguments, doing):
        return self.guard(getattr(self.module(interface), function), arguments, doing)

    def method(self, handle, name, arguments, doing):
        return self.guard(getattr(handle, name), arguments, doing)

    def guard(self, function, arguments, doing):
        try:
            return function(*arguments)
        except self.err as error:
            raise HostError(case_name(error.value), getattr(error.value, "value", None), doing) from None

    def http(self, *request):
        from .capabilities.http import over_wasi

        return over_wasi(self, *request)

    def record(self, interface, name, fields):
        return getattr(self.module(interface), name)(**fields)

    def case(self, interface, name, value):
        found = getattr(self.module(interface), name, None)
        if found is None:
            enum, member = name.split("_", 1)
            return getattr(getattr(self.module(interface), enum), member.upper())
        return found(*value)


class Plain:
    """Values for tests: what the bindings would be, without them."""

    @staticmethod
    def record(_interface, _name, fields):
        return types.SimpleNamespace(**fields)

    @staticmethod
    def case(_interface, name, value):
        return types.SimpleNamespace(case=name, value=value[0] if value else None)
