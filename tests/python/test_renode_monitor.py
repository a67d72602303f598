# SPDX-License-Identifier: Apache-2.0
"""Renode's monitor as a channel: one user at a time beside the daemon's own commands; and properties, which are commands there."""

import json
import os
import re
import signal
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from renode_case import RenodeCase, only_fake  # noqa: E402
from cases import wait_for  # noqa: E402

PROMPT = b"(board) "


class MonitorCase(RenodeCase):
    def user(self):
        user = self.popen("-q", "pipe", "monitor", stdin=-1)
        self.read_until(user, PROMPT)
        return user

    def ask(self, user, line):
        """What it answers, without the prompt after it."""
        self.type_in(user, line.encode() + b"\n")
        return self.read_until(user, PROMPT).decode().removesuffix(PROMPT.decode())


class Users(MonitorCase):
    def test_one(self):
        """The second is refused, and told who has it."""
        self.boot("hello.elf")
        user = self.user()
        said = self.refused("pipe", "monitor")
        self.assertIn(str(user.pid), said)
        self.assertIn("client of", said)
        user.stdin.close()
        self.assertEqual(user.wait(60), 0)
        wait_for(lambda: not self.writer("monitor"), "the monitor to be free")
        self.assertRegex(self.ask(self.user(), "version"), r"^Renode, version \d")

    def test_answers(self):
        """Whole ones, each after its question: lines end as a terminal wants them, and nothing of the daemon's is among them."""
        self.boot("seq.elf")
        user = self.user()
        for _ in range(5):
            self.assertRegex(self.ask(user, "version"), r"\ARenode, version [^\r\n]*\r\n\Z")
            busy = [self.popen("-q", "prop-get", "sysbus.usart2", "BaudRate"), self.popen("-q", "prop-ls", "sysbus.cpu")]
            self.assertRegex(self.ask(user, "machine IsPaused"), r"\AFalse\r\n\Z")
            self.assertRegex(self.ask(user, "sysbus.cpu PerformanceInMips"), r"\A0x[0-9A-F]{8}\r\n\Z")
            self.assertRegex(self.ask(user, "nonsense"), r"\ANo such command or device: nonsense\r\n\Z")
            for process in busy:
                self.assertEqual(process.wait(60), 0)
        tree = self.ask(user, "peripherals")
        self.assertIn("usart2", tree)
        self.assertNotRegex(tree, r"[^\r]\n")

    def test_lines(self):
        """CR, LF, CR LF; several at once; erased characters; none, one that is too long."""
        self.boot("hello.elf")
        user = self.user()
        self.assertEqual(self.ask(user, ""), "")
        self.type_in(user, b"version\rversion\r\nversion\n")
        seen = b""
        while seen.count(b"Renode, version") < 3:
            seen += self.read_until(user, PROMPT)
        self.read_until(user, PROMPT, b"" if seen.endswith(b"\n") else seen[-len(PROMPT):])
        self.assertRegex(self.ask(user, "versionn\x7f"), "Renode, version")
        self.assertIn("too long", self.ask(user, "x" * 5000))
        self.assertRegex(self.ask(user, "version"), "Renode, version")

    def test_open_quotes(self):
        """They would leave the monitor waiting for more, for everybody; so would a macro without its text."""
        self.boot("hello.elf")
        user = self.user()
        for line in ('macro x "', 'macro x """', '"', 'echo "a" "', "macro x", "  macro  x ", "version; macro x", "macro x; version", "set x"):
            self.assertIn("with its quotes closed", self.ask(user, line))
        self.assertRegex(self.ask(user, "version"), "Renode, version")
        self.assertEqual(self.run_any("prop-get", "sysbus.usart2", "BaudRate").returncode, 0)

    def test_macro(self):
        """On one line, as ever."""
        self.boot("hello.elf")
        user = self.user()
        self.assertEqual(self.ask(user, 'macro x "version; macro y"; version').count("Renode, version"), 1)
        self.assertEqual(self.ask(user, 'macro x "version; version"'), "")
        self.assertEqual(self.ask(user, "runMacro $x").count("Renode, version"), 2)

    def test_other_machine(self):
        """Of several the user may select one; what pwemu does means the instance's all the same."""
        self.boot("seq.elf")
        user = self.user()
        for select, prompt in (('mach create "other"', b"(other) "), ("mach clear", b"(monitor) "), ('mach set "board"', PROMPT)):
            self.type_in(user, select.encode() + b"\n")
            self.read_until(user, prompt)
            self.assertIsInstance(json.loads(self.pwemu("-q", "prop-get", "sysbus.usart2", "BaudRate", "-o", "json")), int)
            before = self.out().count(b"00000000\n")
            self.pwemu("reset")
            self.wait_count(b"00000000\n", before + 1)
            self.pwemu("-q", "gdb-cmds", "info registers")
            self.type_in(user, b"machine Name\n")
            answer = {b"(monitor) ": b"No such command or device: machine"}.get(prompt, prompt[1:-2])
            self.assertEqual(self.read_until(user, prompt), answer + b"\r\n" + prompt)
        self.type_in(user, b"mach clear\n")
        self.read_until(user, b"(monitor) ")
        self.kill_daemon()
        self.pwemu("reset")
        self.assert_runs()

    def test_control(self):
        """It takes the right to control: a script of its own may do anything."""
        self.boot("hello.elf")
        row = self.channel("monitor")
        self.assertEqual(row["kind"], "monitor")
        self.assertIn("monitor", self.refused("logs", "monitor"))

    def test_quits(self):
        """However it is put."""
        for line in ("quit", "q", "  quit", "quit; version", "version; quit"):
            with self.subTest(line):
                self.boot("hello.elf", "--restart", "always")
                user = self.user()
                self.type_in(user, line.encode() + b"\n")
                end = self.wait_end()
                self.assertEqual(end["cause"], "stopped")
                self.assertEqual(self.info()["boot"], end["boot"])
                self.assert_nothing_left()


