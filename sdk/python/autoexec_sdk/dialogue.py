"""Waits for prompts and answers them, as `expect` does: for devices made for a person at a keyboard."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from .capabilities import clock
from .failure import Failure

PAGERS = ("--More--", "---- More ----", "-- More --", "<--- More --->")

#: The prompts of most network devices and shells: the last line ends with one of these marks, and nothing follows.
USUAL_PROMPT = re.compile(r"(?m)^[^\n]*[>#$%\]] *\Z")
#: Characters a dialogue keeps while it waits. More without a match is a device out of control.
MOST_TEXT = 8 << 20
# The name in a prompt: `sw1` of `sw1(config-if)#`.
_NAME = re.compile(r"[<\[({~*@ ]*([^(: >#$%\]]+)")
# Control sequences and characters; all but carriage return and backspace are not shown.
_CONTROL = re.compile(r"\x1b\[[^\x40-\x7e]*[\x40-\x7e]|\x1b[^\[]|[\x00-\x08\x0b-\x1f\x7f-\x9f]", re.DOTALL)
_WHOLE_SEQUENCE = re.compile(rb"\x1b(?:\[[^\x40-\x7e]*[\x40-\x7e]|[^\[])", re.DOTALL)

Pattern = str | re.Pattern[str]


class Seen(NamedTuple):
    """What was seen when a pattern came."""

    #: Which of the patterns, counted from 0.
    which: int
    #: The text before the match.
    before: str
    matched: str


class Dialogue:
    """A dialogue with something that has `send(bytes)` and `receive(seconds)`; the latter returns no bytes when nothing came
    in time. What has `hear(seconds)` as well tells by None that nothing will come any more.

    `timeout` is that of each step, in seconds, and may be set anew. With `on_silence` it begins again with whatever comes; a device that
    never stops is ended by the limits of the call. `pagers` are texts at the end of a page, each with what answers it where that is not a
    blank. `newline` is what the return key sends. Text is taken as UTF-8, as a terminal would show it."""

    def __init__(
        self, talk: Any, timeout: float = 30.0, pagers: Iterable[str] | Mapping[str, str] = PAGERS, newline: str = "\n",
        on_silence: bool = False,
    ) -> None:
        self.talk, self.timeout, self.newline, self.on_silence = talk, timeout, newline, on_silence
        self.pagers = dict(pagers) if isinstance(pagers, Mapping) else {mark: " " for mark in pagers}
        self.text = ""
        self._raw = b""
        # A carriage return has come, and what follows decides: a line break, or the line is written anew.
        self._returned = False

    def send(self, text: str) -> None:
        """Types text as it is. May hold references to secrets."""
        self.talk.send(text.encode())

    def send_line(self, text: str) -> None:
        """Types text and the return key."""
        self.send(text + self.newline)

    def wait_for(self, pattern: Pattern) -> str:
        """Waits for a text, or a compiled regular expression; returns what came before it."""
        return self.wait_for_any([pattern]).before

    def wait_for_any(self, patterns: Sequence[Pattern]) -> Seen:
        """Waits for the first of several patterns to come."""
        expressions = [re.compile(re.escape(own)) if isinstance(own, str) else own for own in patterns]
        hear = getattr(self.talk, "hear", self.talk.receive)
        begin = clock.monotonic()
        while True:
            found = [(match.start(), match.end(), n) for n, own in enumerate(expressions) if (match := own.search(self.text))]
            if found:
                start, end, which = min(found)
                before, matched, self.text = self.text[:start], self.text[start:end], self.text[end:]
                return Seen(which, before, matched)
            self._turn_page()
            left = max(self.timeout - (clock.monotonic() - begin), 0.0)
            piece = hear(left)
            if piece is None:
                raise self._failure("unreachable", "did not come before the end", expressions)
            if piece:
                self._add(piece)
                begin = clock.monotonic() if self.on_silence else begin
            elif left == 0 or clock.monotonic() - begin >= self.timeout:
                raise self._failure("timed-out", "did not come in time", expressions)

    def learn_prompt(self) -> re.Pattern[str]:
        """Waits for any of the usual prompts; returns a pattern for those of the same device, which a drawing or a banner that ends
        like a prompt does not fit."""
        prompt = self.wait_for_any([USUAL_PROMPT]).matched
        name = _NAME.match(prompt.strip())
        return re.compile(rf"(?m)^[<\[({{~*@ ]*{re.escape(name[1])}[^\n]*[>#$%\]] *\Z") if name else USUAL_PROMPT

    def command(self, line: str, prompt: Pattern) -> str:
        """Types a command and returns what it puts out until the prompt, without the echo of the command."""
        self.text = ""
        self.send_line(line)
        body = self.wait_for(prompt).lstrip("\n")
        first, _, rest = body.partition("\n")
        return rest if line and first.rstrip().endswith(line.strip()) else body

    def _failure(self, kind: str, what: str, expressions: list[re.Pattern[str]]) -> Failure:
        wanted = " or ".join(repr(own.pattern) for own in expressions)
        return Failure(f"{wanted} {what} of the dialogue; the last that came is {self.text[-120:]!r}", kind)

    def _add(self, piece: bytes) -> None:
        self._raw += piece
        whole = _whole_part(self._raw)
        shown, self._raw = self._raw[:whole].decode("utf-8", "replace"), self._raw[whole:]
        at = 0
        for control in _CONTROL.finditer(shown):
            self._show(shown[at:control.start()])
            at = control.end()
            if control[0] == "\r":
                self._returned = True
                continue
            self._line_anew()
            if control[0] == "\b" and self.text[-1:] not in ("", "\n"):
                self.text = self.text[:-1]
        self._show(shown[at:])
        if len(self.text) > MOST_TEXT:
            raise Failure(f"more than {MOST_TEXT} characters came without a prompt", "too-large")

    def _show(self, text: str) -> None:
        if text:
            if text[0] == "\n":
                self._returned = False
            self._line_anew()
            self.text += text

    def _line_anew(self) -> None:
        if self._returned:
            self.text = self.text[: self.text.rfind("\n") + 1]
            self._returned = False

    def _turn_page(self) -> None:
        shown = self.text.rstrip(" ")
        for mark, answer in self.pagers.items():
            if shown.endswith(mark):
                self.text = shown[: -len(mark)]
                self.talk.send(answer.encode())
                return


def _whole_part(raw: bytes) -> int:
    """The number of bytes in front that form whole characters and whole control sequences."""
    end = len(raw)
    # A sequence that has begun is at most this long; a longer one is text.
    begun = raw.rfind(b"\x1b", max(end - 32, 0))
    if begun >= 0 and not _WHOLE_SEQUENCE.match(raw, begun):
        end = begun
    for back in range(1, min(end, 3) + 1):
        first = raw[end - back]
        if first >= 0xC0:
            needed = 2 if first < 0xE0 else 3 if first < 0xF0 else 4
            return end - back if needed > back else end
        if first < 0x80:
            break
    return end
