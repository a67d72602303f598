# SPDX-License-Identifier: Apache-2.0
"""Configurations, properties and gdb through the Python API, and what a test suite for pw_emu.frontend does."""

import os
import sys
import time
import unittest
from unittest import mock

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from api_fixture import BOARD, ECHO, ApiCase, firmware, is_alive, pwemu, wait_for  # noqa: E402

PROJECT = """{"pw": {"pw_emu": {
  "gdb": ["gdb-multiarch"],
  "qemu": {"executable": "qemu-system-arm"},
  "targets": {
    "board": {"qemu": {"machine": "lm3s6965evb", "channels": {"chardevs": {"serial0": {"id": "serial0"}}}}},
    "helped": {
      "pre-start-cmds": {"before": ["sleep", "1000"]},
      "qemu": {"machine": "lm3s6965evb", "channels": {"chardevs": {"serial0": {"id": "serial0"}}}}},
    "no-machine": {"qemu": {}},
    "missing": {"qemu": {"executable": "qemu-system-nowhere", "machine": "lm3s6965evb"}}
  }}}}
"""


class Frontend(ApiCase):
    """As a test suite for pw_emu.frontend is written: a configuration, one emulator for each test, only pw_emu's names."""

    def setUp(self):
        super().setUp()
        self._emu = pwemu.Emulator(os.path.join(self.dir, "wdir"), self.write("pigweed.json", PROJECT))
        self._emu.start("board", ECHO)

    def tearDown(self):
        self._emu.stop()
        super().tearDown()

    def test_channels(self):
        self.assertEqual(self._emu.get_channel_type("gdb"), "tcp")
        with self.assertRaises(pwemu.InvalidChannelType):
            self._emu.get_channel_path("gdb")
        host, port = self._emu.get_channel_addr("gdb")
        self.assertEqual(host, "127.0.0.1")
        self.assertIsInstance(port, int)
        self.assertEqual(self._emu.get_gdb_remote(), f"{host}:{port}")
        self.assertEqual(self._emu.get_gdb_cmd(), ["gdb-multiarch"])
        self.assertLessEqual({"gdb", "monitor", "qmp", "serial0"}, set(self._emu.get_channels()))

    def test_control_channels(self):
        """monitor and qmp as streams."""
        with self._emu.get_channel_stream("monitor", timeout=20) as stream:
            stream.write(b"info status\n")
            text = b""
            while b"VM status: running" not in text:
                text += stream.read(4096)

    def test_gdb(self):
        result = self._emu.run_gdb_cmds(["printf \"pc %d\\n\", $pc > 0", "info registers pc"])
        self.assertEqual(result.returncode, 0, result.stderr)
        result = self._emu.run_gdb_cmds(["bogus command"])
        self.assertIn(b"Undefined command", result.stderr)
        result = self._emu.run_gdb_cmds(["quit 7"], ECHO)
        self.assertEqual(result.returncode, 7)

    def test_gdb_pause(self):
        self._emu.run_gdb_cmds([], pause=True)
        self.assertEqual(self._emu.state, "paused")
        self._emu.cont()
        self.assertEqual(self._emu.state, "running")

    def test_reset_and_cont(self):
        self._emu.wait(match="ready> ")
        self._emu.reset()
        self._emu.wait(match="ready> (?s:.*)ready> ")
        self._emu.cont()
        self.assertTrue(self._emu.running())

    def test_handles(self):
        """What scripts read in the working directory."""
        wait_for((self._emu._wdir / "handles.json").exists, "handles.json")
        self.assertIn('"serial0"', (self._emu._wdir / "handles.json").read_text(encoding="utf-8"))