class States(MonitorCase):
    def test_start_and_pause(self):
        """By the user; the state that is shown follows."""
        self.boot("seq.elf")
        user = self.user()
        for pause, start in (("pause", "start"), ("p", "s"), ("emulation PauseAll", "emulation StartAll")):
            self.ask(user, pause)
            self.wait_state("paused")
            self.assert_silent()
            self.ask(user, start)
            self.wait_state("running")
            self.assert_runs()

    def test_beside_commands(self):
        """The user pauses, pwemu resumes, and the other way round."""
        self.boot("seq.elf")
        user = self.user()
        self.ask(user, "pause")
        self.wait_state("paused")
        self.pwemu("resume")
        self.assert_runs()
        self.pwemu("pause")
        self.ask(user, "start")
        self.assert_runs()

    def test_reset(self):
        """Of the user's, with the same macro."""
        self.boot("seq.elf")
        self.wait_output(2000)
        self.ask(self.user(), "machine Reset")
        self.wait_count(b"00000000\n", 2)
        self.assert_runs()

    @only_fake
    def test_long_command(self):
        """It delays others, and breaks nothing."""
        with self.knobs(DELAY="version:2500"):
            self.boot("seq.elf")
        user = self.user()
        self.type_in(user, b"version\n")
        waiting = [self.popen("-q", "prop-get", "sysbus.usart2", "BaudRate"), self.popen("reset"), self.popen("pause")]
        self.assertEqual([process.wait(60) for process in waiting], [0, 0, 0], [process.stderr.read() for process in waiting])
        self.read_until(user, b"Renode, version")
        self.assert_silent()
        self.pwemu("resume")
        self.assert_runs()

    @only_fake
    def test_long_command_is_no_hang(self):
        """Of Renode's: that a user's command takes its time is the user's affair."""
        self.configure(target={"hang": {"answer": "800ms", "action": "stop"}})
        with self.knobs(DELAY="version:3500"):
            self.boot("seq.elf")
        user = self.user()
        self.type_in(user, b"version\n")
        self.read_until(user, b"Renode, version")
        self.assert_runs()
        self.signal_all(signal.SIGSTOP)
        self.assertEqual(self.wait_end()["cause"], "hung")

    @only_fake
    def test_hanging_command(self):
        """What comes after it fails at its deadline and says on what; the instance can be stopped."""
        with self.knobs(HANG="version"):
            self.boot("seq.elf")
        user = self.user()
        self.type_in(user, b"version\n")
        asked = {words: self.popen("-q", *words) for words in (("prop-get", "sysbus.usart2", "BaudRate"), ("reset",), ("pause",))}
        for words, process in asked.items():
            self.assertEqual(process.wait(60), 1, words)
            self.assertRegex(process.stderr.read().decode(), "Renode has not answered \"[^\"]+\" in time", words)
        self.assertEqual(self.state(), "running")
        self.wait_output(9000)
        self.on("default", "stop", "--grace", "600ms")
        self.assertTrue(self.info()["end"]["tail_unknown"])
        self.assert_nothing_left()


