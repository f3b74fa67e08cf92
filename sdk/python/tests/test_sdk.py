"""The SDK without a component: what a tool's class says of itself, what is made of options, and what the fake host refuses."""

import re
import types
import unittest

from autoexec_sdk import (
    Dialogue, Effect, Failure, HostError, Secret, Tool, connection, documents, filesystem, http, job_nodes, net_probe, option,
    output, result, secret, snmp, step_outputs,
)
from autoexec_sdk.testing import Host
from autoexec_sdk.tool import describe, read_options


class Sample(Tool):
    class Options:
        host: str = option("Host")
        port: int = option("Port", default=22)
        share: float = option("Share", default=0.5)
        dry: bool = option("Dry", default=False)
        tags: list = option("Tags", default=None, required=False)
        token: Secret = option("Token", default=None, required=False)
        mode: str = option("Mode", default="fast", choices=["fast", "slow"])

    class Outputs:
        answer = result("Answer")

    def run(self, call):
        output.set("answer", call.options.port)

    def probe(self, call):
        return Effect.UNKNOWN


class SdkTest(unittest.TestCase):
    def test_a_class_describes_its_options_outputs_and_exports(self):
        told = describe(Sample)
        kinds = {entry["opt"]: entry["type"] for entry in told["options"]}
        self.assertEqual(kinds["token"], "password")
        self.assertEqual(kinds["tags"], "json")
        self.assertEqual((kinds["dry"], kinds["mode"], kinds["port"]), ("select", "select", "text"))
        self.assertEqual([entry["opt"] for entry in told["options"] if entry["required"]], ["host"])
        self.assertEqual((told["check"], told["probe"]), (False, True))
        self.assertEqual([entry["opt"] for entry in told["outputs"]], ["answer"])

    def test_texts_become_the_types_of_options(self):
        given, unknown = read_options(Sample, {"host": "db", "port": "5432", "dry": "yes", "tags": "[1]", "more": 1})
        self.assertEqual((given.port, given.share, given.dry, given.tags, unknown), (5432, 0.5, True, [1], ["more"]))

    def test_what_is_wrong_with_an_option_names_it(self):
        for options, part in [
            ({}, "`host`: it is missing"), ({"host": "a", "port": "x"}, '`port`: "x" is not a usable int'),
            ({"host": "a", "mode": "x"}, "is not one of fast, slow"), ({"host": "a", "tags": "{}"}, "`tags`"),
        ]:
            with self.assertRaises(Failure) as caught:
                read_options(Sample, options)
            self.assertIn(part, caught.exception.message)
            self.assertEqual((caught.exception.kind, caught.exception.exit_code), ("invalid-option", 2))

    def test_a_secret_is_not_shown(self):
        self.assertNotIn("autoexec-secret", repr(Secret("autoexec-secret-1")))
        with Host() as host:
            host.expect("secret.value", "node").answers("autoexec-secret-2")
            self.assertEqual(secret.reference("node"), "autoexec-secret-2")

    def test_a_call_that_was_not_expected_fails_the_test(self):
        with self.assertRaises(AssertionError) as caught, Host():
            net_probe.tcp_connect("db", 22, 5)
        self.assertIn("net_probe.tcp_connect", str(caught.exception))

    def test_a_call_that_never_came_fails_the_test(self):
        with self.assertRaises(AssertionError), Host() as host:
            host.expect("net_probe.tcp_connect", "db", 22)

    def test_an_output_that_is_not_described_fails_the_test(self):
        class Wrong(Tool):
            def run(self, call):
                output.set("answre", 1)

        with self.assertRaises(AssertionError) as caught, Host() as host:
            host.run(Wrong)
        self.assertIn("answre", str(caught.exception))

    def test_requests_follow_redirects_without_credentials_for_others(self):
        with Host() as host:
            host.expect("http", "GET", "http://a/1").answers((302, [("location", "http://b/2")], b""))
            host.expect("http", "GET", "http://b/2", []).answers((200, [], b"{\"x\": 1}"))
            answer = http.get("http://a/1", headers={"authorization": "r"}, redirects=1).require_success()
        self.assertEqual(answer.json(), {"x": 1})

    def test_a_form_is_encoded(self):
        with Host() as host:
            sent = [("content-type", "application/x-www-form-urlencoded")]
            host.expect("http", "PUT", "http://a/1", sent, b"a=b+c&d=%26").answers((200, [], b""))
            http.put("http://a/1", form={"a": "b c", "d": "&"})

    def test_a_date_is_one_of_the_store(self):
        with Host() as host:
            host.expect("documents.save", "C", '{"a": 1}', '{"at": {"$date": {"$numberLong": "1500"}}}')
            documents.save("C", {"a": 1}, {"at": documents.date(1.5)})

    def test_paths_of_the_job(self):
        with Host() as host:
            self.assertEqual(filesystem.in_job("/srv/x"), "/srv/x")
            with self.assertRaises(Failure):
                filesystem.in_job("file/x")
            host.variables["AUTOEXEC_WORK_PATH"] = "/data/job/1/"
            host.node.host, host.node.resource_id, host.context.operation_id = "h/1", 7, "b/t_1"
            self.assertEqual(filesystem.in_job("file/x"), "/data/job/1/file/x")
            self.assertEqual(filesystem.output_directory(), "/data/job/1/output-op/h_1--7/b/t_1")

    def test_lines_of_a_connection(self):
        def stream(*pieces):
            got = [types.SimpleNamespace(name="data", value=piece) for piece in pieces]
            got.append(types.SimpleNamespace(name="end", value=None))
            return types.SimpleNamespace(receive=lambda _most, _limit: got.pop(0))

        with Host() as host:
            host.expect("connection.connect", "db", 1).answers(stream(b"one\r\ntw", b"o\nrest", b" of it"))
            peer = connection.Stream("db", 1)
            self.assertEqual((peer.receive_line(), peer.receive_line()), ("one", "two"))
            self.assertEqual(peer.receive_all(), b"rest of it")
            host.expect("connection.connect", "db", 1).answers(stream(b"half"))
            with self.assertRaises(HostError) as caught:
                connection.Stream("db", 1).receive_line()
            self.assertEqual(caught.exception.reason, "closed")

    def test_references_to_outputs_are_read_as_jobs_write_them(self):
        self.assertEqual(step_outputs.parse(" #{p.b/t_1.name} "), ("p", "b/t_1", "name"))
        self.assertEqual(step_outputs.parse("p.b/t_1.name"), ("p", "b/t_1", "name"))
        with self.assertRaises(Failure):
            step_outputs.parse("p.name")

    def test_one_object_and_one_page(self):
        with Host() as host:
            agent = snmp.Agent("sw", snmp.v2c("public"))
            host.expect("snmp.get").answers([types.SimpleNamespace(name="1.3", value=types.SimpleNamespace(value=7))])
            self.assertEqual(agent.get_one("1.3"), 7)
            host.expect("job_nodes.list", "p", 10, 2).answers(["a", "b"])
            self.assertEqual(job_nodes.page("p", 10, 2), ["a", "b"])

    def test_a_prompt_is_learned_and_a_banner_that_looks_like_one_is_not_taken_for_it(self):
        pieces = [b"login: ", b"\r\nsw1> ", b"show\r\nfake#\r\nmore\r\nsw1(config)# "]
        sent = []
        talk = types.SimpleNamespace(send=sent.append, receive=lambda _seconds: pieces.pop(0) if pieces else b"")
        with Host():
            dialogue = Dialogue(talk)
            self.assertEqual(dialogue.wait_for_any(["assword:", re.compile("login: $")])[0], 1)
            prompt = dialogue.learn_prompt()
            self.assertEqual(dialogue.command("show", prompt), "fake#\nmore\n")
        self.assertEqual(sent, [b"show\n"])

    def test_errors_of_the_host_say_what_was_tried(self):
        with Host() as host, self.assertRaises(HostError) as caught:
            host.expect("net_probe.icmp_echo", "db").fails("timed-out")
            net_probe.icmp_echo("db", 5)
        self.assertEqual((caught.exception.reason, caught.exception.kind), ("timed-out", "timed-out"))
        self.assertIn("db", caught.exception.message)


if __name__ == "__main__":
    unittest.main()
