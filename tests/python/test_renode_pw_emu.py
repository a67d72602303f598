# SPDX-License-Identifier: Apache-2.0
"""Pigweed's example target for Renode, and what pw_emu's users do with it: commands, working directory, channels, helper commands, Python."""

import json
import os
import socket
import sys
import termios
import unittest
from unittest import mock

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from renode_case import REAL, RenodeCase  # noqa: E402
from cases import is_alive, processes_with, wait_for  # noqa: E402
from api_fixture import pwemu  # noqa: E402
from fd_reader import Reader  # noqa: E402
from pwemu_fixture import PWEMU, firmware  # noqa: E402

EXAMPLE = "renode-stm32f4_discovery"
PROMPT = b"ready> "


def image(name):
    """Its console is USART1, as the example has it."""
    return firmware(name, "netduinoplus2")


class PigweedCase(RenodeCase):
    def setUp(self):
        super().setUp()
        if REAL:
            self.settings(isolate="off")  # the board downloads its register descriptions
        place = os.path.join(self.dir, "bin")
        os.mkdir(place)
        os.symlink(self.board.executable, os.path.join(place, "renode"))
        self.environment["PATH"] = place + ":" + self.environment["PATH"]
        self.wdir = self.path("wdir")
        self.project()

    def configure(self, *_, **__):
        """Not that of the others."""

    def project(self, terminal=None, **keys):
        """As in Pigweed: a file for the target, which the project's names."""
        terminals = {"serial0": {"device-path": "sysbus.usart1", "type": "pty"} if terminal is None else terminal}
        renode = {"executable": "renode", "machine": "platforms/boards/stm32f4_discovery-kit.repl", "channels": {"terminals": terminals}}
        os.makedirs(self.path("pw_emu"), exist_ok=True)
        self.write(f"pw_emu/{EXAMPLE}.json", json.dumps({"targets": {EXAMPLE: {"gdb": ["gdb-multiarch"], **keys, "renode": renode}}}))
        self.write("pigweed.json", json.dumps({"pw": {"pw_emu": {"target_files": [f"pw_emu/{EXAMPLE}.json"]}}}))

    def emu(self, *words, **options):
        return self.pwemu("-q", "-C", self.wdir, *words, **options)

    def start(self, program, *words):
        """What handles.json has of it."""
        self.emu("start", EXAMPLE, "-f", image(program), *words)
        return self.handles()

    def handles(self):
        with open(os.path.join(self.wdir, "handles.json"), encoding="utf-8") as file:
            return json.load(file)

    def shown(self):
        return json.loads(self.run_any("-q", "-C", self.wdir, "status", "-o", "json").out)

    def console(self):
        return self.run_any("-q", "-C", self.wdir, "logs", "serial0").stdout

    def expect(self, text):
        self.emu("wait", "--expect", text, "--timeout", "60s")

    def open_link(self):
        fd = os.open(os.path.join(self.wdir, "serial0"), os.O_RDWR | os.O_NOCTTY)
        self.addCleanup(os.close, fd)
        return fd


