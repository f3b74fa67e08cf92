import unittest

from autoexec_sdk import Change, Effect, Failure
from autoexec_sdk.testing import ANY, Host
from tool import FileLine


class FileLineTest(unittest.TestCase):
    def test_a_line_that_is_missing_is_added(self):
        with Host() as host:
            host.files.writable("/x").file("/x/a", "one\n")
            host.run(FileLine, path="/x/a", line="two")
            self.assertEqual(host.files.content("/x/a"), b"one\ntwo\n")
            self.assertEqual(host.outputs, {"changed": True, "copied": 0})

    def test_a_last_line_without_an_end_is_ended(self):
        with Host() as host:
            host.files.writable("/x").file("/x/a", "one")
            host.run(FileLine, path="/x/a", line="two")
            self.assertEqual(host.files.content("/x/a"), b"one\ntwo\n")

    def test_a_line_that_is_there_changes_nothing(self):
        with Host() as host:
            host.files.readable("/x").file("/x/a", "one\n")
            host.run(FileLine, path="/x/a", line="one")
            self.assertEqual(host.outputs, {"changed": False, "copied": 0})

    def test_a_file_that_is_new_begins_as_the_server_has_it_and_is_copied(self):
        with Host() as host:
            host.files.writable("/x")
            host.expect("http", "GET", "http://a/begin").answers((200, [], [b"on", b"e\n"]))
            host.expect("http", "PUT", "http://a/copy", ANY, b"one\ntwo\n").answers((201, [], b""))
            host.run(FileLine, path="/x/a", line="two", begin="http://a/begin", copy="http://a/copy")
            self.assertEqual(host.outputs, {"changed": True, "copied": 8})

    def test_a_server_that_says_no_leaves_no_file(self):
        with Host() as host:
            host.files.writable("/x")
            host.expect("http", "GET", "http://a/begin").answers((404, [], b"none"))
            with self.assertRaises(Failure) as caught:
                host.run(FileLine, path="/x/a", line="two", begin="http://a/begin")
            self.assertEqual((caught.exception.kind, host.files.paths()), ("not-found", []))

    def test_a_dry_run_says_what_would_be_added(self):
        with Host() as host:
            host.files.readable("/x")
            changes = host.check(FileLine, path="/x/a", line="two", begin="http://a/begin")
        self.assertEqual(changes, [Change.created("/x/a", "http://a/begin"), Change.created("line of /x/a", "two")])

    def test_an_interrupted_run_is_told_by_the_file(self):
        for content, copy, effect in [
            ("one\ntwo", None, Effect.COMPLETE), ("one\n", None, Effect.NONE), ("two\n", "http://a/copy", Effect.UNKNOWN),
        ]:
            with Host() as host:
                host.files.readable("/x").file("/x/a", content)
                self.assertEqual(host.probe(FileLine, path="/x/a", line="two", copy=copy), effect)

    def test_two_lines_are_refused_before_anything_is_read(self):
        with Host() as host, self.assertRaises(Failure) as caught:
            host.run(FileLine, path="/x/a", line="one\ntwo")
        self.assertEqual(caught.exception.option, "line")


if __name__ == "__main__":
    unittest.main()
