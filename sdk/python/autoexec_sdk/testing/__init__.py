"""Runs a tool without a component, against a host that is a fake: a call that was not expected fails the test, and so does one
that was expected and never came.

    with Host() as host:
        host.expect("net_probe.tcp_connect", "db", 22).answers(3)
        host.run(PortCheck, host="db")
        assert host.outputs == {"milliseconds": 3}

Log, outputs, facts of the job, time and random numbers work at once. Files that were made readable or writable with `host.files` work as
on a disk. A session or connection answers with a `Script`.
"""

from __future__ import annotations

import json
import types
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from .. import host as way
from ..capabilities.job import Context, Node
from ..failure import HostError
from ..options import Result, fields
from ..tool import Call, Change, Effect, Tool, read_options
from .files import Files
from .recorded import recorded_values
from .script import Script, Talk

__all__ = ["ANY", "Expected", "Files", "Host", "Script"]

#: Any argument.
ANY: Any = object()

_MARKS = {"plain": "", "info": "INFO: ", "fine": "FINE: ", "warn": "WARN: ", "error": "ERROR: "}


class Expected:
    """A call that is expected, and what it answers: nothing, unless it is said."""

    def __init__(self, name: str, arguments: tuple[Any, ...]) -> None:
        self.name, self.arguments = name, arguments
        self._answer: Callable[..., Any] = lambda *_: None
        #: How often it is still expected; None is any number of times, none included.
        self.left: int | None = 1

    def answers(self, value: Any = None) -> Expected:
        """Answers this."""
        return self.answers_with(lambda *_: value)

    def answers_with(self, function: Callable[..., Any]) -> Expected:
        """Answers what the function makes of the arguments. It may check them."""
        self._answer = function
        return self

    def fails(self, reason: str, detail: object = None) -> Expected:
        """Fails with a case of the WIT error, such as "timed-out"."""
        def refuse(*_: Any) -> Any:
            raise _Refusal(reason, detail)

        return self.answers_with(refuse)

    def prints(self, output: str | bytes) -> Expected:
        """The command or program writes this to standard output and ends with status 0."""
        return self.answers(_ended(0, output, b""))

    def exits(self, status: int, errors: str | bytes = b"") -> Expected:
        """The command or program writes this to standard error and ends with this status."""
        return self.answers(_ended(status, b"", errors))

    def times(self, count: int) -> Expected:
        """Expects the call so many times."""
        self.left = count
        return self

    def always(self) -> Expected:
        """Answers however often it is asked, also never."""
        self.left = None
        return self

    def fits(self, name: str, arguments: tuple[Any, ...]) -> bool:
        """Whether a call is this one; arguments beyond those named do not matter."""
        if name != self.name or len(arguments) < len(self.arguments):
            return False
        return all(wanted is ANY or wanted == given for wanted, given in zip(self.arguments, arguments))

    def __repr__(self) -> str:
        shown = ", ".join("ANY" if one is ANY else repr(one) for one in self.arguments)
        return f"{self.name}({shown})"


class _Refusal(Exception):
    """What `fails` says; the host adds what was tried."""


def _ended(status: int, output: str | bytes, errors: str | bytes) -> Any:
    stdout, stderr = (one.encode() if isinstance(one, str) else one for one in (output, errors))
    return types.SimpleNamespace(status=status, ending=types.SimpleNamespace(value=status), stdout=stdout, stderr=stderr)


