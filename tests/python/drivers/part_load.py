# SPDX-License-Identifier: Apache-2.0
"""An image into a board that runs: forms, pause, reset, refusals."""

import os
import re

from cases import PROMPT, DriverCase, wait_for
from pwemu_fixture import FIRMWARE, converted


class Load(DriverCase):
    def image(self, name, form="elf"):
        elf = self.board.firmware(name + ".elf")
        return elf if form == "elf" else converted(elf, form, self.work)

    def test_forms(self):
        """ELF, hex and bin; each runs at once, and again at a reset."""
        self.boot("hello.elf")
        self.see("hello from")
        prompts = 0
        for form in ("elf", "ihex", "binary"):
            self.assertEqual(self.pwemu("load", self.image("echo", form)), "")
            for word in (form, form + " after a reset"):
                self.wait_count(PROMPT, prompts + 1)
                self.assert_echoes(word)
                self.wait_count(PROMPT, prompts + 2)
                prompts += 2
                if word == form:
                    self.pwemu("reset")
        self.assertEqual(self.state(), "running")

    def test_pause(self):
        """Paused before the first instruction; the resume runs it."""
        self.boot("hello.elf")
        self.see("hello from")
        for number, form in enumerate(("elf", "ihex", "binary"), 1):
            self.pwemu("load", "--pause", self.image("echo", form))
            self.assert_silent()
            self.assertEqual(self.out().count(PROMPT), number - 1)
            self.pwemu("resume")
            self.wait_count(PROMPT, number)

    def test_into_a_paused_guest(self):
        """It runs afterwards."""
        self.boot("seq.elf", "--pause")
        # what it has left is taken away a moment later
        wait_for(lambda: self.popen("-q", "load", self.image("echo")).wait(60) == 0, "the load")
        self.wait_count(PROMPT, 1)
        self.assert_echoes()
        self.assertNotIn(b"00000000\n", self.out())

    def test_into_a_busy_guest(self):
        """The other image's output ends, the new one's begins; nothing is lost between."""
        self.boot("seq.elf")
        self.wait_output(self.board.output)
        self.pwemu("load", self.image("echo"))
        self.see("ready>")
        self.assert_echoes()
        text = re.match(rb"((?:[0-9a-f]{8}\n)+)[0-9a-f]{0,8}ready> ", self.out())
        self.assertIsNotNone(text)
        self.assertGreater(len(text[1]), self.board.output)

    def test_address_of_a_binary(self):
        self.boot("hello.elf")
        path = self.image("echo", "binary")
        self.pwemu("load", path + "@0x08000000")
        self.wait_count(PROMPT, 1)
        self.pwemu("load", "--offset", "0x08000000", path)
        self.wait_count(PROMPT, 2)
        self.refused("load", path + "@0x50000000", says="memory")
        self.assert_echoes()

    def test_empty_board(self):
        """A board without an image waits for one."""
        self.pwemu("-q", "start", "board", "--pause")
        self.pwemu("load", self.image("echo"))
        self.wait_count(PROMPT, 1)
        self.assert_echoes()

    def test_start_with_other_forms(self):
        for form in ("ihex", "binary"):
            self.pwemu("-q", "-i", form, "start", "board", "-f", self.image("echo", form))
            self.see("ready>", name=form)
            self.assert_echoes(name=form)
            self.on(form, "reset")
            self.wait_count(PROMPT, 3, form)

    def test_refused(self):
        """And the guest runs on as if nothing had been asked."""
        self.boot_echo()
        for name in ("wrong-arch.elf", "elsewhere.elf", "text.elf", "truncated.elf"):
            self.refused("load", os.path.join(FIRMWARE, "bad", name), says=name)
        self.refused("load", "nowhere.elf", says="nowhere.elf")
        self.assert_echoes()
        self.assertEqual(self.out().count(PROMPT), 2, "it ran on all the time")

    def test_restart_begins_with_the_start(self):
        instance = self.boot_echo()
        self.pwemu("load", self.image("hello"))
        self.see("hello from")
        self.assertEqual(self.info()["images"], [self.image("hello"), *instance["images"]])
        self.on("default", "restart")
        self.wait_count(PROMPT, 2)
        self.assertEqual(self.info()["images"], instance["images"])

    def test_new_daemon(self):
        """A reset loads it again, though the file is gone and the daemon another one."""
        self.boot("hello.elf")
        path = self.path("mine.elf")
        with open(self.image("echo"), "rb") as source, open(path, "wb") as copy:
            copy.write(source.read())
        self.pwemu("load", path)
        self.wait_count(PROMPT, 1)
        os.unlink(path)
        self.kill_daemon()
        wait_for(lambda: self.state() == "running", "it to be adopted")
        self.pwemu("reset")
        self.wait_count(PROMPT, 2)
        self.assert_echoes()

    def test_debugger_has_it(self):
        self.boot("hello.elf")
        debugger = self.attach("pipe", "gdb", channel="gdb")
        self.refused("load", self.image("echo"), says="client of")
        debugger.kill()
        wait_for(lambda: not self.writer("gdb") and self.state() == "running", "the guest to run on")
        # what the debugger has left is taken away a moment later
        wait_for(lambda: self.popen("-q", "load", self.image("echo")).wait(60) == 0, "the load")
        self.wait_count(PROMPT, 1)
