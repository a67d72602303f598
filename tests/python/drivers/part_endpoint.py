# SPDX-License-Identifier: Apache-2.0
"""Ports and pseudo-terminals of a console: asked for at the start or in the configuration, the same for the life of the instance."""

import json
import os
import signal
import socket
import termios

from cases import PROMPT, DriverCase, wait_for
from fd_reader import Reader

ALL = bytes(byte for byte in range(256) if byte != 13)


class Endpoints(DriverCase):
    def dial(self):
        connection = socket.create_connection(("127.0.0.1", self.channel()["port"]), timeout=60)
        self.addCleanup(connection.close)
        return connection

    def open_pty(self):
        fd = os.open(self.channel()["path"], os.O_RDWR | os.O_NOCTTY)
        self.addCleanup(os.close, fd)
        return fd

    def assert_talks(self, reader, write):
        """The prompt, and every byte both ways."""
        reader.until(PROMPT)
        write(b"hello\r")
        reader.until(b"hello\r\ngot: hello\r\nready> ")
        write(ALL)
        reader.until(ALL)

    def test_tcp(self):
        self.boot("echo.elf", "--tcp", self.board.console)
        row = self.channel()
        self.assertEqual((row["type"], row["host"]), ("tcp", "127.0.0.1"))
        connection = self.dial()
        self.assert_talks(Reader(connection.fileno()), connection.sendall)
        self.assertIn("tcp client", self.writer())
        connection.close()
        wait_for(lambda: not self.writer(), "the role to be free")
        self.on("default", "stop")

        def is_closed():
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", row["port"])) != 0

        wait_for(is_closed, "the port to be closed")
        self.assert_nothing_left()

    def test_pty(self):
        """Raw from birth, for its owner alone."""
        self.boot("echo.elf", "--pty", self.board.console)
        path = self.channel()["path"]
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
        fd = self.open_pty()
        mode = termios.tcgetattr(fd)
        self.assertEqual((mode[3] & (termios.ECHO | termios.ICANON | termios.ISIG), mode[1] & termios.OPOST), (0, 0))
        self.assert_talks(Reader(fd), lambda data: os.write(fd, data))
        self.on("default", "stop")
        wait_for(lambda: not os.path.exists(path), "the terminal to go")
        self.assert_nothing_left()

    def test_tcp_outlives_everybody(self):
        """The emulator is killed, the daemon, both: one port."""
        self.boot("echo.elf", "--tcp", self.board.console, "--restart", "on-failure,delay=10ms")
        port = self.channel()["port"]
        connection = self.dial()
        reader = Reader(connection.fileno())
        reader.until(PROMPT)
        os.kill(self.info()["pid"], signal.SIGKILL)
        reader.count(PROMPT, 2)
        connection.sendall(b"again\r")
        reader.until(b"got: again")
        self.kill_daemon()
        self.assertEqual(self.channel()["port"], port)
        connection = self.dial()
        wait_for(lambda: self.channel()["readers"] > 0, "it to be attached")
        connection.sendall(b"more\r")
        Reader(connection.fileno()).until(b"got: more")
        pid = self.info()["pid"]
        self.kill_daemon()
        os.kill(pid, signal.SIGKILL)
        self.wait_boot(3)
        self.assertEqual(self.channel()["port"], port)
        Reader(self.dial().fileno()).until(PROMPT)

    def test_pty_outlives_everybody(self):
        """Who has it open sees no hang-up, and every byte once."""
        self.boot("echo.elf", "--pty", self.board.console, "--restart", "on-failure,delay=10ms")
        path = self.channel()["path"]
        fd = self.open_pty()
        reader = Reader(fd)
        reader.until(PROMPT)
        os.kill(self.info()["pid"], signal.SIGKILL)
        reader.count(PROMPT, 2)
        self.kill_daemon()
        self.assertEqual(self.channel()["path"], path)
        os.write(fd, b"one\r")
        reader.until(b"got: one\r\nready> ")
        self.assertEqual(reader.seen, PROMPT + PROMPT + b"one\r\ngot: one\r\nready> ")

    def test_pty_is_exact(self):
        self.boot("seq.elf", "--pty", self.board.console)
        reader = Reader(self.open_pty())
        for _ in range(4):
            wanted = len(reader.seen) + self.board.output // 5
            while len(reader.seen) < wanted:
                reader.more()
            self.kill_daemon()
            self.pwemu("ls")
        self.assertEqual(self.out()[: len(reader.seen)], reader.seen)
        self.assertTrue(reader.seen.startswith(b"00000000\n00000001\n"))

    def test_as_configured(self):
        """By both configurations; handles.json tells those who read pw_emu's."""
        for form in ("pwemu.json", "pigweed.json"):
            for kind in ("tcp", "pty"):
                self.configure(form, types={self.board.console: kind})
                wdir = self.path(f"wdir-{form}-{kind}")
                self.pwemu("-q", "-C", wdir, "start", "board", "-f", self.board.firmware("echo.elf"))
                with open(os.path.join(wdir, "handles.json"), encoding="utf-8") as file:
                    handles = json.load(file)
                info = json.loads(self.pwemu("-q", "-C", wdir, "status", "-o", "json"))
                self.assertEqual((handles["emu"], handles["target"], handles["config"]), (self.board.driver, "board", self.path(form)))
                self.assertEqual(handles["procs"], {self.board.driver: {"pid": info["pid"]}})
                shown = handles["channels"][self.board.console]
                row = next(row for row in info["channels"] if row["name"] == self.board.console)
                self.assertEqual((row["type"], shown["type"]), (kind, kind))
                if kind == "tcp":
                    self.assertEqual((shown["host"], shown["port"]), (row["host"], row["port"]))
                else:
                    self.assertEqual(os.path.realpath(os.path.join(wdir, self.board.console)), row["path"])
                self.assertEqual(self.text(os.path.join(wdir, self.board.driver + ".pid")), str(info["pid"]))
                self.pwemu("-q", "-C", wdir, "stop")
                self.assertEqual(os.listdir(wdir), [self.board.driver + ".log"])
        self.assert_nothing_left()