class Host(way.Plain):
    """The fake host, inside a `with`."""

    def __init__(self) -> None:
        self.expected: list[Expected] = []
        #: What was logged: level and line.
        self.log: list[tuple[str, str]] = []
        #: Bytes that were passed through to the log.
        self.written = b""
        self.outputs: dict[str, Any] = {}
        self.live_data: Any = None
        self.context = Context("1", "test", 1, "test/tool_1", "tester", "")
        self.node = Node(0, "local", None, "local", "", "", None, "")
        self.variables: dict[str, str] = {}
        #: Seconds that the tool has waited in all. Waiting takes no time in a test.
        self.waited = 0.0
        self.files = Files()
        self._began, self._offset = 1_704_067_200.0, 0
        self._tool: type[Tool] | None = None
        self._talks: list[Talk] = []

    def __enter__(self) -> Host:
        self._before = way.install(self)
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        way.install(self._before)
        if kind is None:
            self.verify()

    def verify(self) -> None:
        """Fails when something that was expected has not happened, as the end of the `with` does."""
        missing = [one for one in self.expected if one.left is not None]
        if missing:
            raise AssertionError(f"expected of the tool, but not done: {missing}")
        unsent = [text for talk in self._talks for text in talk.missing()]
        if unsent:
            raise AssertionError(f"the tool was expected to send {unsent[0]!r}")

    def expect(self, name: str, *arguments: Any) -> Expected:
        """Expects one call, such as `expect("target.capture", ANY)`; HTTP is `expect("http", "GET", url, headers, body)` and answers
        (status, headers, body), the body being bytes or a list of pieces. `target.open_session`, `connection.connect` and
        `connection.open_datagrams` answer with a `Script`."""
        expected = Expected(name, arguments)
        self.expected.append(expected)
        return expected

    def snmp_recorded(self, address: str, walk: str) -> None:
        """Answers every question to this agent from a recorded walk: the output of `snmpwalk -On -Oe` over the device. What is not in
        it does not exist there. Any credentials are taken."""
        device = recorded_values(walk)

        def of_agent(answer: Callable[..., Any]) -> Callable[..., Any]:
            def check(agent: Any, *arguments: Any) -> Any:
                if agent.host != address:
                    raise AssertionError(f"the tool asks the SNMP agent {agent.host}, expected is {address}")
                return [types.SimpleNamespace(name=name, value=types.SimpleNamespace(value=value)) for name, value in answer(*arguments)]

            return check

        get = of_agent(lambda names: [(name, device.get(name)) for name in names])
        walked = of_agent(lambda root, _limit: [(name, value) for name, value in device.items() if name.startswith(f"{root}.")])
        self.expect("snmp.get").always().answers_with(get)
        self.expect("snmp.walk").always().answers_with(walked)

    def set_time(self, unix_seconds: float, utc_offset: int = 0) -> None:
        """The time of day, and the seconds to add for local time."""
        self._began, self._offset = unix_seconds - self.waited, utc_offset

    def run(self, tool: type[Tool], arguments: Sequence[Any] = (), **options: Any) -> str | None:
        """Runs a tool with options; returns its line for the operator."""
        return self._ask("run", tool, arguments, options)

    def check(self, tool: type[Tool], arguments: Sequence[Any] = (), **options: Any) -> list[Change]:
        """Asks a tool what it would change; returns its list of `Change`."""
        return self._ask("check", tool, arguments, options)

    def probe(self, tool: type[Tool], arguments: Sequence[Any] = (), **options: Any) -> Effect:
        """Asks a tool whether an interrupted run took effect; returns its `Effect`."""
        return self._ask("probe", tool, arguments, options)

    def _ask(self, what: str, tool: type[Tool], arguments: Sequence[Any], options: dict[str, Any]) -> Any:
        # As the executor does: empty ones never reach a tool.
        given, unknown = read_options(tool, {name: value for name, value in options.items() if value not in (None, "")})
        if unknown:
            raise AssertionError(f"options that the tool does not have: {unknown}")
        self._tool = tool
        return getattr(tool(), what)(Call(given, list(arguments)))

    @property
    def lines(self) -> list[str]:
        """The lines that were logged, without their levels."""
        return [text for _, text in self.log]

    @property
    def log_lines(self) -> list[str]:
        """The lines that were logged, as the node's log shows them: `INFO: text`."""
        return [f"{_MARKS[level]}{text}" for level, text in self.log]

    def call(self, interface: str, function: str, arguments: tuple[Any, ...], doing: str) -> Any:
        always = getattr(self, f"_{interface}_{function}", None)
        if always is not None:
            return always(*arguments)
        name = f"{interface}.{function}"
        is_expected = any(one.fits(name, arguments) for one in self.expected)
        if interface == "filesystem" and self.files.is_used and not is_expected:
            try:
                return self.files.call(function, arguments)
            except _REFUSED as refusal:
                raise HostError(*refusal.args, doing) from None
        answer = self._answer(name, arguments, doing)
        if isinstance(answer, Script):
            answer = Talk(answer, interface, self._pass, lambda given: self._answer("connection.start_tls", given, doing), arguments)
            self._talks.append(answer)
        return answer

    def method(self, handle: Any, name: str, arguments: tuple[Any, ...], doing: str) -> Any:
        if not hasattr(handle, name):
            return self._answer(name, arguments, doing)
        try:
            return getattr(handle, name)(*arguments)
        except _REFUSED as refusal:
            raise HostError(*refusal.args, doing) from None

    def http(
        self, method: str, url: str, headers: list[tuple[str, str]], pieces: Iterable[bytes], timeout: float,
    ) -> tuple[int, list[tuple[str, str]], Iterator[bytes]]:
        arguments = (method, url, headers, b"".join(pieces), timeout)
        status, answered, body = self._answer("http", arguments, f"{method} {url}")
        body = body.encode() if isinstance(body, str) else body
        return status, answered, iter([body] if isinstance(body, bytes) and body else body)

    def _answer(self, name: str, arguments: tuple[Any, ...], doing: str) -> Any:
        for number, expected in enumerate(self.expected):
            if expected.fits(name, arguments):
                if expected.left is not None:
                    expected.left -= 1
                    if expected.left == 0:
                        del self.expected[number]
                try:
                    return expected._answer(*arguments)
                except _Refusal as refusal:
                    raise HostError(*refusal.args, doing) from None
        raise AssertionError(f"the tool did what was not expected: {name}{arguments}; expected: {self.expected or 'nothing'}")

    def _pass(self, seconds: float) -> None:
        self.waited += seconds

    def _log_line(self, level: Any, text: str) -> None:
        self.log.extend((level.case.split("_")[1].lower(), line) for line in text.split("\n"))

    def _log_write(self, data: bytes) -> None:
        self.written += data

    def _output_set(self, name: str, value: str) -> None:
        known = None if self._tool is None else [what.name or own for own, _, what in fields(self._tool.Outputs) if isinstance(what, Result)]
        if known is not None and name not in known:
            raise AssertionError(f"the tool puts out `{name}`, which its Outputs do not describe: {known}")
        self.outputs[name] = json.loads(value)

    def _output_set_live_data(self, data: str) -> None:
        self.live_data = json.loads(data)

    def _job_get_context(self) -> Context:
        return self.context

    def _job_get_node(self) -> Node:
        return self.node

    def _job_get_variable(self, name: str) -> str | None:
        return self.variables.get(name)

    def _job_list_variables(self) -> list[Any]:
        return [types.SimpleNamespace(name=name, value=value) for name, value in self.variables.items()]

    def _monotonic_clock_now(self) -> int:
        return int(self.waited * 1e9)

    def _monotonic_clock_subscribe_duration(self, nanoseconds: int) -> Any:
        return types.SimpleNamespace(block=lambda: self._pass(nanoseconds / 1e9))

    def _wall_clock_now(self) -> Any:
        seconds = self._began + self.waited
        return types.SimpleNamespace(seconds=int(seconds), nanoseconds=int(seconds % 1 * 1e9))

    def _local_time_utc_offset(self, _seconds: int) -> int:
        return self._offset

    def _random_get_random_u64(self) -> int:
        return 0x9E3779B97F4A7C15

    def _random_get_random_bytes(self, count: int) -> bytes:
        return bytes(number % 251 for number in range(count))


_REFUSED = (Files.Refused, Talk.Refused)
