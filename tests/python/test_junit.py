# SPDX-License-Identifier: Apache-2.0
"""pwemu run --junit and --log-dir: what they leave of runs that end in every way, and that they change no exit code."""

import hashlib
import json
import os
import re
import signal
import socket
import sys
import unittest
import xml.etree.ElementTree as ElementTree

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from pwemu_cli import CliCase  # noqa: E402
from pwemu_fixture import BOARD, firmware, wait_for  # noqa: E402

HANG = ("--timeout", "1s")


class ReportCase(CliCase):
    def path(self, name):
        return os.path.join(self.work, name)

    def run_tests(self, mode, *words, code=0):
        return self.pwemu("run", BOARD, firmware("gtest.elf"), *words, "--", mode, code=code)

    def suite(self, name="j.xml"):
        """The file's one suite; its numbers are those of its cases."""
        suite = ElementTree.parse(self.path(name)).getroot()
        self.assertEqual(suite.tag, "testsuite")
        for attribute, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            self.assertEqual(int(suite.get(attribute)), len(suite.findall(f"testcase/{tag}")), attribute)
        self.assertEqual(int(suite.get("tests")), len(suite.findall("testcase")))
        self.assertRegex(suite.get("timestamp"), r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d$")
        self.assertGreaterEqual(float(suite.get("time")), 0)
        self.assertEqual(suite.get("hostname"), socket.gethostname())
        return suite

    def cases(self, name="j.xml"):
        """[(SUITE.TEST, what became of it)]"""
        found = []
        for case in self.suite(name).findall("testcase"):
            problems = [child.tag for child in case if child.tag != "system-out"]
            self.assertLessEqual(len(problems), 1)
            found.append((f"{case.get('classname')}.{case.get('name')}", problems[0] if problems else "passed"))
        return found

    def properties(self, name="j.xml"):
        return {item.get("name"): item.get("value") for item in self.suite(name).findall("properties/property")}

    def result(self, directory="logs"):
        with open(self.path(os.path.join(directory, "result.json")), encoding="utf-8") as file:
            return json.load(file)

    def nothing_temporary(self, directory="."):
        self.assertEqual([name for name in os.listdir(self.path(directory)) if name.endswith(".tmp")], [])


class Junit(ReportCase):
    def test_googletest(self):
        shown = self.run_tests("fails", "--junit", "j.xml", code=1)
        self.assertIn("[  FAILED  ] Sum.Big", shown)  # what is printed stays as it is
        self.assertEqual(self.cases(), [("Sum.Small", "passed"), ("Sum.Big", "failure"), ("Sum.Later", "skipped")])
        small, big, later = self.suite().findall("testcase")
        self.assertEqual([float(case.get("time")) for case in (small, big, later)], [0.003, 0.012, 0])
        self.assertEqual(small.find("system-out").text, "adding 1 and 2\n")
        failure = "sum_test.cc:12: Failure\nExpected equality of these values:\n  sum(1, 2)\n    Which is: 4\n  3\n"
        self.assertEqual(big.find("failure").text, failure)
        self.assertEqual(big.find("failure").get("message"), "sum_test.cc:12: Failure: Expected equality of these values:")
        self.assertEqual(later.find("skipped").get("message"), "sum_test.cc:20: Skipped: not on this board")
        self.assertIn("3 tests from Sum", self.suite().find("system-out").text)
        self.nothing_temporary()

    def test_all_is_well(self):
        self.run_tests("gtest", "--junit", "j.xml")
        self.assertEqual(self.cases(), [("Sum.Small", "passed"), ("Sum.Later", "skipped")])

    def test_properties(self):
        self.run_tests("gtest", "--junit", "j.xml", "-i", "mine")
        found = self.properties()
        wanted = {"target": BOARD, "instance": "mine", "emulator": "qemu", "boots": "1", "verdict": "passed", "exit-code": "0",
                  "exit-reason": "guest finished with code 0", "exit-cause": "finished"}
        self.assertEqual({name: found.get(name) for name in wanted}, wanted)
        self.assertIn("-machine lm3s6965evb", found["command-line"])
        self.assertRegex(found["pwemu-command-line"], r"run .*gtest\.elf --junit j\.xml -i mine -- gtest$")
        self.assertEqual(found["pwemu-version"], found["pwemud-version"])

    def test_the_code_is_the_guests(self):
        self.run_tests("lies", "--junit", "j.xml")
        self.assertEqual(self.cases(), [("Sum.Small", "passed"), ("Sum.Big", "failure")])
        self.assertIn("1 of 2 test cases failed, see j.xml; the exit code is still that of the run: 0", self.last_err)
        self.assertTrue(self.last_err.splitlines()[-1].endswith(": passed: guest finished with code 0"))

    def test_a_crash_within_a_test(self):
        self.run_tests("crash", "--junit", "j.xml", code=134)
        self.assertEqual(self.cases(), [("Sum.Small", "passed"), ("Sum.Wild", "error")])
        wild = self.suite().findall("testcase")[1]
        self.assertEqual(wild.find("error").get("type"), "guest-fault")
        self.assertRegex(wild.find("error").get("message"), "^guest-fault: .*Lockup")
        self.assertEqual(wild.find("system-out").text, "about to fault\n")

    def test_a_crash_after_the_tests(self):
        self.run_tests("late", "--junit", "j.xml", code=134)
        self.assertEqual(self.cases(), [("Sum.Small", "passed"), (BOARD + ".gtest.elf", "error")])

    def test_a_timeout_within_a_test(self):
        self.run_tests("hang", "--junit", "j.xml", *HANG, code=124)
        self.assertEqual(self.cases(), [("Sum.Small", "passed"), ("Sum.Endless", "error")])
        endless = self.suite().findall("testcase")[1]
        self.assertEqual(endless.find("error").get("message"), "timeout: still running after 1 s")
        self.assertEqual(endless.find("system-out").text, "waiting\n")
        self.assertEqual(self.properties()["verdict"], "timeout")

    def test_an_interrupt(self):
        process = self.popen("run", BOARD, firmware("gtest.elf"), "--junit", "j.xml", "--log-dir", "logs", "--", "hang")
        os.set_blocking(process.stdout.fileno(), False)
        seen = bytearray()
        wait_for(lambda: seen.extend(process.stdout.read() or b"") or b"waiting" in seen, "the test to begin")
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(30), 128 + signal.SIGTERM)
        self.assertEqual(self.cases(), [("Sum.Small", "passed"), ("Sum.Endless", "error")])
        self.assertEqual(self.properties()["verdict"], "interrupted")
        self.assertEqual((self.result()["verdict"], self.result()["exit_code"]), ("interrupted", 143))
        with open(self.path("logs/serial0.log"), "rb") as file:
            self.assertTrue(file.read().endswith(b"Sum.Endless\nwaiting"))

    def test_pigweed(self):
        self.run_tests("pigweed", "--junit", "j.xml", code=1)
        self.assertEqual(self.cases(), [("Queue.Empty", "passed"), ("Queue.Full", "failure"), ("Queue.Later", "skipped")])
        full = self.suite().findall("testcase")[1]
        self.assertRegex(full.find("failure").get("message"), r"ERR  queue_test\.cc:41: Failure: .*Expected: queue\.full\(\) == true")

    def test_ztest(self):
        self.run_tests("ztest", "--junit", "j.xml", code=1)
        self.assertEqual(self.cases(), [("list.test_append", "passed"), ("list.test_remove", "failure"), ("list.test_later", "skipped")])
        remove = self.suite().findall("testcase")[1]
        self.assertEqual(remove.find("failure").get("message"), "Assertion failed at src/main.c:31: list_test_remove: (n == 0 is false)")
        self.assertEqual(float(remove.get("time")), 0.011)

    def test_all_channels(self):
        self.run_tests("twice", "--junit", "j.xml", "-n", "all", code=1)
        self.assertEqual(sorted(self.cases()), [("serial0.Sum.Small", "passed"), ("serial1.Sum.Small", "failure")])
        self.run_tests("twice", "--junit", "j.xml", code=1)  # the console alone, so the failure is the run's
        self.assertEqual(self.cases(), [("Sum.Small", "passed"), (BOARD + ".gtest.elf", "failure")])

    def test_bytes_that_xml_has_not(self):
        self.run_tests("bytes", "--junit", "j.xml")
        self.assertEqual(self.suite().find("testcase/system-out").text, r"\x01<&" + "\n")
        self.assertIn("<&>\"' ]]> \\x01\\x1b[1m\\xff\u00e9\\xef\\xbf\\xbe end\n", self.suite().find("system-out").text)

    def test_no_tests(self):
        self.pwemu("run", BOARD, firmware("hello.elf"), "--expect", "hello", "--junit", "j.xml")
        self.assertEqual(self.cases(), [(BOARD + ".hello.elf", "passed")])
        self.assertEqual(self.suite().find("testcase/system-out").text, "hello from lm3s6965evb\n")
        self.pwemu("run", BOARD, firmware("hello.elf"), "--timeout", "300ms", "--expect", "never", "--junit", "j.xml", code=124)
        self.assertEqual(self.cases(), [(BOARD + ".hello.elf", "error")])

    def test_a_reader_that_does_not_read_costs_nothing(self):
        """stdout is full when the time is up; the report and the logs have what was never shown."""
        process = self.popen("run", BOARD, firmware("seq.elf"), "--timeout", "2s", "--junit", "j.xml", "--log-dir", "logs")
        self.assertEqual(process.wait(60), 124)
        with open(self.path("logs/serial0.log"), "rb") as file:
            log = file.read().replace(b"\r\n", b"\n").decode()
        text = self.suite().find("testcase/system-out").text
        self.assertGreater(len(log), len(process.stdout.read()))
        self.assertGreaterEqual(text.count("bytes left out"), 1)
        log, text = log.rstrip("\n"), text.rstrip("\n")
        self.assertEqual((text[:1000], text[-1000:]), (log[:1000], log[-1000:]))

    def test_a_closed_stdout(self):
        process = self.popen("run", BOARD, firmware("gtest.elf"), "--junit", "j.xml", "--", "hang")
        process.stdout.close()
        self.assertEqual(process.wait(30), 128 + signal.SIGPIPE)
        self.assertEqual(self.cases()[-1][1], "error")
        self.assertEqual(self.properties()["verdict"], "interrupted")

    def test_it_does_not_start(self):
        self.refused("run", "no-such-board", firmware("hello.elf"), "--junit", "j.xml", code=125, says="no target")
        self.assertEqual(self.cases(), [("no-such-board.hello.elf", "error")])
        self.refused("run", BOARD, "/nowhere/app.elf", "--junit", "j.xml", code=125, says="/nowhere/app.elf")
        self.assertEqual(self.cases(), [(BOARD + ".app.elf", "error")])
        self.pwemu("run", BOARD, firmware("hello.elf"), "--args=-no-such-option", "--junit", "j.xml", code=125)
        self.assertEqual(self.properties()["verdict"], "emulator-error")

    def test_it_cannot_be_written(self):
        os.mkdir(self.path("dir"))
        for name in ("/nowhere/j.xml", "dir", ""):
            done = self.run_any("run", BOARD, firmware("hello.elf"), "--junit", name, "--result", "verdict")
            self.assertEqual((done.returncode, done.out), (125, ""))
            self.assertIn(f'--junit: write "{name}": ', done.err)
            with open(self.path("verdict"), encoding="ascii") as file:
                self.assertEqual(file.read(), "pwemu-error\n")
        self.assertEqual(json.loads(self.pwemu("ls", "-a", "-o", "json")), [])  # nothing was started

    def test_it_cannot_be_written_any_more(self):
        """What was there at the start may be gone in the end: a run that went well has not then."""
        os.mkdir(self.path("dir"))
        process = self.popen("run", BOARD, firmware("slow.elf"), "--expect", "tick 3", "--junit", "dir/j.xml")
        self.assertTrue(process.stdout.read(1))
        os.rmdir(self.path("dir"))
        self.assertEqual(process.wait(30), 125)
        self.assertIn(b'--junit: write "dir/j.xml": No such file', process.stderr.read())

    def test_an_old_file_is_not_taken_for_a_new_one(self):
        with open(self.path("j.xml"), "w", encoding="ascii") as file:
            file.write("old")
        process = self.popen("run", BOARD, firmware("slow.elf"), "--junit", "j.xml")
        self.assertTrue(process.stdout.read(1))
        process.kill()
        process.wait()
        self.assertFalse(os.path.exists(self.path("j.xml")))
        self.nothing_temporary()

    def test_to_a_pipe(self):
        done = self.run_any("run", BOARD, firmware("gtest.elf"), "--junit", "/dev/stderr", "--", "gtest")
        self.assertEqual(done.returncode, 0, done.err)
        text = re.search(r"<\?xml.*</testsuite>", done.err, re.S).group()
        self.assertEqual(len(ElementTree.fromstring(text).findall("testcase")), 2)


