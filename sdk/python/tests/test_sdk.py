"""The SDK without a component: what a tool's class says of itself, what is made of options, and what the fake host refuses."""

import unittest

from autoexec_sdk import Effect, Failure, HostError, Secret, Tool, http, net_probe, option, output, result, secret
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

    def test_errors_of_the_host_say_what_was_tried(self):
        with Host() as host, self.assertRaises(HostError) as caught:
            host.expect("net_probe.icmp_echo", "db").fails("timed-out")
            net_probe.icmp_echo("db", 5)
        self.assertEqual((caught.exception.reason, caught.exception.kind), ("timed-out", "timed-out"))
        self.assertIn("db", caught.exception.message)


if __name__ == "__main__":
    unittest.main()
