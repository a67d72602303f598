# SPDX-License-Identifier: Apache-2.0
"""What the tests of Renode alone share. They are for the fake and, with PWEMU_TEST_RENODE=/path/to/renode, for a real one; what only the
fake can do is skipped there."""

import contextlib
import json
import os
import sys
import unittest
from unittest import mock

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "drivers")]

from cases import DriverCase, read_proc  # noqa: E402
import cases  # noqa: E402
from boards import Renode  # noqa: E402
import pwemu_cli  # noqa: E402

REAL = os.environ.get("PWEMU_TEST_RENODE")
LINE = 9  # of seq.elf
# The set-up's commands, in their order; FAKE_RENODE_* take them as prefixes.
SET_UP = ("logFile", "mach create", "machine LoadPlatformDescription", "emulation CreateUartPtyTerminal", "connector Connect",
          "sysbus LoadELF", "macro reset", "start")
# For a real one: what test firmware needs, and nothing that has to be downloaded.
PLATFORM = """\
nvic: IRQControllers.NVIC @ sysbus 0xE000E000
    priorityMask: 0xF0
    systickFrequency: 72000000
    IRQ -> cpu@0

cpu: CPU.CortexM @ sysbus
    cpuType: "cortex-m4"
    nvic: nvic

flash: Memory.MappedMemory @ sysbus 0x08000000
    size: 0x100000

sram: Memory.MappedMemory @ sysbus 0x20000000
    size: 0x00020000

usart2: UART.STM32_UART @ sysbus 0x40004400
    IRQ -> nvic@38
"""

only_fake = unittest.skipIf(REAL, "optional: fake: it takes a knob of the fake")


def network_of(pid):
    return os.readlink(f"/proc/{pid}/ns/net")


class RenodeCase(DriverCase):
    board = Renode(has_network=False)

    def setUp(self):
        reason = self.board.missing()
        if reason is not None:
            self.skipTest(f"optional: renode: {reason}")
        super().setUp()

    def configure(self, form="pwemu.json", types=None, target=None, **changes):
        """With a board that needs no network."""
        if REAL and "machine" not in changes:
            changes["machine"] = self.path("board.repl")
            self.write("board.repl", PLATFORM)
        super().configure(form, types, target, **changes)

    def write(self, name, text, mode=0o644):
        path = self.path(name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(path, mode)
        return path

    def settings(self, **keys):
        """Of the daemon, which takes them when it starts."""
        place = os.path.join(self.environment["XDG_CONFIG_HOME"], "pwemu")
        os.makedirs(place, exist_ok=True)
        with open(os.path.join(place, "pwemud.json"), "w", encoding="ascii") as file:
            json.dump(keys, file)

    @contextlib.contextmanager
    def knobs(self, **values):
        """FAKE_RENODE_*, for emulators that are started meanwhile."""
        before = dict(self.environment)
        self.environment.update({"FAKE_RENODE_" + name: str(value) for name, value in values.items()})
        try:
            yield
        finally:
            for name in values:
                self.environment.pop("FAKE_RENODE_" + name)
            self.environment.update(before)

    def as_pwemu(self, *before):
        """Every pwemu, and so the daemon, from now on by that command."""
        words = " ".join(f"'{word}'" for word in before)
        script = os.path.join(self.dir, "pwemu-by")
        with open(script, "w", encoding="ascii") as file:
            file.write(f"#!/bin/sh\nexec {words} {pwemu_cli.PWEMU} \"$@\"\n")
        os.chmod(script, 0o755)
        patch = mock.patch.object(pwemu_cli, "PWEMU", script)
        patch.start()
        self.addCleanup(patch.stop)
        self.addCleanup(self.run_any, "daemon", "stop", "--with-instances")  # whose daemon it is alone may

    def events(self, name="default"):
        return [json.loads(line) for line in self.on(name, "events", "-o", "json").splitlines()]

    def refusal(self, *words, image="hello.elf"):
        """Of a start that fails with 1; nothing is left of it."""
        done = self.run_any("start", cases.TARGET, "-f", self.board.firmware(image), *words)
        self.assertEqual((done.returncode, done.out), (1, ""), done.err)
        self.assert_nothing_left()
        return done.err

    def inodes(self, name="default"):
        """Of the sockets that Renode and what is below it have open."""
        found = set()
        for pid in self.tree(name):
            with contextlib.suppress(OSError):
                for number in os.listdir(f"/proc/{pid}/fd"):
                    with contextlib.suppress(OSError):
                        found.add(os.readlink(f"/proc/{pid}/fd/{number}"))
        return found

    def listening(self, of="self", name="default"):
        """Addresses at which Renode listens, in the network of a process."""
        inodes, found = self.inodes(name), []
        for table in ("tcp", "tcp6"):
            for fields in (line.split() for line in read_proc(of, f"net/{table}").decode().splitlines()[1:]):
                if fields[3] == "0A" and f"socket:[{fields[9]}]" in inodes:
                    found.append(fields[1])
        return found
