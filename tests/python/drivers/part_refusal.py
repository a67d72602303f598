# SPDX-License-Identifier: Apache-2.0
"""Starts that must fail: at once, clearly, and nothing is left of them."""

import os
import time

from cases import TARGET, DriverCase
from pwemu_fixture import FIRMWARE

AT_ONCE_S = 30  # on a busy machine; pw_emu takes one or two minutes


class Refusals(DriverCase):
    def assert_refused(self, says, *words, image="hello.elf", start_code=1, run_code=125):
        """By start and by run."""
        image = self.board.firmware(image)
        for command, code in ((["start", TARGET, "-f", image], start_code), (["run", TARGET, image], run_code)):
            begin = time.monotonic()
            done = self.run_any(*command, *words)
            self.assertLess(time.monotonic() - begin, AT_ONCE_S)
            self.assertEqual((done.returncode, done.out), (code, ""), done.err)
            self.assertIn(says, done.err)
            self.assert_nothing_left()

    def assert_works_afterwards(self):
        self.configure()
        self.boot_echo()
        self.assert_echoes()

    def test_no_image(self):
        self.assert_refused("nowhere.elf", image=os.path.join(self.work, "nowhere.elf"))
        self.assert_works_afterwards()

    def test_bad_images(self):
        for name in ("truncated.elf", "wrong-arch.elf", "elsewhere.elf", "text.elf"):
            self.assert_refused(name, image=os.path.join(FIRMWARE, "bad", name))
        self.assert_works_afterwards()

    def test_no_machine(self):
        """In the emulator's own words."""
        self.configure(machine=self.board.bad_machine)
        self.assert_refused(self.board.bad_machine_says)
        self.assert_works_afterwards()

    def test_bad_option(self):
        self.assert_refused(self.board.bad_option_says, "--args=--no-such-option")
        self.assert_works_afterwards()

    def test_no_emulator(self):
        self.configure(executable="no-such-emulator")
        self.assert_refused("no-such-emulator", run_code=127)
        self.assert_works_afterwards()

    def test_emulator_that_cannot_be_executed(self):
        with open(self.path("emulator"), "w", encoding="ascii") as file:
            file.write("nothing")
        self.configure(executable=self.path("emulator"))
        self.assert_refused(self.path("emulator"), run_code=126)

    def test_emulator_that_ends(self):
        """At once, with words of its own."""
        with open(self.path("emulator"), "w", encoding="ascii") as file:
            file.write("#!/bin/sh\necho these are my words >&2\nexit 3\n")
        os.chmod(self.path("emulator"), 0o755)
        self.configure(executable=self.path("emulator"))
        self.assert_refused("these are my words")
        self.assert_works_afterwards()

    def test_no_target(self):
        self.refused("start", TARGET + "x", "-f", self.board.firmware("hello.elf"), says=TARGET)
        self.assert_nothing_left()

    def test_not_running(self):
        self.boot("hello.elf")
        self.on("default", "stop")
        for words in (("stop",), ("reset",), ("pause",), ("resume",), ("load", self.board.firmware("hello.elf")), ("prop-ls", "/"), ("send", "x")):
            self.refused(*words, says="not running")
