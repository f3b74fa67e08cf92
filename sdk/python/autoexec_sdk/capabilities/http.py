"""HTTP requests. Needs the capability `http`; the policy says which hosts, and whether their certificates are checked.

Header values may hold references to secrets. A redirect is an answer like others unless `redirects` is given. Bodies need not fit into
memory: `file` and `body` (an iterable with its `length`) are sent piece by piece, `Response.chunks` and `Response.save` read so."""

from __future__ import annotations

import json as _json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit

from .. import host
from ..failure import Failure, HostError
from . import clock, filesystem

CREDENTIALS = {"authorization", "cookie", "proxy-authorization"}
REDIRECTS = (301, 302, 303, 307, 308)
#: Bytes of a body that a failure shows.
_SHOWN = 300


class Response:
    """An answer: its head is there, its body is read when it is asked for."""

    def __init__(
        self, doing: str, url: str, status: int, headers: list[tuple[str, str]], pieces: Iterator[bytes], taken: float, limit: int,
    ) -> None:
        #: The URL that answered; another one than asked after redirects.
        self.url = url
        self.status = status
        self.headers = headers
        #: Seconds until the (last) answer began.
        self.taken = taken
        self._doing, self._pieces, self._limit = doing, pieces, limit
        self._body: bytes | None = None

    @property
    def is_success(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300

    def header(self, name: str) -> str | None:
        """The first value of a header, or None."""
        return next((value for own, value in self.headers if own.lower() == name.lower()), None)

    def chunks(self) -> Iterator[bytes]:
        """The body piece by piece, for bodies that need not fit into memory. A piece is handed out once."""
        if self._body is not None:
            yield from [self._body] if self._body else []
            return
        yield from self._pieces

    @property
    def body(self) -> bytes:
        """The whole body, which must not have more bytes than the `limit` of the request."""
        if self._body is None:
            content = bytearray()
            for piece in self._pieces:
                content += piece
                if len(content) > self._limit:
                    raise HostError("too-large", self._limit, self._doing)
            self._body = bytes(content)
        return self._body

    def text(self) -> str:
        """The whole body as text; what is not UTF-8 is replaced."""
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        """The whole body as JSON."""
        try:
            return _json.loads(self.body)
        except ValueError as error:
            raise Failure(f"{self._doing}: the body is not JSON: {error}", "invalid-data") from None

    def save(self, path: str, limit: int, progress: Callable[[int], None] | None = None) -> int:
        """Writes the body to a file of the runner (granted for writing), piece by piece: under the name with `.part` until it is
        complete. Returns its bytes, of which there must not be more than `limit`; `progress` is told how many are there after each
        piece."""
        part, size = f"{path}.part", 0
        filesystem.write(part, b"")
        try:
            for piece in self.chunks():
                size += len(piece)
                if size > limit:
                    raise HostError("too-large", limit, self._doing)
                filesystem.append(part, piece)
                if progress is not None:
                    progress(size)
            filesystem.rename(part, path)
        except BaseException:
            _removed(part)
            raise
        return size

    def require_success(self) -> Response:
        """Itself when the status is 2xx, a failure with the begin of the body otherwise."""
        if self.is_success:
            return self
        begin = " ".join(self._begin().decode("utf-8", "replace").split())[:_SHOWN]
        kind = {401: "denied", 403: "denied", 404: "not-found", 410: "not-found"}.get(self.status, "http-status")
        raise Failure(f"{self._doing}: the answer has the status {self.status}{': ' if begin else ''}{begin}", kind)

    def _begin(self) -> bytes:
        begin = b""
        try:
            for piece in self.chunks():
                begin += piece
                if len(begin) >= _SHOWN:
                    break
        except HostError:
            # The status says more than that the body broke off.
            pass
        return begin


def get(url: str, **options: Any) -> Response:
    """`request("GET", …)`."""
    return request("GET", url, **options)


def head(url: str, **options: Any) -> Response:
    """`request("HEAD", …)`."""
    return request("HEAD", url, **options)


def post(url: str, **options: Any) -> Response:
    """`request("POST", …)`."""
    return request("POST", url, **options)


def put(url: str, **options: Any) -> Response:
    """`request("PUT", …)`."""
    return request("PUT", url, **options)


def delete(url: str, **options: Any) -> Response:
    """`request("DELETE", …)`."""
    return request("DELETE", url, **options)


def request(
    method: str, url: str, *, headers: Mapping[str, str] | None = None, body: bytes | str | Iterable[bytes] = b"",
    length: int | None = None, file: str | None = None, json: Any = None, form: Mapping[str, str] | None = None,
    timeout: float = 60.0, redirects: int = 0, limit: int = 16 << 20,
) -> Response:
    """Sends a request and waits for the begin of its answer. A status of 400 and above is an answer, not an error.

    The body is given as it is, as pieces of `length` bytes in all that are made while they are sent, as a `file` of the runner (granted
    for reading), as a document (`json`) or as the fields of a `form`. At most `redirects` redirects are followed, without credentials
    where another host, port or scheme is asked; a body in pieces can not be sent again, so a redirect that asks for it is an error.
    `timeout` (seconds) is for all until the begin of the answer, and for each wait for more of its body. `limit` is the most bytes of
    `Response.body`."""
    sent = list((headers or {}).items())
    if file is not None:
        body, length = filesystem.chunks(file), filesystem.stat(file).size
    elif json is not None:
        body = _json.dumps(json)
        sent.append(("content-type", "application/json"))
    elif form is not None:
        body = urlencode(form)
        sent.append(("content-type", "application/x-www-form-urlencoded"))
    pieces: Iterable[bytes]
    if isinstance(body, (bytes, bytearray, str)):
        whole = body.encode() if isinstance(body, str) else bytes(body)
        pieces, is_streamed = [whole] if whole else [], False
    else:
        if length is None:
            raise TypeError("a body in pieces needs its `length` in bytes")
        pieces, is_streamed = body, True
        sent.append(("content-length", str(length)))
    followed = 0
    while True:
        doing = f"{method} {url}"
        _check(url, doing)
        begin = clock.monotonic()
        status, answered, content = host.backend().http(method, url, sent, pieces, timeout)
        response = Response(doing, url, status, answered, content, clock.monotonic() - begin, limit)
        location = response.header("location") if status in REDIRECTS else None
        if redirects == 0 or location is None:
            return response
        followed += 1
        if followed > redirects:
            raise HostError("too-many-redirects", redirects, doing)
        target = urljoin(url, location)
        if urlsplit(target)[:2] != urlsplit(url)[:2]:
            sent = [(name, value) for name, value in sent if name.lower() not in CREDENTIALS]
        if status not in (307, 308) and method not in ("GET", "HEAD"):
            method, pieces, is_streamed = "GET", [], False
            sent = [(name, value) for name, value in sent if not name.lower().startswith("content-")]
        if is_streamed:
            raise HostError("other", "a redirect asks for a body again that was streamed", doing)
        url = target


def _check(url: str, doing: str) -> None:
    """Refuses what can not be asked before anything is sent."""
    try:
        parts = urlsplit(url)
        is_usable = parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc
        is_usable = is_usable and parts.port != 0 and url.isascii() and all("!" <= c <= "~" for c in url)
    except ValueError:
        is_usable = False
    if not is_usable:
        raise HostError("invalid-url", "http or https, a host, no user name, and no blanks", doing)


def _removed(path: str) -> None:
    try:
        filesystem.remove(path)
    except HostError:
        # What went wrong before is what the author has to hear.
        pass