class Properties(ApiCase):
    def test_properties(self):
        emu = self.emulator()
        emu.start(BOARD, ECHO)
        rows = emu.list_properties("/machine")
        self.assertIn({"name": "type", "type": "string"}, rows)
        self.assertEqual(emu.get_property("/machine", "type"), "lm3s6965evb-machine")
        self.assertIs(emu.get_property("/machine", "graphics"), False)
        self.assertIsInstance(emu.list_properties("/machine/unattached")[0]["name"], str)
        for value in (True, False, "on", "off"):  # a text is refused by QEMU through pw_emu
            emu.set_property("/machine", "graphics", value)
            self.assertIs(emu.get_property("/machine", "graphics"), value in (True, "on"))
        with self.assertRaises(pwemu.Error):
            emu.set_property("/machine", "graphics", [1])
        emu.stop()

    def test_errors(self):
        emu = self.emulator()
        emu.start(BOARD, ECHO)
        for call in (emu.list_properties, lambda path: emu.get_property(path, "type"), lambda path: emu.set_property(path, "type", 1)):
            with self.assertRaises(pwemu.InvalidPropertyPath) as caught:
                call("/nope")
            self.assertIn("invalid property path `/nope`", str(caught.exception))
        for call in (emu.get_property, lambda path, prop: emu.set_property(path, prop, 1)):
            with self.assertRaises(pwemu.InvalidProperty) as caught:
                call("/machine", "typ")
            self.assertIn("invalid property `typ` at `/machine`", str(caught.exception))
            self.assertIn('"type"', str(caught.exception))
            self.assertEqual((caught.exception.path, caught.exception.name), ("/machine", "typ"))
        emu.stop()

    def test_quick(self):
        """No Nagle, no delayed ACK: pw_emu's reset took 42 ms. The bench has the figures, this the order of magnitude."""
        emu = self.emulator()
        emu.start(BOARD, ECHO)
        for call in (emu.reset, emu.running, lambda: emu.get_property("/machine", "type")):
            times = []
            for _ in range(30):
                begin = time.perf_counter()
                call()
                times.append(time.perf_counter() - begin)
            self.assertLess(sorted(times)[0], 0.010)
        emu.stop()


class Gdb(ApiCase):
    def test_through_the_pipe(self):
        """A preset's gdb has no port; an open one would let whoever reaches it run commands as the owner."""
        emu = self.emulator()
        emu.start(BOARD, ECHO, pause=True)
        result = emu.run_gdb_cmds(["info registers pc", "quit 5"], pause=True)
        self.assertEqual(result.returncode, 5, result.stderr)
        self.assertEqual([row.type for row in emu.info().channels if row.name == "gdb" and row.type in ("tcp", "pty")], [])
        emu.run_gdb_cmds(["info registers pc"], pause=True)
        self.assertEqual(emu.state, "paused")
        host, port = emu.get_gdb_remote().split(":")
        self.assertEqual((host, int(port)), emu.get_channel_addr("gdb"))
        emu.stop()

    def test_no_gdb(self):
        config = self.write("pigweed.json", PROJECT.replace('"gdb": ["gdb-multiarch"],', ""))
        emu = self.emulator(config=config)
        emu.start("board", ECHO)
        self.assertEqual(emu.get_gdb_cmd(), [])
        with self.assertRaisesRegex(pwemu.ConfigError, "gdb not configured"):
            emu.run_gdb_cmds([])
        emu.stop()

    def test_missing_gdb(self):
        config = self.write("pigweed.json", PROJECT.replace("gdb-multiarch", "gdb-of-nobody"))
        emu = self.emulator(config=config)
        emu.start("board", ECHO)
        with self.assertRaisesRegex(pwemu.RunError, "gdb-multiarch"):
            emu.run_gdb_cmds([])
        emu.stop()

    def test_stand_in(self):
        """arm-none-eabi-gdb is gdb-multiarch on Debian."""
        config = self.write("pigweed.json", PROJECT.replace("gdb-multiarch", "arm-none-eabi-gdb"))
        emu = self.emulator(config=config)
        emu.start("board", ECHO)
        self.assertEqual(emu.run_gdb_cmds(["quit 3"]).returncode, 3)
        emu.stop()

    def test_too_long(self):
        emu = self.emulator()
        emu.start(BOARD, ECHO)
        with self.assertRaisesRegex(pwemu.RunError, "not done within"):
            emu.run_gdb_cmds(["shell sleep 100"], timeout=0.5)
        emu.stop()

    def test_load(self):
        emu = self.emulator()
        emu.start(BOARD, ECHO)
        emu.load(firmware("hello.elf"))
        emu.wait(match="(?i)hello")
        emu.stop()


