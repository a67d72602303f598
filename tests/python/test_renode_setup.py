# SPDX-License-Identifier: Apache-2.0
"""The set-up of a Renode, command by command: where it fails, the start does, at once and in Renode's own words, and nothing is left."""

import os
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from renode_case import LINE, REAL, SET_UP, RenodeCase, only_fake, read_proc  # noqa: E402
from cases import TARGET, wait_for  # noqa: E402

SLOW = os.environ.get("PWEMU_TEST_SLOW")
AT_ONCE_S = 20  # far below every deadline of a command


class Refused(RenodeCase):
    def refused_at_once(self, *words, image="hello.elf"):
        begin = time.monotonic()
        said = self.refusal(*words, image=image)
        self.assertLess(time.monotonic() - begin, 60 if REAL else AT_ONCE_S)
        return said

    def assert_works(self):
        self.configure()
        self.boot_echo()
        self.assert_echoes()

    @only_fake
    def test_crash(self):
        """In each command."""
        for command in SET_UP:
            with self.subTest(command), self.knobs(CRASH=command):
                self.assertIn("crashed (Aborted)", self.refused_at_once())
                self.assertEqual(self.info()["end"]["tail_unknown"], command == "start")  # else no guest has run
        self.assert_works()

    def test_no_such_device(self):
        terminals = {"usart2": {"device-path": "sysbus.nothing"}}
        self.configure(channels={"terminals": terminals})
        said = self.refused_at_once()
        self.assertIn("Renode: connector Connect sysbus.nothing", said)
        self.assertIn("signature", said)
        self.assertFalse(self.info()["end"]["tail_unknown"])
        self.assert_works()

    def test_a_device_that_is_no_uart(self):
        self.configure(channels={"terminals": {"usart2": {"device-path": "sysbus.sram"}}})
        self.assertIn("Renode: connector Connect sysbus.sram", self.refused_at_once())
        self.assert_works()

    def test_device_path_that_is_none(self):
        """What is more than a path never reaches the monitor."""
        for path in ("sysbus.usart2; quit", 'sysbus."usart2', "sysbus usart2"):
            self.configure(channels={"terminals": {"usart2": {"device-path": path}}})
            self.assertIn("device-path", self.refused_at_once())

    def test_platform_file(self):
        """Not there, in pieces, of something that is not there: with the place, as Renode tells it."""
        for text, wanted in ((None, "Could not find file"), ("this is no platform\n", "Error E"),
                             ('using "platforms/cpus/no-such-cpu.repl"\n', "no-such-cpu")):
            path = self.path("own board.repl")
            if text is not None:
                self.write("own board.repl", text)
            with self.subTest(text):
                self.configure(machine=path)
                said = self.refused_at_once()
                self.assertIn(wanted, said)
                self.assertIn("own board.repl", said)
        self.assert_works()

    def test_image_that_goes(self):
        """Between the check and the load: a helper command takes it away."""
        image = self.path("vanishing.elf")
        with open(self.board.firmware("hello.elf"), "rb") as source, open(image, "wb") as copy:
            copy.write(source.read())
        self.configure(target={"pre-start-cmds": {"thief": ["rm", image]}})
        done = self.run_any("start", TARGET, "-f", image)
        self.assertEqual(done.returncode, 1, done.err)
        self.assertIn(f"Renode: sysbus LoadELF @{image}: Parameters did not match the signature", done.err)
        self.assert_nothing_left()

    def test_option(self):
        """Its usage, and code 0."""
        said = self.refused_at_once("--args=--no-such-option")
        self.assertIn("exit code 0", said)
        self.assertIn("--no-such-option", said)
        self.assert_works()

    def test_stop_of_a_hanging_one(self):
        """A set-up that takes for ever is ended like any other start, and the start hears of it."""
        if REAL:
            self.skipTest("optional: fake: it takes a knob of the fake")
        for command in SET_UP:
            with self.subTest(command), self.knobs(HANG=command):
                start = self.popen("-q", "start", TARGET, "-f", self.board.firmware("hello.elf"))
                wait_for(lambda: self.run_any("status").returncode == 0, "it to be starting")
                wait_for(lambda: self.info()["pid"] > 0, "its process")
                self.assertEqual(self.state(), "starting")
                begin = time.monotonic()
                self.on("default", "stop", "--grace", "20s")
                self.assertLess(time.monotonic() - begin, 9)  # it does not wait for what has nothing to finish
                self.assertEqual(start.wait(60), 1)
                self.assertIn(b"stopped", start.stderr.read())
                self.assert_nothing_left()

    @unittest.skipUnless(SLOW, "optional: slow: PWEMU_TEST_SLOW=1 runs it, for a minute")
    @only_fake
    def test_hang(self):
        """Each command has a deadline; the refusal says which was not answered."""
        starts = {}
        for number, command in enumerate(SET_UP):
            with self.knobs(HANG=command):
                starts[command] = self.popen("-q", "-i", f"i{number}", "start", TARGET, "-f", self.board.firmware("hello.elf"))
        for command, process in starts.items():
            with self.subTest(command):
                self.assertEqual(process.wait(100), 1)
                self.assertIn(f'has not answered "{command}'.encode(), process.stderr.read())
        self.assert_nothing_left()


class Surroundings(RenodeCase):
    def test_own_home(self):
        """Its files are its own: neither the user's home nor where others keep theirs matters."""
        user_tmp = os.path.join(self.dir, "user-tmp")
        other = os.path.join(user_tmp, "renode-999999999")
        os.makedirs(other)
        self.environment["TMPDIR"] = user_tmp
        home = self.environment["HOME"]
        self.environment["HOME"] = "/nonexistent"
        self.boot("hello.elf")
        self.boot("hello.elf", name="second")
        self.environment["HOME"] = home
        seen = set()
        for name in ("default", "second"):
            self.see("hello from", name=name)
            rows = dict(row.split(b"=", 1) for row in read_proc(self.info(name)["pid"], "environ").split(b"\0") if b"=" in row)
            run = os.path.join(self.environment["XDG_STATE_HOME"], "pwemu/run").encode()
            for variable in (b"HOME", b"TMPDIR", b"XDG_CONFIG_HOME"):
                self.assertTrue(rows[variable].startswith(run + b"/"), rows[variable])
                seen.add(rows[variable])
            self.assertEqual(rows[b"RENODE_CI_MODE"], b"YES")
        self.assertEqual(len(seen), 6)
        self.assertTrue(os.path.isdir(other))
        self.pwemu("stop", "--all")
        self.assert_nothing_left()
        self.assertTrue(os.path.isdir(other))

    def test_names(self):
        """A project, a target and an image with blanks."""
        place = self.path("my project")
        os.mkdir(place)
        image = os.path.join(place, "my image.elf")
        os.symlink(self.board.firmware("seq.elf"), image)
        self.boot(image)
        self.wait_output(20 * LINE)
        self.pwemu("reset")
        self.wait_count(b"00000000\n", 2)

    def test_image_with_a_name_that_the_monitor_cannot_take(self):
        for name in ('a"b.elf', "a;b.elf", "a\nb.elf", "a\\b.elf"):
            image = self.path(name)
            os.symlink(self.board.firmware("seq.elf"), image)
            with self.subTest(name):
                done = self.run_any("start", TARGET, "-f", image)
                self.assertEqual(done.returncode, 1)
                self.assertIn("Renode's monitor takes no path with the character", done.err)
                self.assert_nothing_left()


if __name__ == "__main__":
    unittest.main()
