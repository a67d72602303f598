# SPDX-License-Identifier: Apache-2.0
"""Input: by term, pipe and send; one writer at a time; every byte as it is."""

import os
import threading

from cases import PROMPT, DriverCase, wait_for

ALL = bytes(range(256))
CONTROL = b"\x03\x04\x1a\x13\x11\r\n\r\n\x7f\xff\x00\x1b\x1c\x15\x16\x17"  # what a terminal would take for itself, and then some


class Typing(DriverCase):
    def test_send(self):
        self.boot_echo()
        self.assertEqual(self.pwemu("-q", "send", "-l", "hello").strip(), str(len(PROMPT)))
        self.see("got: hello")
        self.pwemu("-q", "send", "plain")
        self.pwemu("-q", "send", "-", stdin=b" and stdin\r", timeout=60)
        self.see("got: plain and stdin")

    def test_term(self):
        self.boot_echo()
        term = self.attach("term")
        self.read_until(term, PROMPT)
        self.type_in(term, b"typed\r")
        self.read_until(term, b"got: typed\r\nready> ")
        self.assertEqual(self.out(), PROMPT + b"typed\r\ngot: typed\r\nready> ")

    def test_pipe(self):
        """The end of the input is not that of the output."""
        self.boot_echo()
        pipe = self.attach("pipe", self.board.console)
        pipe.stdin.write(b"through a pipe\r")
        pipe.stdin.close()
        self.read_until(pipe, b"got: through a pipe")
        self.on("default", "stop")
        self.assertEqual(pipe.wait(60), 0)

    def test_one_writer(self):
        self.boot_echo()
        first = self.attach("term")
        second = self.popen("term", stdin=-1)
        self.assertIn(b"read-only", self.read_line(second.stderr, b"read-only"))
        self.refused("pipe", self.board.console, says="cannot be written")
        self.type_in(first, b"from the first\r")
        self.read_until(second, b"got: from the first")
        self.assert_echoes("beside it")
        holder = self.writer()
        first.kill()  # who waits is the next
        wait_for(lambda: self.writer() not in ("", holder), "the role to go on")
        self.type_in(second, b"from the second\r")
        self.see("got: from the second")
        second.kill()
        wait_for(lambda: not self.writer(), "the role to be free")
        self.type_in(self.attach("pipe", self.board.console), b"from a pipe\r")
        self.see("got: from a pipe")

    def read_line(self, stream, text):
        """What a command says of itself."""
        seen = b""
        while text not in seen:
            line = stream.readline()
            self.assertTrue(line, seen)
            seen += line
        return seen

    def test_steal(self):
        self.boot_echo()
        first = self.attach("term")
        holder = self.writer()
        second = self.popen("-q", "term", "--steal", stdin=-1)
        wait_for(lambda: self.writer() not in ("", holder), "the role to change")
        self.type_in(second, b"stolen\r")
        self.see("got: stolen")
        self.read_until(first, b"got: stolen")

    def test_two_instances(self):
        """Nobody's input comes to the other."""
        terms = {}
        for name in ("one", "two"):
            self.boot_echo(name=name)
            terms[name] = self.attach("term", name=name)
        for name, term in terms.items():
            self.type_in(term, f"this is {name}\r".encode())
        for name in terms:
            self.see(f"got: this is {name}", name=name)
            self.assertEqual(self.out(name=name).count(b"got:"), 1)


class Clean(DriverCase):
    """gulp.elf gives back every byte."""

    def assert_comes_back(self, process, data):
        feeder = threading.Thread(target=self.type_in, args=(process, data))
        feeder.start()
        seen = b""
        while len(seen) < len(data):
            more = os.read(process.stdout.fileno(), 65536)
            self.assertTrue(more, f"the end after {len(seen)} bytes")
            seen += more
        feeder.join(60)
        self.assertEqual(seen, data)

    def test_all_bytes(self):
        self.boot_echo(program="gulp.elf")
        log = PROMPT
        for words in (("pipe", self.board.console), ("term", "--from", "now")):
            process = self.attach(*words)
            for data in (ALL, CONTROL * 5, ALL[::-1]):
                self.assert_comes_back(process, data)
                log += data
            process.kill()
            wait_for(lambda: not self.writer(), "the role to be free")
        self.pwemu("-q", "send", "-", stdin=ALL)
        wait_for(lambda: len(self.out()) == len(log) + len(ALL), "the last bytes")
        self.assertEqual(self.out(), log + ALL)
        self.assertEqual(self.state(), "running")

    def test_single_bytes(self):
        """Each comes by itself, as keys do."""
        self.boot_echo(program="gulp.elf")
        pipe = self.attach("pipe", self.board.console)
        for byte in CONTROL + b"ab\r":
            self.assert_comes_back(pipe, bytes((byte,)))

    def test_large_block(self):
        """Through a guest that is slow: it takes 4 KiB, then sleeps."""
        self.boot_echo(program="gulp.elf")
        data = b"".join(b"%07x\r" % n for n in range(self.board.block // 8))
        self.assert_comes_back(self.attach("pipe", self.board.console), data)
        self.assertEqual(self.out(), PROMPT + data)

    def test_send_to_a_slow_guest(self):
        self.boot_echo(program="gulp.elf")
        data = b"".join(b"%07x\n" % n for n in range(self.board.block // 8))
        self.pwemu("-q", "send", "-", stdin=data)
        wait_for(lambda: self.offset() == len(PROMPT) + len(data), "all of it")
        self.assertEqual(self.out(), PROMPT + data)

    def test_while_the_daemon_dies(self):
        """What was typed before and after; no byte twice."""
        self.boot_echo(program="gulp.elf")
        self.assert_comes_back(self.attach("pipe", self.board.console), ALL)
        self.kill_daemon()
        wait_for(lambda: self.state() == "running", "it to be known as running")
        wait_for(lambda: self.writer(), "the pipe to come back")
        self.pwemu("-q", "send", "after")
        wait_for(lambda: self.out().endswith(b"after"), "the rest")
        self.assertEqual(self.out(), PROMPT + ALL + b"after")