class Properties(MonitorCase):
    def rows(self, path):
        return {row["name"]: row for row in json.loads(self.pwemu("-q", "prop-ls", path, "-o", "json"))}

    def get(self, path, name):
        return json.loads(self.pwemu("-q", "prop-get", path, name, "-o", "json"))

    def test_types(self):
        """Numbers, truth, enumerations and texts, each as what it is."""
        self.boot("hello.elf")
        rows = self.rows("sysbus.cpu")
        for name, kind, writable in (("PerformanceInMips", "UInt32", True), ("IsHalted", "Boolean", True), ("Model", "String", False)):
            self.assertEqual({key: rows[name][key] for key in ("type", "readable", "writable")},
                             {"type": kind, "readable": True, "writable": writable})
        self.assertEqual(self.get("sysbus.cpu", "PerformanceInMips"), 100)
        self.assertIs(self.get("sysbus.cpu", "IsHalted"), False)
        self.assertEqual(self.get("sysbus.cpu", "Model"), "cortex-m4")
        self.assertEqual(self.get("machine", "Name"), "board")
        self.assertIsInstance(self.get("sysbus.cpu", "PC"), int)
        self.assertEqual(self.get("sysbus.usart2", "ParityBit"), "None")
        self.pwemu("-q", "prop-set", "sysbus.cpu", "IsHalted", "true")
        self.assertIs(self.get("sysbus.cpu", "IsHalted"), True)
        self.pwemu("-q", "prop-set", "sysbus.cpu", "IsHalted", "false")

    def test_short_paths(self):
        """`sysbus.` may be left out."""
        self.boot("hello.elf")
        self.assertEqual(self.rows("cpu"), self.rows("sysbus.cpu"))
        self.assertEqual(self.get("usart2", "BaudRate"), self.get("sysbus.usart2", "BaudRate"))

    def test_wrong_values(self):
        self.boot("hello.elf")
        for name, value in (("PerformanceInMips", "many"), ("PerformanceInMips", "true"), ("IsHalted", "5"), ("IsHalted", "maybe")):
            said = self.refused("prop-set", "sysbus.cpu", name, value)
            self.assertIn(name, said)
        self.assertEqual(self.get("sysbus.cpu", "PerformanceInMips"), 100)

    def test_read_only(self):
        self.boot("hello.elf")
        before = self.get("sysbus.usart2", "BaudRate")
        self.assertIn("not writable", self.refused("prop-set", "sysbus.usart2", "BaudRate", "9600"))
        self.assertEqual(self.get("sysbus.usart2", "BaudRate"), before)

    def test_nearest(self):
        self.boot("hello.elf")
        self.assertIn("usart2", self.refused("prop-ls", "sysbus.uart2"))
        self.assertRegex(self.refused("prop-ls", "sysbus.usrat2"), r"usart\d")
        self.assertIn("BaudRate", self.refused("prop-get", "sysbus.usart2", "BaudRat"))
        self.assertIn("PerformanceInMips", self.refused("prop-set", "sysbus.cpu", "PerformanceInMip", "1"))

    def test_methods_are_none(self):
        """A name that is a method is no property, and is not called."""
        self.boot("hello.elf")
        before = self.identity()
        for name in ("Reset", "Pause", "Step"):
            self.refused("prop-get", "sysbus.cpu", name, says="no property")
        self.assertNotIn("Reset", self.rows("sysbus.cpu"))
        self.assertEqual(self.identity(), before)

    def test_table(self):
        self.boot("hello.elf")
        lines = self.pwemu("-q", "prop-ls", "sysbus.usart2", "-o", "table").splitlines()
        self.assertTrue(any(re.match(r"BaudRate +UInt32\b", line) for line in lines), lines)


if __name__ == "__main__":
    unittest.main()
