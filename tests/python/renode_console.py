# SPDX-License-Identifier: Apache-2.0
"""A Renode, the fake or a real one (PWEMU_TEST_RENODE=/path/to/renode), with its monitor on a socketpair as pwemud holds it."""
import contextlib
import os
import re
import select
import signal
import socket
import subprocess
import tempfile
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
FAKE = os.path.join(os.path.dirname(HERE), "fake", "renode")
REAL = os.environ.get("PWEMU_TEST_RENODE")
PROGRAM = REAL or FAKE
OPTIONS = ("--disable-xwt", "--console", "--plain", "--hide-log")
BOARD = "@platforms/boards/stm32f4_discovery-kit.repl"
DEADLINE_S = 60 if REAL else 20
# What a negative takes: long enough for a guest that runs to be seen.
QUIET_S = 0.3
PROMPT = re.compile(rb"(?:^|[\n\r])\([\w-]+\) \Z")


def firmware(name, board="stm32f4-discovery"):
    base = os.environ.get("PWEMU_FIRMWARE") or os.path.join(HERE, "..", "..", "build", "firmware")
    return os.path.join(os.path.abspath(base), board, name)


def wait_for(condition, what):
    end = time.monotonic() + DEADLINE_S
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        select.select([], [], [], 0.01)
    raise AssertionError(f"not within {DEADLINE_S} s: {what}")


def children_of(pid):
    """Of a process, whichever thread has forked them, and of those below it."""
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children", encoding="ascii") as file:
                for child in map(int, file.read().split()):
                    yield child
                    yield from children_of(child)


def listening_ports(pid):
    """What nobody prints: the ports on which the process and its children listen."""
    inodes = set()
    for process in (pid, *children_of(pid)):
        with contextlib.suppress(OSError):
            for name in os.listdir(f"/proc/{process}/fd"):
                with contextlib.suppress(OSError):
                    inodes.add(os.readlink(f"/proc/{process}/fd/{name}"))
    with open("/proc/net/tcp", encoding="ascii") as file:
        rows = [line.split() for line in file.read().splitlines()[1:]]
    return {int(row[1].partition(":")[2], 16) for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in inodes}


class Console:
    """One run. `arguments` follow the usual options."""

    def __init__(self, directory, *arguments, options=OPTIONS, prefix=(), cwd=None, **environment):
        self.tmp = os.path.join(directory, "tmp")
        os.makedirs(self.tmp, exist_ok=True)
        self.socket, other = socket.socketpair()
        self.stderr = tempfile.TemporaryFile()
        settings = {"HOME": directory, "XDG_CONFIG_HOME": directory, "TMPDIR": self.tmp, "RENODE_CI_MODE": "YES", **environment}
        self.process = subprocess.Popen([*prefix, PROGRAM, *options, *arguments], stdin=other, stdout=other, stderr=self.stderr,
                                        env={**os.environ, **settings}, cwd=cwd, start_new_session=True)
        other.close()

    def kill(self):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.socket.close()
        self.stderr.close()

    def program_pid(self):
        """Of the process below the launcher."""
        return wait_for(lambda: next(children_of(self.process.pid), None), "the launcher's child")

    def errors(self):
        self.stderr.seek(0)
        return self.stderr.read()

    # ------------------------------------------------------------ the monitor

    def send(self, data):
        self.socket.sendall(data)

    def receive(self, deadline):
        """Some bytes; b"" at the end."""
        if not select.select([self.socket], [], [], max(0, deadline - time.monotonic()))[0]:
            raise TimeoutError
        with contextlib.suppress(ConnectionResetError):
            return self.socket.recv(65536)
        return b""

    def read_exactly(self, count):
        data, deadline = b"", time.monotonic() + DEADLINE_S
        while len(data) < count:
            try:
                more = select.select([self.socket], [], [], max(0, deadline - time.monotonic()))[0] and self.socket.recv(count - len(data))
            except ConnectionResetError:
                more = b""
            if not more:
                break
            data += more
        return data

    def read_prompt(self, seconds=DEADLINE_S):
        data, deadline = b"", time.monotonic() + seconds
        while not PROMPT.search(data):
            more = self.receive(deadline)
            if not more:
                raise AssertionError(f"ended without a prompt: {data!r}")
            data += more
        return data

    def read_end(self):
        data, deadline = b"", time.monotonic() + DEADLINE_S
        while more := self.receive(deadline):
            data += more
        return data

    def command(self, line, seconds=DEADLINE_S):
        """What the command printed, without echo and prompt."""
        self.send(line.encode() + b"\n")
        reply = self.read_prompt(seconds).decode()
        echo = line + "\n\r"
        assert reply.startswith(echo), (line, reply)
        return re.sub(r"(^|[\n\r])\([\w-]+\) \Z", r"\1", reply[len(echo):])

    def value(self, line):
        return self.command(line).strip()

    def wait_exit(self):
        return self.process.wait(DEADLINE_S)

    def new_ports(self, *lines):
        """The ports that the commands open."""
        before = listening_ports(self.process.pid)
        for line in lines:
            text = self.command(line)
            assert not text, text
        return sorted(listening_ports(self.process.pid) - before)

    def start_board(self, image=None, board=BOARD, uart="usart2"):
        """A machine `m` with what its UART prints on a socket, which is returned."""
        self.read_prompt()
        port = self.new_ports('mach create "m"', f"machine LoadPlatformDescription {board}",
                              'emulation CreateServerSocketTerminal 0 "serial0" false', f"connector Connect sysbus.{uart} serial0")[0]
        if image:
            assert not self.command(f"sysbus LoadELF @{image}")
        return Stream(port)


