# SPDX-License-Identifier: Apache-2.0
"""The Python package: a test of firmware as its users write them."""

import os
import subprocess
import tempfile
from unittest import mock

from api_fixture import ANSWER, PACKAGE, PYTHON, pwemu
from cases import PROMPT, TARGET, DriverCase, wait_for
from pwemu_fixture import PWEMU, is_alive, sequence

PROGRAM = """
import sys, pwemu
with pwemu.TemporaryEmulator(sys.argv[1]) as emu:
    emu.start("board", sys.argv[2])
    emu.wait(match="ready> ")
    print(emu.send("of a program\\r", expect="got: (.*)\\r")[1].decode())
"""


class Api(DriverCase):
    def setUp(self):
        super().setUp()
        clean = {name: value for name, value in os.environ.items() if not name.startswith("PW_")}
        patch = mock.patch.dict(os.environ, {**clean, **self.environment, "PWEMU": PWEMU}, clear=True)
        patch.start()
        self.addCleanup(patch.stop)
        before = os.getcwd()
        os.chdir(self.work)
        self.addCleanup(os.chdir, before)
        saved, tempfile.tempdir = tempfile.tempdir, self.dir
        self.addCleanup(setattr, tempfile, "tempdir", saved)

    def assert_reads(self, stream, wanted):
        seen = b""
        while len(seen) < len(wanted):
            seen += stream.read(len(wanted) - len(seen))
        self.assertEqual(seen, wanted)

    def start(self, emu, program, **options):
        emu.start(TARGET, self.board.firmware(program), **options)
        return emu

    def test_temporary_emulator(self):
        with pwemu.TemporaryEmulator() as emu:
            self.start(emu, "echo.elf")
            pid = emu.info().pid
            self.assertTrue(emu.running())
            with emu.get_channel_stream(self.board.console, timeout=60) as stream:
                self.assert_reads(stream, PROMPT)
                stream.write(b"hello\r")
                self.assertEqual(stream.readline(), b"hello\r\n")
                self.assertEqual(stream.readline(), b"got: hello\r\n")
                stream.timeout = 0.05
                with self.assertRaises(TimeoutError):
                    stream.readline()
        self.assertFalse(is_alive(pid))
        self.assert_nothing_left()

    def test_life(self):
        """pw_emu's calls, and what they have become."""
        emu = pwemu.Emulator(os.path.join(self.dir, "emu"))
        self.start(emu, "echo.elf", pause=True)
        self.assertEqual((emu.state, emu.logs()), ("paused", b""))
        emu.cont()
        emu.wait(match="ready> ")
        emu.reset()
        wait_for(lambda: emu.logs() == PROMPT * 2, "the second prompt")
        self.assertEqual(emu.send("sent\r", expect=ANSWER)[1], b"sent")
        emu.pause()
        self.assertEqual(emu.state, "paused")
        emu.cont()
        self.assertEqual([name for name in emu.get_channels() if name in dict(self.board.consoles)], list(dict(self.board.consoles)))
        emu.load(self.board.firmware("hello.elf"))
        emu.wait(match="hello from")
        emu.stop()
        self.assertEqual(emu.end.cause, "stopped")
        with self.assertRaises(pwemu.NotRunning):
            emu.reset()
        self.assert_nothing_left()

    def test_properties(self):
        with pwemu.TemporaryEmulator() as emu:
            self.start(emu, "hello.elf")
            of = self.board.writable
            self.assertIn(of.name, [row["name"] for row in emu.list_properties(of.path)])
            for value in self.board.values:
                emu.set_property(of.path, of.name, value)
                self.assertEqual(emu.get_property(of.path, of.name), value)
            with self.assertRaises(pwemu.InvalidProperty):
                emu.get_property(of.path, "NoSuchThing")
            with self.assertRaises(pwemu.InvalidPropertyPath):
                emu.get_property(self.board.no_path, of.name)
            with self.assertRaises(pwemu.Error):
                emu.set_property(self.board.read_only.path, self.board.read_only.name, "9600")

    def test_types_of_channels(self):
        for kind in ("tcp", "pty"):
            self.configure("pigweed.json", types={self.board.console: kind})
            with pwemu.TemporaryEmulator(self.path("pigweed.json")) as emu:
                self.start(emu, "echo.elf", pause=True)
                self.assertEqual(emu.get_channel_type(self.board.console), kind)
                with emu.get_channel_stream(self.board.console, timeout=60) as stream:
                    emu.cont()
                    self.assert_reads(stream, PROMPT)
                if kind == "tcp":
                    self.assertEqual(emu.get_channel_addr(self.board.console)[0], "127.0.0.1")
                else:
                    self.assertTrue(os.path.exists(emu.get_channel_path(self.board.console)))

    def test_gdb(self):
        with pwemu.TemporaryEmulator() as emu:
            self.start(emu, "echo.elf")
            emu.wait(match="ready> ")
            done = emu.run_gdb_cmds(["print $pc > &main", "quit 5"])
            self.assertEqual(done.returncode, 5, done)
            self.assertIn(b"nonsense", emu.run_gdb_cmds(["nonsense"]).stderr)
            emu.run_gdb_cmds(["print 1"], pause=True)
            self.assertEqual(emu.state, "paused")
            emu.cont()
            self.assertEqual(emu.send("after gdb\r", expect=ANSWER)[1], b"after gdb")

    def test_much(self):
        """Every byte, once, in order."""
        with pwemu.TemporaryEmulator() as emu:
            self.start(emu, "seq.elf", pause=True)
            with emu.get_channel_stream(self.board.console, timeout=60) as stream:
                emu.cont()
                data = b""
                while len(data) < self.board.output:
                    data += stream.read(65536)
                self.assertEqual(data, sequence(0, len(data)))

    def test_failures(self):
        """An exception for each, and nothing left."""
        with pwemu.TemporaryEmulator() as emu:
            with self.assertRaises(pwemu.Error):
                emu.start(TARGET, "nowhere.elf")
            with self.assertRaises(pwemu.InvalidTarget):
                emu.start("nothing", self.board.firmware("hello.elf"))
            self.start(emu, "hello.elf")
            with self.assertRaises(pwemu.AlreadyRunning):
                self.start(emu, "hello.elf")
        self.configure(machine=self.board.bad_machine)
        with pwemu.TemporaryEmulator() as emu:
            with self.assertRaises(pwemu.Error) as caught:
                self.start(emu, "hello.elf")
            self.assertIn(self.board.bad_machine_says, str(caught.exception))
        self.assert_nothing_left()

    def test_program(self):
        environment = {**self.environment, "PYTHONPATH": PACKAGE, "PYTHONDONTWRITEBYTECODE": "1", "PWEMU": PWEMU}
        words = [PYTHON, "-c", PROGRAM, self.path("pwemu.json"), self.board.firmware("echo.elf")]
        done = subprocess.run(words, env=environment, cwd=self.work, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120,
                              check=False)
        self.assertEqual((done.returncode, done.stdout), (0, "of a program\n"), done.stderr)
        self.assert_nothing_left()
