"""The SDK without a component: what a tool's class says of itself, what is made of options, and what the fake host refuses."""

import enum
import re
import types
import unittest
import unittest.mock

from autoexec_sdk import (
    Call, Change, Dialogue, Effect, Failure, HostError, Lines, Seconds, Secret, Tool, clock, connection, context, documents, filesystem,
    group, http, interact, job_nodes, net_probe, option, output, program, result, secret, snmp, step_outputs, target,
)
from autoexec_sdk import defects
from autoexec_sdk.capabilities.job import Node
from autoexec_sdk.testing import ANY, Host, Script
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
            host.expect("http", "PUT", "http://a/1", sent, b"a=b+c&d=%26", 60.0).answers((200, [], b""))
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
            nodes = [Node(7, "a", None, "n", "Linux", "ssh", 22, "root")]
            host.expect("job_nodes.list", "p", 10, 2).answers(nodes)
            self.assertEqual(job_nodes.page("p", 10, 2), nodes)

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

    def test_options_of_all_types_groups_and_choices(self):
        class Mode(enum.Enum):
            FAST = "fast"
            VERY_SLOW = "slow"

        class Proof:
            password: Secret | None = option("Password", name="pass")

        class Account:
            user: str = option("Account")
            proof = group(Proof)

        class Common:
            verbose: bool = option("Verbose", default=False)

        class Grouped(Tool):
            class Options(Common):
                wait: Seconds = option("Wait", default=5)
                lines: Lines = option("Lines", default=None)
                names: list[str] = option("Names", default=["a"])
                mode: Mode = option("Mode", default="fast", validate="enchar")
                account = group(Account)
                more: object = option("More", required=False, default=None)
                port: int | None = option("Port")

        told = {entry["opt"]: entry for entry in describe(Grouped)["options"]}
        self.assertEqual(list(told), ["verbose", "wait", "lines", "names", "mode", "user", "pass", "more", "port"])
        kinds = ["select", "text", "textarea", "json", "select", "text", "password", "json", "text"]
        self.assertEqual([entry["type"] for entry in told.values()], kinds)
        self.assertEqual(told["mode"]["dataSource"]["dataList"][1], {"text": "Very slow", "value": "slow"})
        self.assertEqual((told["mode"]["validate"], told["mode"]["defaultValue"]), (["enchar"], "fast"))
        self.assertEqual([name for name, entry in told.items() if entry["required"]], ["user"])
        given, unknown = read_options(Grouped, {
            "wait": "1.5", "lines": "a\\n b \n", "names": '["x", 1]', "mode": "slow", "user": "me", "pass": "ref", "account": "me",
            "more": '{"x": 1}',
        })
        self.assertEqual((given.wait, given.lines, given.names, given.mode), (1.5, ["a", "b"], ["x", "1"], Mode.VERY_SLOW))
        self.assertEqual((given.account.user, given.account.proof.password, unknown), ("me", "ref", ["account"]))
        self.assertEqual((given.more, given.port, given.verbose), ({"x": 1}, None, False))
        self.assertEqual(read_options(Grouped, {"user": "me"})[0].mode, Mode.FAST)
        for wrong, part in [({"wait": "-1"}, "`wait`"), ({"mode": "x"}, "is not one of fast, slow"), ({"names": "{}"}, "`names`"), ({}, "`user`: it is missing")]:
            with self.assertRaises(Failure) as caught:
                read_options(Grouped, wrong if "user" in part else {"user": "me", **wrong})
            self.assertIn(part, caught.exception.message)

    def test_a_mistake_in_a_description_is_an_error_where_the_class_stands(self):
        class Bare:
            host: str

        class Undescribed:
            host: str = "localhost"

        class Type:
            host: bytes = option("Host")

        class Default:
            port: int = option("Port", default="x")

        class Helpless:
            port: int = option("")

        class Twice:
            first: str = option("First", name="x")
            second: str = option("Second", name="x")

        class Unknown:
            host: "Nothing" = option("Host")  # noqa: F821

        for owner, part in [
            (Bare, "`host` is not described"), (Undescribed, "`host` is not described"), (Type, "is not a type of options"),
            (Default, "the default does not fit"), (Helpless, "say what `port` is"), (Twice, "`x` is there twice"), (Unknown, "Nothing"),
        ]:
            with self.subTest(owner.__name__), self.assertRaises(TypeError) as caught:
                type("Wrong", (Tool,), {"Options": owner})
            self.assertIn(part, str(caught.exception))
        with self.assertRaises(TypeError) as caught:
            option("Host", kind="strng")
        self.assertIn("`strng` is not a kind of option", str(caught.exception))
        with self.assertRaises(TypeError) as caught:
            type("Wrong", (Tool,), {"Outputs": type("Outputs", (), {"rows": "Rows"})})
        self.assertIn("`rows` is not described", str(caught.exception))

    def test_outputs_have_names_and_defaults(self):
        class Named(Tool):
            class Outputs:
                rows = result("Rows", name="rowCount", default=0)
                table = result("Table", kind="json", label="All of it")

            def run(self, call):
                output.put(rowCount=3, table=call.text_arguments())

        told = describe(Named)["outputs"]
        self.assertEqual(told[0], {"opt": "rowCount", "name": "RowCount", "help": "Rows", "type": "text", "defaultValue": "0"})
        self.assertEqual((told[1]["name"], "defaultValue" in told[1]), ("All of it", False))
        with Host() as host:
            host.run(Named, ["a", {"b": 1}])
            self.assertEqual(host.outputs, {"rowCount": 3, "table": ["a", '{"b": 1}']})

    def test_a_failure_says_more_on_its_way_out(self):
        with Host() as host, self.assertRaises(HostError) as caught:
            host.expect("net_probe.tcp_connect", "::1", 22).fails("refused")
            with context("the database of shop", exit_code=300):
                net_probe.tcp_connect("::1", 22)
        self.assertEqual(str(caught.exception), "the database of shop: connecting to [::1]:22: refused, nobody listens there")
        self.assertEqual((caught.exception.exit_code, caught.exception.kind), (255, "unreachable"))
        self.assertEqual(Change.removed("x", "1"), Change("x", "1", None))
        self.assertEqual(Call(None, [1, "a"]).text_arguments(), ["1", "a"])

    def test_a_download_ends_in_the_file_or_leaves_nothing(self):
        with Host() as host:
            host.files.writable("/out")
            told = []
            host.expect("http", "GET", "http://a/x").answers((200, [], [b"con", b"tent"]))
            self.assertEqual(http.get("http://a/x").save("/out/x", 7, told.append), 7)
            self.assertEqual((host.files.content("/out/x"), told), (b"content", [3, 7]))
            host.expect("http", "GET", "http://a/y").answers((200, [], [b"con", b"tent"]))
            with self.assertRaises(HostError) as caught:
                http.get("http://a/y").save("/out/y", 6)
            self.assertEqual((caught.exception.reason, host.files.paths()), ("too-large", ["/out/x"]))

    def test_bodies_come_and_go_in_pieces(self):
        with Host() as host:
            host.files.readable("/in").file("/in/x", b"ab" * (1 << 20))
            length = [("content-length", str(2 << 20))]
            host.expect("http", "PUT", "http://a/x", length, b"ab" * (1 << 20)).answers((201, [], b""))
            self.assertTrue(http.put("http://a/x", file="/in/x").is_success)
            host.expect("http", "POST", "http://a/y", [("content-length", "4")], b"abcd").answers((200, [], [b"1", b"2"]))
            answer = http.post("http://a/y", body=(piece for piece in [b"ab", b"cd"]), length=4)
            self.assertEqual((next(answer.chunks()), answer.body), (b"1", b"2"))
            with self.assertRaises(TypeError):
                http.post("http://a/y", body=iter([b"a"]))
            host.expect("http", "PUT", "http://a/z").answers((307, [("location", "/w")], b""))
            with self.assertRaises(HostError) as caught:
                http.put("http://a/z", file="/in/x", redirects=1)
            self.assertIn("a redirect asks for a body again", caught.exception.message)
            host.expect("http", "GET", "http://a/v").answers((404, [], [b"no such\n ", b"page"]))
            with self.assertRaises(Failure) as caught:
                http.get("http://a/v").require_success()
            self.assertEqual(caught.exception.message, "GET http://a/v: the answer has the status 404: no such page")

    def test_what_is_no_usable_url_is_refused_before_anything_is_sent(self):
        for url in ["ftp://a/", "a.example", "http:///x", "http://u:p@a/", "http://a b/", "http://a:x/", "http://\u00e4/"]:
            with self.subTest(url), Host(), self.assertRaises(HostError) as caught:
                http.get(url)
            self.assertEqual(caught.exception.reason, "invalid-url")

    def test_files_of_the_fake_behave_as_on_a_disk(self):
        with Host() as host:
            host.files.writable("/data").file("/data/a/b.txt", "one")
            self.assertEqual(filesystem.read_at("/data/a/b.txt", 1, 10), b"ne")
            filesystem.append("/data/a/b.txt", " two")
            with self.assertRaises(HostError) as caught:
                filesystem.remove("/data/a")
            self.assertEqual(caught.exception.reason, "wrong-kind")
            filesystem.rename("/data/a", "/data/c")
            self.assertEqual(filesystem.read_text("/data/c/b.txt"), "one two")
            self.assertEqual([entry.name for entry in filesystem.list_directory("/data")], ["c"])
            self.assertFalse(filesystem.exists("/data/a"))
            filesystem.set_mode("/data/c/b.txt", 0o644)
            filesystem.set_modified("/data/c/b.txt", 7)
            entry = filesystem.stat("/data/c/b.txt")
            self.assertEqual((entry.mode, entry.modified, entry.size, entry.is_directory), (0o644, 7, 7, False))
        for act in [lambda: filesystem.read("/etc/passwd"), lambda: filesystem.write("/in/x", "")]:
            with self.assertRaises(AssertionError), Host() as host:
                host.files.readable("/in")
                act()

    def test_a_script_is_the_other_side_of_a_session(self):
        with Host() as host:
            script = Script().shows("login: ").expects("admin\n").shows("\r\nsw1#").expects("show run\n")
            script.shows("show run\r\nline 1\r\n --More-- ").expects(" ").shows("\b" * 10 + "line 2\r\r\n --More-- ").expects(" ")
            script.shows("\r          \rline 3 \xe4").shows("\r\n\x1b[1msw1#\x1b[0m ")
            host.expect("target.open_session", 200, 50).answers(script)
            dialogue = target.Session(200, 50).dialogue(5)
            dialogue.wait_for("login:")
            dialogue.send_line("admin")
            prompt = dialogue.learn_prompt()
            self.assertEqual(dialogue.command("show run", prompt), "line 1\nline 2\nline 3 \xe4\n")

    def test_characters_and_sequences_in_two_pieces_are_kept_together(self):
        with Host() as host:
            script = Script().shows(b"\xe4\xb8").shows(b"\xad\x1b[3").shows(b"1m>").ends()
            host.expect("target.open_session").answers(script)
            dialogue = target.Session().dialogue()
            self.assertEqual(dialogue.wait_for_any([re.compile(".*>$")]).matched, "\u4e2d>")
            with self.assertRaises(Failure) as caught:
                dialogue.wait_for("#")
        self.assertEqual(caught.exception.kind, "unreachable")

    def test_a_limit_on_silence_begins_again_with_what_comes(self):
        for on_silence in [True, False]:
            with Host() as host:
                host.expect("connection.connect", "sw", 23).answers(Script().shows("a").pauses(4).shows("b").pauses(4).shows("sw#"))
                dialogue = Dialogue(connection.Stream("sw", 23), 5, on_silence=on_silence)
                if on_silence:
                    self.assertEqual(dialogue.wait_for("sw#"), "ab")
                else:
                    with self.assertRaises(Failure) as caught:
                        dialogue.wait_for("sw#")
                    self.assertEqual(caught.exception.kind, "timed-out")
                    self.assertIn("'ab'", caught.exception.message)

    def test_what_a_script_expects_and_does_not_get_fails_the_test(self):
        with self.assertRaises(AssertionError) as caught, Host() as host:
            host.expect("connection.connect", "db", 1).answers(Script().expects("QUIT"))
            connection.Stream("db", 1).send(b"QU")
        self.assertIn("QUIT", str(caught.exception))
        with self.assertRaises(AssertionError), Host() as host:
            host.expect("connection.connect", "db", 1).answers(Script().expects("QUIT"))
            connection.Stream("db", 1).send(b"HELP")

    def test_tls_and_datagrams(self):
        with Host() as host:
            host.expect("connection.connect", "db", 1).answers(Script().shows("ready\n"))
            host.expect("connection.start_tls", "db.example").answers()
            peer = connection.Stream("db", 1)
            peer.start_tls("db.example")
            self.assertEqual((peer.peer_address(), peer.receive_line()), ("db:1", "ready"))
            host.expect("connection.open_datagrams", "log", 514).answers(Script().expects("x").shows("y"))
            datagrams = connection.Datagrams("log", 514)
            datagrams.send(b"x")
            self.assertEqual((datagrams.receive(1), datagrams.receive(1)), (b"y", None))

    def test_commands_and_programs(self):
        with Host() as host:
            host.expect("target.capture").prints("up 3 days")
            self.assertEqual(target.text(target.join(["uptime", "-a b"])), "up 3 days")
            host.expect("target.capture").exits(2, "no such file\n")
            with self.assertRaises(Failure) as caught:
                target.text("cat x")
            self.assertEqual(caught.exception.message, "`cat x` on the node ended with status 2: no such file")
            host.expect("program.run").prints(b"\xff").times(2)
            self.assertEqual((program.run("tar", "-c"), program.run("tar").stdout), ((0, b"\xff", b""), b"\xff"))

    def test_answers_may_be_made_of_the_arguments_and_be_given_always(self):
        with Host() as host:
            host.expect("net_probe.tcp_connect", ANY, 22).answers_with(lambda name, port, _limit: len(name) * port).always()
            host.expect("interact.ask").answers(types.SimpleNamespace(value=["yes"]))
            self.assertEqual([net_probe.tcp_connect(name, 22) for name in ["a", "ab"]], [0.022, 0.044])
            self.assertEqual(interact.ask("Go on?", choices=["yes", "no"]), ["yes"])
            with self.assertRaises(ValueError):
                interact.ask("Go on?", kind="buttons")

    def test_a_recorded_device_answers(self):
        with Host() as host:
            host.snmp_recorded("sw", (
                '.1.3.1.0 = STRING: "two\nlines"\n.1.3.2.1 = INTEGER: 6\n.1.3.2.2 = Hex-STRING: 00 1B 21 \n'
                '.1.3.3.0 = Timeticks: (4212) 0:00:42.12\n.1.3.4.0 = OID: .1.3.6\n.1.3.20.0 = Counter64: 18446744073709551615\n'
            ))
            agent = snmp.Agent("sw", snmp.v3("monitor", ("sha256", "ref-1"), ("aes128", "ref-2")))
            self.assertEqual(snmp.to_text(agent.get_one("1.3.1.0")), "two\nlines")
            self.assertEqual(agent.get("1.3.3.0", "1.3.4.0", "1.3.9.0"), [("1.3.3.0", 4212), ("1.3.4.0", "1.3.6"), ("1.3.9.0", None)])
            self.assertEqual([snmp.to_text(one.value) for one in agent.walk("1.3.2")], ["6", "00:1b:21"])
            self.assertEqual(len(agent.get(*[f"1.3.{n}.0" for n in range(70)])), 70)
            self.assertEqual((snmp.index_below("1.3.2.10", "1.3.2"), snmp.index_below("1.3.2.10", "1.3.2.1")), ("10", None))
            with self.assertRaises(ValueError):
                snmp.v3("monitor", ("sha3", "x"))

    def test_outputs_of_other_nodes(self):
        with Host() as host:
            found = types.SimpleNamespace(resource_id=0, host="local", port=None, value="[1]")
            host.expect("step_outputs.find", "p", "b/t_1", "x").answers([found])
            [value] = step_outputs.find("p", "b/t_1", "x")
            self.assertEqual((value.value, value.address(), value.is_runner()), ([1], "local", True))

    def test_a_defect_is_told_with_the_authors_lines_and_without_reading_a_file(self):
        module = types.ModuleType("tool")
        module.__file__ = __file__
        lines = defects.sources(module)
        self.assertIn("import unittest", lines[__file__])
        try:
            {}["x"]
        except KeyError as error:
            with unittest.mock.patch("builtins.open", side_effect=AssertionError):
                told = defects.told(error, lines).splitlines()
        self.assertEqual(told[0], "KeyError: 'x'")
        self.assertRegex(told[1], r'^  test_sdk.py, line \d+, in test_a_defect_is_told_.*: {}\["x"\]$')

    def test_the_time_of_day_has_the_runners_zone(self):
        with Host() as host:
            host.set_time(1_704_067_200.5, 3600)
            clock.sleep(1)
            self.assertEqual((clock.now(), clock.local_now().isoformat()), (1_704_067_201.5, "2024-01-01T01:00:01.500000+01:00"))


if __name__ == "__main__":
    unittest.main()
