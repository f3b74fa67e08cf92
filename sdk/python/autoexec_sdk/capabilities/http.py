"""HTTP requests. Needs the capability `http`; the policy says which hosts, and whether their certificates are checked.

Header values may hold references to secrets. A redirect is an answer like others unless `redirects` is given."""

import json as _json
from urllib.parse import urlencode, urljoin, urlsplit

from .. import host
from ..failure import Failure, HostError

CREDENTIALS = {"authorization", "cookie", "proxy-authorization"}


class Response:
    """An answer with its whole body."""

    def __init__(self, url, status, headers, body):
        self.url, self.status, self.headers, self.body = url, status, headers, body

    def header(self, name):
        """The first value of a header, or None."""
        return next((value for own, value in self.headers if own.lower() == name.lower()), None)

    def text(self):
        """The body as text."""
        return self.body.decode("utf-8", "replace")

    def json(self):
        """The body as JSON."""
        try:
            return _json.loads(self.body)
        except ValueError as error:
            raise Failure(f"{self.url}: the body is not JSON: {error}", "invalid-data") from None

    def require_success(self):
        """Itself when the status is 2xx, a failure with the begin of the body otherwise."""
        if 200 <= self.status < 300:
            return self
        begin = " ".join(self.text().split())[:300]
        kind = {401: "denied", 403: "denied", 404: "not-found", 410: "not-found"}.get(self.status, "http-status")
        raise Failure(f"{self.url}: the answer has the status {self.status}: {begin}", kind)


def get(url, **options):
    """`request("GET", …)`."""
    return request("GET", url, **options)


def head(url, **options):
    """`request("HEAD", …)`."""
    return request("HEAD", url, **options)


def post(url, **options):
    """`request("POST", …)`."""
    return request("POST", url, **options)


def put(url, **options):
    """`request("PUT", …)`."""
    return request("PUT", url, **options)


def delete(url, **options):
    """`request("DELETE", …)`."""
    return request("DELETE", url, **options)


def request(method, url, *, headers=None, body=b"", json=None, form=None, timeout=60.0, redirects=0, limit=16 << 20):
    """Sends a request and returns its answer. The body is given as it is, as a document (`json`) or as the fields of a form.
    At most `limit` bytes of body; at most `redirects` redirects."""
    headers = list((headers or {}).items())
    if json is not None:
        body = _json.dumps(json).encode()
        headers.append(("content-type", "application/json"))
    elif form is not None:
        body = urlencode(form).encode()
        headers.append(("content-type", "application/x-www-form-urlencoded"))
    for _ in range(redirects + 1):
        response = _send(method, url, headers, bytes(body), timeout, limit)
        location = response.header("location") if response.status in (301, 302, 303, 307, 308) else None
        if redirects == 0 or location is None:
            return response
        target = urljoin(url, location)
        if urlsplit(target)[:2] != urlsplit(url)[:2]:
            headers = [(name, value) for name, value in headers if name.lower() not in CREDENTIALS]
        if response.status not in (307, 308) and method not in ("GET", "HEAD"):
            method, body = "GET", b""
            headers = [(name, value) for name, value in headers if not name.lower().startswith("content-")]
        url = target
    raise HostError("too-many-redirects", redirects, f"{method} {url}")


def _send(method, url, headers, body, timeout, limit):
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
        raise HostError("invalid-url", "http or https, a host, and no user name", f"{method} {url}")
    status, answered, content = host.backend().http(method, url, headers, body, timeout, limit)
    return Response(url, status, answered, content)


def over_wasi(bindings, method, url, headers, body, timeout, limit):
    """One request over the bindings of `wasi:http`."""
    doing = f"{method} {url}"
    types, handler = bindings.module("wasi_http_types"), bindings.module("outgoing_handler")
    parts = urlsplit(url)
    fields = bindings.guard(types.Fields.from_list, ([(name, str(value).encode()) for name, value in headers],), doing)
    outgoing = types.OutgoingRequest(fields)
    known = getattr(types, f"Method_{method.capitalize()}", None)
    bindings.guard(outgoing.set_method, (known() if known else types.Method_Other(method),), doing)
    bindings.guard(outgoing.set_scheme, (types.Scheme_Https() if parts.scheme == "https" else types.Scheme_Http(),), doing)
    bindings.guard(outgoing.set_authority, (parts.netloc,), doing)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    bindings.guard(outgoing.set_path_with_query, (path,), doing)
    options, nanos = types.RequestOptions(), int(timeout * 1e9)
    for setter in (options.set_connect_timeout, options.set_first_byte_timeout, options.set_between_bytes_timeout):
        bindings.guard(setter, (nanos,), doing)
    sending = bindings.guard(outgoing.body, (), doing) if body else None
    future = bindings.guard(handler.handle, (outgoing, options), doing)
    if sending is not None:
        with bindings.guard(sending.write, (), doing) as stream:
            for start in range(0, len(body), 4096):
                bindings.guard(stream.blocking_write_and_flush, (body[start:start + 4096],), doing)
        bindings.guard(types.OutgoingBody.finish, (sending, None), doing)
    answer = future.get()
    while answer is None:
        with future.subscribe() as ready:
            ready.block()
        answer = future.get()
    for _ in range(2):
        if isinstance(answer, bindings.err):
            raise HostError(host.case_name(answer.value), None, doing)
        answer = answer.value
    status, entries = answer.status(), answer.headers().entries()
    incoming = bindings.guard(answer.consume, (), doing)
    return status, [(name, bytes(value).decode("latin-1")) for name, value in entries], _body(bindings, incoming, limit, doing)


def _body(bindings, incoming, limit, doing):
    content = bytearray()
    with bindings.guard(incoming.stream, (), doing) as stream:
        while len(content) <= limit:
            try:
                content += bytes(stream.blocking_read(65536))
            except bindings.err as error:
                if host.case_name(error.value) == "closed":
                    return bytes(content)
                raise HostError("closed", None, doing) from None
    raise HostError("too-large", limit, doing)
