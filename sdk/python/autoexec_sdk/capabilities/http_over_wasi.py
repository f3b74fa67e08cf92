"""One request over the bindings of `wasi:http`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import urlsplit

from .. import host
from ..failure import HostError

#: Bytes that `wasi:io` takes at once, and those asked for at once.
PIECE = 4096
CHUNK = 65536

#: The codes of `wasi:http` that are reasons of other capabilities, too.
REASONS = {
    "http-request-denied": "denied", "destination-ip-prohibited": "denied", "http-request-uri-invalid": "invalid-url",
    "dns-timeout": "timed-out", "connection-timeout": "timed-out", "connection-read-timeout": "timed-out",
    "connection-write-timeout": "timed-out", "http-response-timeout": "timed-out", "dns-error": "unresolved",
    "destination-not-found": "unresolved", "connection-refused": "refused", "connection-terminated": "closed",
    "http-response-incomplete": "closed", "tls-protocol-error": "tls", "tls-certificate-error": "tls", "tls-alert-received": "tls",
}


def send(
    bindings: Any, method: str, url: str, headers: list[tuple[str, str]], pieces: Iterable[bytes], timeout: float,
) -> tuple[int, list[tuple[str, str]], Iterator[bytes]]:
    """Sends it, and returns status, headers and the pieces of the body as they come."""
    doing = f"{method} {url}"
    types, handler = bindings.module("http_types"), bindings.module("outgoing_handler")
    outgoing = _head(bindings, types, method, url, headers, doing)
    options, nanos = types.RequestOptions(), int(timeout * 1e9)
    for setter in (options.set_connect_timeout, options.set_first_byte_timeout, options.set_between_bytes_timeout):
        bindings.guard(setter, (nanos,), doing)
    left = iter(pieces)
    first = next(left, None)
    sending = None if first is None else bindings.guard(outgoing.body, (), doing)
    try:
        future = handler.handle(outgoing, options)
    except bindings.err as error:
        raise _error(error.value, doing) from None
    if sending is not None:
        try:
            _write(bindings, sending, first, left, doing)
            types.OutgoingBody.finish(sending, None)
        except bindings.err as error:
            # The peer may have answered before it has read everything.
            if host.case_name(error.value) not in ("closed", "last-operation-failed"):
                raise _error(error.value, doing) from None
    answer = _answer(bindings, future, doing)
    status, entries = answer.status(), answer.headers().entries()
    incoming = bindings.guard(answer.consume, (), doing)
    return status, [(name, bytes(value).decode("latin-1")) for name, value in entries], _body(bindings, types, incoming, doing)


def _head(bindings: Any, types: Any, method: str, url: str, headers: list[tuple[str, str]], doing: str) -> Any:
    parts = urlsplit(url)
    fields = bindings.guard(types.Fields.from_list, ([(name, str(value).encode()) for name, value in headers],), doing)
    outgoing = types.OutgoingRequest(fields)
    known = getattr(types, f"Method_{method.capitalize()}", None)
    bindings.guard(outgoing.set_method, (known() if known else types.Method_Other(method),), doing)
    bindings.guard(outgoing.set_scheme, (types.Scheme_Https() if parts.scheme == "https" else types.Scheme_Http(),), doing)
    bindings.guard(outgoing.set_authority, (parts.netloc,), doing)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    bindings.guard(outgoing.set_path_with_query, (path,), doing)
    return outgoing


def _write(bindings: Any, sending: Any, piece: bytes | None, left: Iterator[bytes], doing: str) -> None:
    with bindings.guard(sending.write, (), doing) as stream:
        while piece is not None:
            for start in range(0, len(piece), PIECE):
                stream.blocking_write_and_flush(piece[start:start + PIECE])
            piece = next(left, None)


def _answer(bindings: Any, future: Any, doing: str) -> Any:
    answer = future.get()
    while answer is None:
        with future.subscribe() as ready:
            ready.block()
        answer = future.get()
    for _ in range(2):
        if isinstance(answer, bindings.err):
            raise _error(answer.value, doing)
        answer = answer.value
    return answer


def _body(bindings: Any, types: Any, incoming: Any, doing: str) -> Iterator[bytes]:
    # The stream is a child of the body, and is given back before it: this frame holds both.
    with bindings.guard(incoming.stream, (), doing) as stream:
        while True:
            try:
                piece = bytes(stream.blocking_read(CHUNK))
            except bindings.err as error:
                if host.case_name(error.value) == "closed":
                    return
                code = types.http_error_code(error.value.value)
                raise HostError("closed", None, doing) if code is None else _error(code, doing) from None
            if piece:
                yield piece


def _error(code: Any, doing: str) -> HostError:
    """A code of `wasi:http` as an error with the words of the SDK."""
    name, detail = host.case_name(code), getattr(code, "value", None)
    if name in REASONS:
        detail = getattr(detail, "rcode", None) or getattr(detail, "alert_message", None)
        return HostError(REASONS[name], detail, doing)
    return HostError("http", detail if name == "internal-error" else name, doing)
