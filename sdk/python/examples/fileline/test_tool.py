import unittest

from autoexec_sdk import Change, Effect, Failure
from autoexec_sdk.testing import Host
from tool import FileLine


def holds(host, path, content):
    host.expect("filesystem.stat", path).answers(None)
    host.expect("filesystem.read", path, 0).answers(content)
    host.expect("filesystem.read", path, len(content)).answers(b"")


class FileLineTest(unittest.TestCase):
    def test_a_line_that_is_missing_is_added(self):
        with Host() as host:
            holds(host, "/x/a", b"one\n")
            host.expect("filesystem.write", "/x/a", b"one\ntwo\n")
            host.run(FileLine, path="/x/a", line="two")
            self.assertEqual(host.outputs, {"changed": True})

    def test_a_line_that_is_there_changes_nothing(self):
        with Host() as host:
            holds(host, "/x/a", b"one\n")
            host.run(FileLine, path="/x/a", line="one")
            self.assertEqual(host.outputs, {"changed": False})

    def test_a_dry_run_says_what_would_be_added(self):
        with Host() as host:
            host.expect("filesystem.stat", "/x/a").fails("not-found")
            changes = host.check(FileLine, path="/x/a", line="two")
        self.assertEqual(changes, [Change("line of /x/a", None, "two")])

    def test_an_interrupted_run_is_told_by_the_file(self):
        for content, effect in [(b"one\ntwo\n", Effect.COMPLETE), (b"one\n", Effect.NONE)]:
            with Host() as host:
                holds(host, "/x/a", content)
                self.assertEqual(host.probe(FileLine, path="/x/a", line="two"), effect)

    def test_two_lines_are_refused_before_anything_is_read(self):
        with Host() as host, self.assertRaises(Failure) as caught:
            host.run(FileLine, path="/x/a", line="one\ntwo")
        self.assertEqual(caught.exception.option, "line")


if __name__ == "__main__":
    unittest.main()
