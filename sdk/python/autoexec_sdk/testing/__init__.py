"""Runs a tool without a component, against a host that is a fake: a call that was not expected fails the test, and so does one
that was expected and never came.

    with Host() as host:
        host.expect("net_probe.tcp_connect", "db", 22).answers(3)
        host.run(PortCheck, host="db")
        assert host.outputs == {"milliseconds": 3}
"""

import json
import types

from . import host as way
from .failure import HostError
from .tool import Call, Result, described, read_options

ANY = object()


class Expected:
    """A call that is expected, and what it answers."""

    def __init__(self, name, arguments):
        self.name, self.arguments = name, arguments
        self.answer, self.error = None, None

    def answers(self, value=None):
        """Answers this."""
        self.answer = value

    def fails(self, reason, detail=None):
        """Fails with a case of the WIT error, such as "timed-out"."""
        self.error = (reason, detail)

    def fits(self, name, arguments):
        """Whether a call is this one; arguments beyond those named do not matter."""
        if name != self.name or len(arguments) < len(self.arguments):
            return False
        return all(wanted is ANY or wanted == given for wanted, given in zip(self.arguments, arguments))

    def __repr__(self):
        return f"{self.name}{self.arguments}"


class Host(way.Plain):
    """The fake host, inside a `with`."""

    def __init__(self):
        self.expected = []
        self.log = []
        self.outputs = {}
        self.live_data = None
        self.context = types.SimpleNamespace(
            job_id="1", phase="test", group=1, operation_id="test/tool_1", exec_user="tester", tenant=""
        )
        self.node = types.SimpleNamespace(
            resource_id=0, host="local", port=None, name="local", node_type="", protocol="", protocol_port=None, username=""
        )
        self.variables = {}
        self.waited = 0.0
        self._tool = None

    def __enter__(self):
        self._before = way.install(self)
        return self

    def __exit__(self, kind, error, trace):
        way.install(self._before)
        if kind is None and self.expected:
            raise AssertionError(f"expected of the tool, but not done: {self.expected}")

    def expect(self, name, *arguments):
        """Expects one call, such as `expect("target.capture", ANY)`; HTTP is `expect("http", "GET", url)` and answers
        (status, headers, body)."""
        expected = Expected(name, arguments)
        self.expected.append(expected)
        return expected

    def run(self, tool, arguments=(), **options):
        """Runs a tool with options; returns its line for the operator."""
        return self._ask("run", tool, arguments, options)

    def check(self, tool, arguments=(), **options):
        """Asks a tool what it would change; returns its list of `Change`."""
        return self._ask("check", tool, arguments, options)

    def probe(self, tool, arguments=(), **options):
        """Asks a tool whether an interrupted run took effect; returns its `Effect`."""
        return self._ask("probe", tool, arguments, options)

    def _ask(self, what, tool, arguments, options):
        given, unknown = read_options(tool, options)
        if unknown:
            raise AssertionError(f"options that the tool does not have: {unknown}")
        self._tool = tool
        return getattr(tool(), what)(Call(given, list(arguments)))

    @property
    def lines(self):
        """The lines that were logged, without their levels."""
        return [text for _, text in self.log]

    def call(self, interface, function, arguments, doing):
        always = getattr(self, f"_{interface}_{function}", None)
        if always is not None:
            return always(*arguments)
        return self._answer(f"{interface}.{function}", arguments, doing)

    def method(self, handle, name, arguments, doing):
        return getattr(handle, name)(*arguments) if hasattr(handle, name) else self._answer(name, arguments, doing)

    def http(self, method, url, headers, body, timeout, limit):
        return self._answer("http", (method, url, headers, body, timeout, limit), f"{method} {url}")

    def _answer(self, name, arguments, doing):
        for number, expected in enumerate(self.expected):
            if expected.fits(name, arguments):
                del self.expected[number]
                if expected.error is not None:
                    raise HostError(*expected.error, doing)
                return expected.answer
        raise AssertionError(f"the tool did what was not expected: {name}{arguments}; expected: {self.expected or 'nothing'}")

    def _log_line(self, level, text):
        self.log.extend((level.case.split("_")[1].lower(), line) for line in text.split("\n"))

    def _log_write(self, data):
        self.log.append(("raw", data.decode("utf-8", "replace")))

    def _output_set(self, name, value):
        known = [own for own, _ in described(self._tool.Outputs, Result)] if self._tool else None
        if known is not None and name not in known:
            raise AssertionError(f"the tool puts out `{name}`, which its Outputs do not describe: {known}")
        self.outputs[name] = json.loads(value)

    def _output_set_live_data(self, data):
        self.live_data = json.loads(data)

    def _job_get_context(self):
        return self.context

    def _job_get_node(self):
        return self.node

    def _job_get_variable(self, name):
        return self.variables.get(name)

    def _job_list_variables(self):
        return [types.SimpleNamespace(name=name, value=value) for name, value in self.variables.items()]

    def _monotonic_clock_now(self):
        return int(self.waited * 1e9)

    def _monotonic_clock_subscribe_duration(self, nanoseconds):
        def block():
            self.waited += nanoseconds / 1e9

        return types.SimpleNamespace(block=block)

    def _wall_clock_now(self):
        seconds = 1_704_067_200 + self.waited
        return types.SimpleNamespace(seconds=int(seconds), nanoseconds=0)

    def _local_time_utc_offset(self, _seconds):
        return 0

    def _random_get_random_u64(self):
        return 0x9E3779B97F4A7C15

    def _random_get_random_bytes(self, count):
        return bytes(number % 251 for number in range(count))