class Commands(PigweedCase):
    def test_session(self):
        """Start, talk, load, reset, debug, restart, stop: from the target as it is."""
        self.start("echo.elf")
        self.emu("send", "serial0", "-l", "hello", "--expect", "got: hello", "--timeout", "60s")
        self.emu("reset")
        wait_for(lambda: self.console().count(PROMPT) >= 3, "the next boot's prompt")
        self.emu("load", image("hello.elf"))
        self.expect("hello from")
        out = self.emu("gdb-cmds", "-e", image("hello.elf"), "info registers pc", "print 6*7")
        self.assertIn("= 42", out)
        self.emu("restart", EXAMPLE, "-f", image("echo.elf"))
        wait_for(lambda: self.console().endswith(PROMPT), "the prompt")
        pid = self.shown()["pid"]
        self.emu("stop")
        self.assertFalse(is_alive(pid))
        self.assertFalse(os.path.exists(os.path.join(self.wdir, "handles.json")))
        self.assert_nothing_left()

    def test_properties(self):
        self.start("hello.elf")
        self.expect("hello from")
        names = [row["name"] for row in json.loads(self.emu("prop-ls", "sysbus.usart1", "-o", "json"))]
        self.assertIn("BaudRate", names)
        self.assertTrue(self.emu("prop-get", "sysbus.usart1", "BaudRate").strip().isdigit())
        self.emu("prop-set", "sysbus.cpu", "PerformanceInMips", "50")
        self.assertEqual(self.emu("prop-get", "sysbus.cpu", "PerformanceInMips"), "50\n")

    def test_term(self):
        self.start("echo.elf")
        for words in (("term",), ("term", "serial0"), ("pipe", "serial0")):
            process = self.popen("-q", "-C", self.wdir, *words, "--from", "boot", stdin=-1)
            self.read_until(process, PROMPT)
            wait_for(lambda: self.shown()["channels"][0]["writer"], "it to have the role")
            self.type_in(process, b"typed\r")
            self.read_until(process, b"got: typed")
            process.stdin.close()
            process.terminate()
            process.wait(60)

    def test_run(self):
        done = self.run_any("run", EXAMPLE, image("hello.elf"), "--expect", "hello from", "--timeout", "60s")
        self.assertEqual((done.returncode, done.out), (0, "hello from netduinoplus2\n"), done.err)
        self.assert_nothing_left()

    def test_18_paused_means_paused(self):
        """pw_emu's own look at the gdb port starts the guest."""
        for words in (("-p",), ("--pause",)):
            self.start("hello.elf", *words)
            self.emu("gdb-cmds", "-p", "info registers")
            self.assertEqual((self.shown()["state"], self.console()), ("paused", b""))
            self.emu("resume")
            self.expect("hello from")
            self.emu("stop")
            self.emu("rm", "--ended")

    def test_18_reset_keeps_the_machine(self):
        """pw_emu's takes machine, terminals and gdb away."""
        self.start("echo.elf")
        identity = self.shown()["pid"]
        for count in range(2, 4):
            self.emu("reset")
            wait_for(lambda: self.console().count(PROMPT) >= count, "the prompt of the next boot")
            self.emu("send", "-l", "alive", "--expect", "got: alive", "--timeout", "60s")
            self.emu("gdb-cmds", "info registers")
        self.assertEqual(self.shown()["pid"], identity)

    def test_18_no_race_for_ports(self):
        """Many at once, each with a port of its own for its terminal and its gdb."""
        self.project({"device-path": "sysbus.usart1", "type": "tcp"})
        names = [f"i{number}" for number in range(4)]
        starts = [self.popen("-q", "-i", name, "start", EXAMPLE, "-f", image("echo.elf")) for name in names]
        self.assertEqual([start.wait(120) for start in starts], [0] * len(names))
        ports = []
        for name in names:
            for row in self.info(name)["channels"]:
                if row["type"] == "tcp":
                    ports.append(row["port"])
            with socket.create_connection(("127.0.0.1", self.channel("serial0", name)["port"]), timeout=60) as link:
                Reader(link.fileno()).until(PROMPT)
                link.sendall(f"i am {name}\r".encode())
                Reader(link.fileno()).until(f"got: i am {name}".encode())
        self.assertEqual(len(set(ports)), 2 * len(names), ports)


