"""Waits for prompts and answers them, as `expect` does: for devices made for a person at a keyboard."""

import re

from .capabilities import clock
from .failure import Failure

PAGERS = ("--More--", "---- More ----", "-- More --", "<--- More --->")
_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[^\[]")


class Dialogue:
    """A dialogue with something that has `send(bytes)` and `receive(seconds)`; the latter returns no bytes when nothing came
    in time."""

    def __init__(self, talk, timeout=30.0, pagers=PAGERS, newline="\n"):
        self.talk, self.timeout, self.pagers, self.newline = talk, timeout, pagers, newline
        self.text = ""

    def send_line(self, text):
        """Types text and the return key."""
        self.talk.send((text + self.newline).encode())

    def wait_for(self, pattern):
        """Waits for a text, or a compiled regular expression; returns what came before it."""
        expression = pattern if hasattr(pattern, "search") else re.compile(re.escape(pattern))
        begin = clock.monotonic()
        while True:
            found = expression.search(self.text)
            if found:
                before, self.text = self.text[: found.start()], self.text[found.end():]
                return before
            self._turn_page()
            left = self.timeout - (clock.monotonic() - begin)
            piece = self.talk.receive(max(left, 0.0)) if left > 0 else b""
            if not piece and clock.monotonic() - begin >= self.timeout:
                shown = self.text[-120:]
                raise Failure(f"{expression.pattern!r} did not come in time; the last that came is {shown!r}", "timed-out")
            self._add(piece)

    def command(self, line, prompt):
        """Types a command and returns what it puts out until the prompt, without the echo of the command."""
        self.text = ""
        self.send_line(line)
        body = self.wait_for(prompt).lstrip("\n")
        first, _, rest = body.partition("\n")
        return rest if line and first.rstrip().endswith(line.strip()) else body

    def _add(self, piece):
        text = _ESCAPES.sub("", self.text + piece.decode("utf-8", "replace")).replace("\r\n", "\n")
        while "\b" in text:
            text = re.sub(r"[^\n\b]\b|^\b", "", text, count=1) if re.search(r"[^\n\b]\b|^\b", text) else text.replace("\b", "")
        self.text = text

    def _turn_page(self):
        shown = self.text.rstrip(" ")
        for mark in self.pagers:
            if shown.endswith(mark):
                self.text = shown[: -len(mark)]
                self.talk.send(b" ")
                return
