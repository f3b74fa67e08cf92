"""Why a tool gives up, and why a function of the host did not do what it was asked for."""

KINDS = {
    "denied": "denied", "not-found": "not-found", "timed-out": "timed-out", "tls": "denied",
    "not-authenticated": "denied", "unreachable": "unreachable", "unresolved": "unreachable", "refused": "unreachable",
    "closed": "unreachable", "disconnected": "unreachable", "unavailable": "unreachable",
}

WORDS = {
    "denied": "not granted", "unresolved": "the name has no address", "refused": "refused, nobody listens there",
    "unreachable": "unreachable", "timed-out": "no answer in time", "not-found": "it does not exist",
    "closed": "the connection has ended", "disconnected": "the connection has ended", "exists": "it is there already",
    "tls": "no trusted TLS connection", "not-authenticated": "the account is not accepted",
    "unavailable": "can not be had now", "none": "there is none here", "no-space": "no space or quota left",
    "too-large": "more bytes than the limit", "invalid": "not taken", "wrong-kind": "of the wrong kind",
    "unsupported": "the node's protocol can not do this", "too-many": "more values than the limit",
}


class Failure(Exception):
    """The tool could not do its work. The message says what went wrong, to what, and what to do next; the host writes it
    to the log."""

    def __init__(self, message, kind="other", exit_code=1, option=None):
        super().__init__(message)
        self.message = message
        self.kind = kind
        self.exit_code = min(max(int(exit_code), 1), 255)
        self.option = option


class HostError(Failure):
    """What a function of the host could not do. `reason` is the case of the WIT error, such as "timed-out"; `detail` is
    what the host said; `doing` is what was tried."""

    def __init__(self, reason, detail, doing):
        text = WORDS.get(reason, "" if reason == "other" else reason)
        if detail not in (None, ""):
            text = f"{text}: {detail}" if text else str(detail)
        super().__init__(f"{doing}: {text}", KINDS.get(reason, reason))
        self.reason = reason
        self.detail = detail
        self.doing = doing
