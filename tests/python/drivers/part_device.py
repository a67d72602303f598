# SPDX-License-Identifier: Apache-2.0
"""Properties of devices, and the emulator's own monitor."""

import json

from cases import DriverCase, wait_for


class Properties(DriverCase):
    def get(self, of):
        return json.loads(self.pwemu("-q", "prop-get", of.path, of.name, "-o", "json"))

    def test_list(self):
        """Structured, each property with its type and what can be done with it."""
        self.boot("hello.elf")
        for wanted in (self.board.number, self.board.writable, self.board.read_only):
            rows = json.loads(self.pwemu("-q", "prop-ls", wanted.path, "-o", "json"))
            self.assertTrue(all(row["name"] and row["type"] for row in rows), rows)
            row = next(row for row in rows if row["name"] == wanted.name)
            self.assertEqual({key: row.get(key) for key in wanted.row}, wanted.row)
            table = self.pwemu("-q", "prop-ls", wanted.path, "-o", "table").splitlines()
            self.assertIn(wanted.name, [line.split()[0] for line in table])

    def test_get(self):
        """Numbers are numbers."""
        self.boot("hello.elf")
        value = self.get(self.board.number)
        self.assertIsInstance(value, int)
        self.assertEqual(self.pwemu("-q", "prop-get", self.board.number.path, self.board.number.name), f"{value}\n")

    def test_set(self):
        self.boot("hello.elf")
        of = self.board.writable
        for value in self.board.values * 2:
            self.assertEqual(self.pwemu("-q", "prop-set", of.path, of.name, str(value)), "")
            self.assertEqual(self.get(of), value)
        self.pwemu("-q", "prop-set", of.path, of.name, hex(self.board.values[0]))
        self.assertEqual(self.get(of), self.board.values[0])
        self.refused("prop-set", of.path, of.name, "many", says=of.name)
        self.assertEqual(self.get(of), self.board.values[0])

    def test_read_only(self):
        """Not a silent read."""
        self.boot("hello.elf")
        of = self.board.read_only
        before = self.get(of)
        self.refused("prop-set", of.path, of.name, "9600", says="writ")
        self.assertEqual(self.get(of), before)

    def test_unknown(self):
        self.boot("hello.elf")
        of = self.board.number
        for words in (("prop-ls", self.board.no_path), ("prop-get", self.board.no_path, of.name), ("prop-set", self.board.no_path, of.name, "1")):
            self.refused(*words, says=self.board.no_path)
        self.refused("prop-get", of.path, "NoSuchThing", says="NoSuchThing")
        self.refused("prop-set", of.path, "NoSuchThing", "1", says="NoSuchThing")
        self.assertEqual(self.state(), "running")

    def test_hostile(self):
        """Words that an emulator's own language would take for more than a name."""
        self.boot("seq.elf")
        before = self.identity()
        for text in ("x; quit", "x\nquit", "quit", '"', "@/etc/passwd", "$x", "`", "a b", "x" * 300):
            for words in (("prop-get", self.board.number.path, text), ("prop-ls", text), ("prop-set", self.board.writable.path, text, "1"),
                          ("prop-set", self.board.writable.path, self.board.writable.name, text)):
                self.assertEqual(self.run_any(*words).returncode, 1, words)
        self.assertEqual(self.identity(), before)
        self.assert_runs()

    def test_paused_and_adopted(self):
        self.boot("hello.elf", "--pause")
        self.kill_daemon()
        of = self.board.writable
        for value in self.board.values:
            self.pwemu("-q", "prop-set", of.path, of.name, str(value))
            self.assertEqual(self.get(of), value)
        self.assert_silent()


class Monitor(DriverCase):
    def monitor(self):
        process = self.popen("-q", "pipe", "monitor", stdin=-1)
        self.read_until(process, self.board.monitor_prompt)
        return process

    def wait_free(self):
        wait_for(lambda: not self.writer("monitor"), "the monitor to be free")

    def test_command(self):
        """A question, its answer, the next prompt."""
        self.boot("hello.elf")
        for _ in range(2):
            process = self.monitor()
            for _ in range(3):
                self.type_in(process, self.board.monitor_question + b"\n")
                seen = self.read_until(process, self.board.monitor_answer)
                self.read_until(process, self.board.monitor_prompt, seen[seen.index(self.board.monitor_answer) :])
            self.assertIn("client of", self.writer("monitor"))
            process.stdin.close()
            self.assertEqual(process.wait(60), 0)
            self.wait_free()
        self.assertEqual(self.state(), "running")

    def test_one_at_a_time(self):
        self.boot("hello.elf")
        process = self.monitor()
        self.refused("pipe", "monitor", says="client of")
        process.kill()
        self.wait_free()
        self.monitor()

    def test_beside_the_daemons_own(self):
        """Its commands and the user's do not meet."""
        self.boot("seq.elf")
        process = self.monitor()
        of = self.board.writable
        for value in self.board.values * 3:
            self.type_in(process, self.board.monitor_question[:3])  # a line that is not finished yet
            self.pwemu("-q", "prop-set", of.path, of.name, str(value))
            self.assertEqual(self.pwemu("-q", "prop-get", of.path, of.name), f"{value}\n")
            self.pwemu("pause")
            self.assertEqual(self.state(), "paused")
            self.pwemu("resume")
            self.type_in(process, self.board.monitor_question[3:] + b"\n")
            self.read_until(process, self.board.monitor_answer)
        self.assert_runs()

    def test_daemon_dies(self):
        """The conversation ends with it; the next one begins with a prompt."""
        self.boot("hello.elf")
        process = self.monitor()
        self.type_in(process, self.board.monitor_question[:3])
        self.kill_daemon()
        self.assertEqual(process.wait(60), 1)
        process = self.monitor()
        self.type_in(process, self.board.monitor_question + b"\n")
        self.read_until(process, self.board.monitor_answer)
        self.assertEqual(self.state(), "running")

    def test_control_bytes(self):
        """None of them ends the emulator, or the daemon's hold of it."""
        self.boot("seq.elf")
        process = self.monitor()
        self.type_in(process, b"\x04\x03\x00\x1a\x7f\n")
        self.type_in(process, b"\n" + self.board.monitor_question + b"\n")
        self.read_until(process, self.board.monitor_answer)
        self.assert_runs()
        of = self.board.number
        self.assertIsInstance(json.loads(self.pwemu("-q", "prop-get", of.path, of.name)), int)

    def test_quit(self):
        """The user's quit is the end, and nothing comes back."""
        self.boot("hello.elf", "--restart", "on-failure")
        process = self.monitor()
        self.type_in(process, self.board.monitor_quit + b"\n")
        self.wait_end()
        self.assertEqual(self.info()["boot"], 1)
        self.assert_nothing_left()