class Configuration(ApiCase):
    def test_where_it_is(self):
        """Given; $PW_PROJECT_ROOT; upwards."""
        project = os.path.join(self.dir, "project")
        os.makedirs(os.path.join(project, "below"))
        config = self.write("project/pigweed.json", PROJECT)
        emu = self.emulator("given", config)
        emu.start("board", ECHO)
        self.assertEqual(emu.info().config, config)
        emu.stop()
        with mock.patch.dict(os.environ, PW_PROJECT_ROOT=project):
            emu = self.emulator("root")
            emu.start("board", ECHO)
            self.assertEqual(emu.info().project, project)
            emu.stop()
        os.chdir(os.path.join(project, "below"))
        emu = self.emulator("upwards")
        emu.start("board", ECHO)
        emu.stop()
        emu.start(BOARD, ECHO)  # a preset beside a configuration
        emu.stop()

    def test_errors(self):
        config = self.write("pigweed.json", PROJECT)
        emu = self.emulator(config=config)
        with self.assertRaises(pwemu.InvalidTarget) as caught:
            emu.start("bord", ECHO)
        self.assertIsInstance(caught.exception, pwemu.ConfigError)  # what pw_emu raises
        self.assertEqual(caught.exception.target, "bord")
        self.assertIn("invalid target `bord`", str(caught.exception))
        self.assertNotIn("\n", str(caught.exception))  # pw_emu's has the whole file in it
        with self.assertRaisesRegex(pwemu.ConfigError, "machine"):
            emu.start("no-machine", ECHO)
        begin = time.monotonic()
        with self.assertRaisesRegex(pwemu.RunError, "qemu-system-nowhere"):
            emu.start("missing")
        self.assertLess(time.monotonic() - begin, 10)
        for text, words in (("{", "pigweed.json"), ("{}", "pw_emu"), ('{"pw": {"pw_emu": {"targets": []}}}', "targets")):
            broken = self.emulator(config=self.write("pigweed.json", text))
            with self.assertRaisesRegex(pwemu.ConfigError, words):
                broken.start("board", ECHO)
        with self.assertRaisesRegex(pwemu.ConfigError, "nowhere.json"):
            self.emulator(config="nowhere.json").start("board")
        os.unlink("pigweed.json")  # it would be found upwards
        with self.assertRaises(pwemu.InvalidTarget) as caught:
            pwemu.Emulator("without").start("qemu-lm3s6965ev", ECHO)
        self.assertIn("qemu-lm3s6965evb", str(caught.exception))

    def test_set_emu(self):
        emu = self.emulator(config=self.write("pigweed.json", PROJECT))
        with self.assertRaises(pwemu.InvalidEmulator) as caught:
            emu.set_emu("bochs")
        self.assertIn("invalid emulator `bochs`", str(caught.exception))
        emu.set_emu("qemu")
        emu.start("board", ECHO)
        emu.stop()
        emu.set_emu("renode")
        with self.assertRaises(pwemu.ConfigError):
            emu.start("board", ECHO)

    def test_emulators_do_not_replace_the_built_in(self):
        """They do in pw_emu, where qemu is gone then."""
        text = PROJECT.replace('"gdb"', '"emulators": {"mine": {"launcher": "a.B", "connector": "a.C"}}, "gdb"')
        emu = self.emulator(config=self.write("pigweed.json", text))
        with self.assertWarnsRegex(UserWarning, "mine"):
            emu.start("board", ECHO)
        self.assertEqual(emu.info().emulator, "qemu")
        emu.stop()

    def test_helpers_end_with_it(self):
        emu = self.emulator(config=self.write("pigweed.json", PROJECT))
        emu.start("helped", ECHO)
        pid = next(process.pid for process in emu.info().processes if process.name == "before")
        self.assertTrue(is_alive(pid))
        emu.stop()
        self.assertFalse(is_alive(pid))

    def test_refused_arguments(self):
        """With the emulator's own words, at once."""
        emu = self.emulator()
        with self.assertRaises(pwemu.RunError) as caught:
            emu.start(BOARD, ECHO, args="--no-such-option")
        self.assertIn("--no-such-option: invalid option", str(caught.exception))
        emu.start(BOARD, ECHO)
        emu.stop()


if __name__ == "__main__":
    unittest.main()
