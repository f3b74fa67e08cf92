"""Waits for prompts and answers them, as `expect` does: for devices made for a person at a keyboard."""

import re

from .capabilities import clock
from .failure import Failure

PAGERS = ("--More--", "---- More ----", "-- More --", "<--- More --->")

#: The prompts of most network devices and shells: the last line ends with one of these marks, and nothing follows.
USUAL_PROMPT = re.compile(r"(?m)^[^\n]*[>#$%\]] *\Z")
# The name in a prompt: `sw1` of `sw1(config-if)#`.
_NAME = re.compile(r"[<\[({~*@ ]*([^(: >#$%\]]+)")
_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[^\[]")


class Dialogue:
    """A dialogue with something that has `send(bytes)` and `receive(seconds)`; the latter returns no bytes when nothing came
    in time."""

    def __init__(self, talk, timeout=30.0, pagers=PAGERS, newline="\n"):
        self.talk, self.timeout, self.pagers, self.newline = talk, timeout, pagers, newline
        self.text = ""

    def send(self, text):
        """Types text as it is. May hold references to secrets."""
        self.talk.send(text.encode())

    def send_line(self, text):
        """Types text and the return key."""
        self.send(text + self.newline)

    def wait_for(self, pattern):
        """Waits for a text, or a compiled regular expression; returns what came before it."""
        return self.wait_for_any([pattern])[1]

    def wait_for_any(self, patterns):
        """Waits for the first of several patterns to come; returns its number, what came before it, and what fits it."""
        expressions = [own if hasattr(own, "search") else re.compile(re.escape(own)) for own in patterns]
        begin = clock.monotonic()
        while True:
            found = [(match.start(), match.end(), n) for n, own in enumerate(expressions) if (match := own.search(self.text))]
            if found:
                start, end, which = min(found)
                before, matched, self.text = self.text[:start], self.text[start:end], self.text[end:]
                return which, before, matched
            self._turn_page()
            left = self.timeout - (clock.monotonic() - begin)
            piece = self.talk.receive(max(left, 0.0)) if left > 0 else b""
            if not piece and clock.monotonic() - begin >= self.timeout:
                wanted = " or ".join(repr(own.pattern) for own in expressions)
                shown = self.text[-120:]
                raise Failure(f"{wanted} did not come in time; the last that came is {shown!r}", "timed-out")
            self._add(piece)

    def learn_prompt(self):
        """Waits for any of the usual prompts; returns a pattern for those of the same device, which a drawing or a banner that ends
        like a prompt does not fit."""
        prompt = self.wait_for_any([USUAL_PROMPT])[2]
        name = _NAME.match(prompt.strip())
        return re.compile(rf"(?m)^[<\[({{~*@ ]*{re.escape(name[1])}[^\n]*[>#$%\]] *\Z") if name else USUAL_PROMPT

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