class Stream:
    """A TCP client that remembers."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), DEADLINE_S)
        self.data = b""

    def read_until(self, wanted):
        deadline = time.monotonic() + DEADLINE_S
        while wanted not in self.data:
            if not select.select([self.socket], [], [], max(0, deadline - time.monotonic()))[0]:
                raise AssertionError(f"no {wanted!r} in {self.data[-200:]!r}")
            more = self.socket.recv(65536)
            if not more:
                raise AssertionError(f"ended without {wanted!r}: {self.data[-200:]!r}")
            self.data += more
        found, _, self.data = self.data.partition(wanted)
        return found + wanted

    def is_quiet(self, seconds=QUIET_S):
        """Does nothing come for so long, once what was on its way is in?"""
        self.drain()
        return not select.select([self.socket], [], [], seconds)[0]

    def drain(self):
        """Takes what is there, up to 50 ms without a byte."""
        while select.select([self.socket], [], [], 0.05)[0] and (data := self.socket.recv(65536)):
            self.data += data
        self.data = b""

    def send(self, data):
        self.socket.sendall(data)

    def close(self):
        self.socket.close()


class Gdb(Stream):
    """The little of gdb's protocol that the tests speak."""

    @staticmethod
    def frame(data):
        return b"$" + data + b"#%02x" % (sum(data) & 0xff)

    def post(self, data):
        self.send(self.frame(data))

    def packet(self):
        self.read_until(b"$")
        data = self.read_until(b"#")[:-1]
        self.read_bytes(2)
        self.send(b"+")
        return data

    def read_bytes(self, count):
        while len(self.data) < count:
            self.data += self.socket.recv(65536)
        found, self.data = self.data[:count], self.data[count:]
        return found

    def ask(self, data):
        self.post(data)
        return self.packet()


only_fake = unittest.skipIf(REAL, "optional: fake: a knob of the fake, or more than the real one's record says")


class Case(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="fake-renode-")
        self.addCleanup(directory.cleanup)
        self.directory = directory.name

    def run_renode(self, *arguments, **settings):
        console = Console(self.directory, *arguments, **settings)
        self.addCleanup(console.kill)
        return console

    def path(self, name):
        return os.path.join(self.directory, name)

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)
        return self.path(name)

    def start_board(self, image, **settings):
        """(console, what its UART prints): the emulation is not started."""
        console = self.run_renode()
        stream = console.start_board(firmware(image) if image else None, **settings)
        self.addCleanup(stream.close)
        return console, stream

    def assert_clean_end(self, console):
        self.assertEqual(console.wait_exit(), 0)
        self.assertEqual(console.errors(), b"")