class Places(PigweedCase):
    def test_pty(self):
        """A link in the working directory, raw, that outlives a restart of the daemon."""
        handles = self.start("echo.elf")
        self.assertEqual((handles["emu"], handles["target"], handles["gdb_cmd"]), ("renode", EXAMPLE, ["gdb-multiarch"]))
        self.assertEqual(os.path.realpath(handles["config"]), os.path.realpath(self.path("pigweed.json")))
        self.assertEqual(handles["procs"], {"renode": {"pid": self.shown()["pid"]}})
        self.assertEqual(list(handles["channels"]), ["serial0", "gdb"])
        row = handles["channels"]["serial0"]
        self.assertEqual((row["type"], set(row)), ("pty", {"type", "path"}))
        self.assertEqual(os.readlink(os.path.join(self.wdir, "serial0")), row["path"])
        fd = self.open_link()
        self.assertEqual(termios.tcgetattr(fd)[3] & (termios.ECHO | termios.ICANON | termios.ISIG), 0)
        reader = Reader(fd)
        reader.until(PROMPT)
        os.write(fd, b"one\r")
        reader.until(b"got: one")
        self.kill_daemon()
        self.pwemu("ls")
        os.write(fd, b"two\r")
        reader.until(b"got: two")
        self.emu("stop")
        self.assertEqual(os.listdir(self.wdir), ["renode.log"])

    def test_tcp(self):
        """As without a type."""
        for terminal in ({"device-path": "sysbus.usart1", "type": "tcp"}, {"device-path": "sysbus.usart1"}):
            self.project(terminal)
            handles = self.start("echo.elf")
            for name in ("serial0", "gdb"):
                row = handles["channels"][name]
                self.assertEqual((row["type"], row["host"]), ("tcp", "127.0.0.1"))
            with socket.create_connection(("127.0.0.1", handles["channels"]["serial0"]["port"]), timeout=60) as link:
                reader = Reader(link.fileno())
                reader.until(PROMPT)
                link.sendall(b"as ever\r")
                reader.until(b"got: as ever")
            self.emu("stop")

    def test_type_of_all_terminals(self):
        """renode.channels.terminals.type of the project."""
        self.project({"device-path": "sysbus.usart1"})
        content = {"target_files": [f"pw_emu/{EXAMPLE}.json"], "renode": {"channels": {"terminals": {"type": "pty"}}}}
        self.write("pigweed.json", json.dumps({"pw": {"pw_emu": content}}))
        self.assertEqual(self.start("echo.elf")["channels"]["serial0"]["type"], "pty")

    def test_log(self):
        """renode.log in the working directory is the channel `emulator`."""
        self.start("hello.elf")
        self.expect("hello from")
        self.emu("stop")
        with open(os.path.join(self.wdir, "renode.log"), "rb") as file:
            self.assertEqual(file.read(), self.run_any("-q", "-C", self.wdir, "logs", "emulator").stdout)

    def test_helper_commands(self):
        """They get ports and paths, before the emulator and after it."""
        self.write("tell", f"#!/bin/sh\nfor word; do echo \"$word\" >>'{self.work}/told'; done\nexec sleep 1000\n", 0o755)
        for kind, words in (("tcp", ["$pw_emu_channel_host{serial0}", "$pw_emu_channel_port{serial0}"]), ("pty", ["$pw_emu_channel_path{serial0}"])):
            commands = {"pre-start-cmds": {"before": [self.path("tell"), "before", *words, "$pw_emu_wdir{x}"]},
                        "post-start-cmds": {"after": [self.path("tell"), "after", *words]}}
            self.project({"device-path": "sysbus.usart1", "type": kind}, **commands)
            handles = self.start("echo.elf")
            row = handles["channels"]["serial0"]
            known = [row["host"], str(row["port"])] if kind == "tcp" else [row["path"]]
            wanted = ["before", *known, os.path.join(self.wdir, "x"), "after", *known]

            def told():
                return self.text("told").splitlines() if os.path.exists(self.path("told")) else []

            wait_for(lambda: len(told()) >= len(wanted), "both to speak")
            self.assertEqual(told(), wanted)
            self.assertEqual(list(handles["procs"]), ["before", "renode", "after"])
            self.emu("stop")
            self.assertEqual([text for text in processes_with(self.dir).values() if "sleep" in text], [])
            os.unlink(self.path("told"))


class Package(PigweedCase):
    def test_temporary_emulator(self):
        """pw_emu's own way to write a test."""
        patch = mock.patch.dict(os.environ, {**self.environment, "PWEMU": PWEMU})
        patch.start()
        self.addCleanup(patch.stop)
        self.project({"device-path": "sysbus.usart1", "type": "tcp"})
        with pwemu.TemporaryEmulator(self.path("pigweed.json")) as emu:
            emu.start(EXAMPLE, image("echo.elf"), pause=True)
            self.assertEqual(set(emu.get_channels()), {"serial0", "gdb", "monitor"})
            with emu.get_channel_stream("serial0", timeout=60) as stream:
                emu.cont()
                seen = b""
                while not seen.endswith(PROMPT):
                    seen += stream.read(1)
                self.assertEqual(seen, PROMPT)
                stream.write(b"python\r")
                self.assertEqual(stream.readline(), b"python\r\n")
                self.assertEqual(stream.readline(), b"got: python\r\n")
            self.assertIn("BaudRate", [row["name"] for row in emu.list_properties("sysbus.usart1")])
            self.assertIsInstance(emu.get_property("sysbus.usart1", "BaudRate"), int)
            emu.set_property("sysbus.cpu", "PerformanceInMips", 50)
            self.assertEqual(emu.get_property("sysbus.cpu", "PerformanceInMips"), 50)
            with self.assertRaises(pwemu.Error):
                emu.set_property("sysbus.usart1", "BaudRate", 1)
            self.assertEqual(emu.run_gdb_cmds(["info registers"], image("echo.elf")).returncode, 0)
            self.assertEqual(emu.get_channel_type("serial0"), "tcp")
            emu.reset()
            self.assertTrue(emu.running())
        self.assert_nothing_left()


if __name__ == "__main__":
    unittest.main()