class LogDir(ReportCase):
    def test_what_it_keeps(self):
        shown = self.run_tests("fails", "--log-dir", "logs/of/run", code=1)
        result = self.result("logs/of/run")
        self.assertEqual((result["verdict"], result["message"], result["exit_code"], result["exit_reason"]),
                         ("failed", "guest finished with code 1", 1, "finished"))
        self.assertEqual((result["target"], result["emulator"], result["boots"]), (BOARD, "qemu", 1))
        with open(firmware("gtest.elf"), "rb") as file:
            image = file.read()
        self.assertEqual(result["images"], [{"path": firmware("gtest.elf"), "size": len(image),
                                             "sha256": hashlib.sha256(image).hexdigest()}])
        self.assertEqual(result["command"][1:], ["run", BOARD, firmware("gtest.elf"), "--log-dir", "logs/of/run", "--", "fails"])
        self.assertIn("lm3s6965evb", result["argv"])
        self.assertEqual(result["versions"]["pwemu"], result["versions"]["pwemud"])
        self.assertLess(result["began_ns"], result["ended_ns"])
        files = {entry["channel"]: entry for entry in result["files"]}
        self.assertEqual(set(files), {"serial0", "serial1", "serial2", "semihosting", "emulator"})
        for entry in result["files"]:
            self.assertIsNone(entry["problem"])
            self.assertEqual(os.path.getsize(self.path("logs/of/run/" + entry["file"])), entry["size"])
        with open(self.path("logs/of/run/serial0.log"), "rb") as file:
            self.assertEqual(file.read().replace(b"\r\n", b"\n"), shown.replace("\r\n", "\n").encode())
        self.assertEqual(sorted(os.listdir(self.path("logs/of/run"))), sorted([entry["file"] for entry in result["files"]] + ["result.json"]))

    def test_exact_bytes(self):
        self.run_tests("bytes", "--log-dir", "logs", "--rm")
        with open(self.path("logs/serial0.log"), "rb") as file:
            text = file.read()
        self.assertTrue(text.startswith(b"<&>\"' ]]> \x01\x1b[1m\xff\xc3\xa9\xef\xbf\xbe end\n"))
        self.assertEqual(json.loads(self.pwemu("ls", "-a", "-o", "json")), [])  # --rm did its work

    def test_a_crash(self):
        self.run_tests("crash", "--log-dir", "logs", code=134)
        self.assertIn("Lockup", self.result()["exit_details"])
        with open(self.path("logs/emulator.log"), encoding="ascii") as file:
            self.assertIn("Lockup", file.read())

    def test_only_this_start(self):
        for mode in ("gtest", "lies"):
            self.run_tests(mode, "-i", "board", "--log-dir", "logs")
        with open(self.path("logs/serial0.log"), "rb") as file:
            text = file.read()
        self.assertEqual((text.count(b"Sum.Big"), text.count(b"[==========]")), (3, 1))

    def test_it_does_not_start(self):
        self.refused("run", "no-such-board", firmware("hello.elf"), "--log-dir", "logs", code=125, says="no target")
        result = self.result()
        self.assertEqual((result["verdict"], result["exit_code"], result["target"], result["files"]),
                         ("pwemu-error", 125, "no-such-board", []))
        self.pwemu("run", BOARD, firmware("hello.elf"), "--args=-no-such-option", "--log-dir", "logs", code=125)
        with open(self.path("logs/emulator.log"), encoding="ascii") as file:
            self.assertIn("no-such-option", file.read())

    def test_it_cannot_be_written(self):
        with open(self.path("file"), "w", encoding="ascii"):
            pass
        for name, why in (("file", "Not a directory"), ("file/x", "Not a directory"), ("/proc/x", "No such file")):
            self.refused("run", BOARD, firmware("hello.elf"), "--log-dir", name, code=125, says=why)
        self.refused("run", BOARD, firmware("hello.elf"), "--log-dir", "file", "--junit", "j.xml", code=125, says='--log-dir: make "file": ')
        self.assertEqual(self.cases(), [(BOARD + ".hello.elf", "error")])
        os.makedirs(self.path("logs/serial0.log"))
        self.run_tests("gtest", "--log-dir", "logs", code=125)
        self.assertIn('write "logs/serial0.log": Is a directory', self.last_err)
        problems = {entry["channel"]: entry["problem"] for entry in self.result()["files"]}
        self.assertIn("Is a directory", problems["serial0"])
        self.assertIsNone(problems["emulator"])
        self.assertEqual(self.result()["exit_code"], 125)


if __name__ == "__main__":
    unittest.main()
