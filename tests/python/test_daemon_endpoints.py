# SPDX-License-Identifier: Apache-2.0
"""Ports and PTYs of channels: the same for the life of the instance, whatever dies; on real QEMU."""

import fcntl
import os
import signal
import socket
import subprocess
import sys
import termios
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import grpc  # noqa: E402
from fd_reader import Reader  # noqa: E402
from pwemu_fixture import Attachment, instances_pb2, sequence, targets_pb2, wait_for  # noqa: E402
from test_daemon_restart import ON_FAILURE, Restarts, policy  # noqa: E402

Code = grpc.StatusCode


def tcp(channel="serial0", port=0):
    return targets_pb2.Endpoint(channel=channel, type="tcp", port=port)


def pty(channel="serial0"):
    return targets_pb2.Endpoint(channel=channel, type="pty")


class Endpoints(Restarts):
    def endpoint(self, channel="serial0", name="default"):
        return next(row for row in self.get(name).channels if row.name == channel)

    def dial(self, port):
        connection = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.addCleanup(connection.close)
        connection.setblocking(True)
        return connection

    def open_pty(self, path):
        fd = os.open(path, os.O_RDWR | os.O_NOCTTY)
        self.addCleanup(os.close, fd)
        return fd

    def is_open(self, port):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0


class Tcp(Endpoints):
    def test_prompt_and_echo(self):
        instance = self.start("echo.elf", endpoints=[tcp()])
        row = self.endpoint()
        self.assertEqual((row.type, row.host), ("tcp", "127.0.0.1"))
        self.assertTrue(20000 <= row.port <= 29999, row.port)
        connection = self.dial(row.port)
        reader = Reader(connection.fileno())
        reader.until(b"ready> ")
        connection.sendall(b"hello\r")
        reader.until(b"got: hello\r\n")
        self.assertTrue(self.endpoint().has_writer)
        self.assertIn("tcp client", self.endpoint().writer)
        connection.close()
        wait_for(lambda: not self.endpoint().has_writer, "the role to be free")
        self.assertGreater(instance.pid, 0)
        self.stop()
        wait_for(lambda: not self.is_open(row.port), "the port to be closed")

    def test_first_party_and_later_ones(self):
        self.start("echo.elf", endpoints=[tcp()])
        first = self.dial(self.endpoint().port)
        Reader(first.fileno()).until(b"ready> ")
        later = self.dial(self.endpoint().port)
        wait_for(lambda: self.endpoint().readers >= 2, "both to be attached")
        first.sendall(b"x\r")
        self.assertTrue(Reader(later.fileno()).until(b"got: x").startswith(b"x"), "it begins at now")

    def test_same_port_for_life(self):
        """The emulator dies, the daemon dies, both die: one port; a connection outlives the emulator."""
        instance = self.start("echo.elf", endpoints=[tcp()], restart=policy(ON_FAILURE))
        port = self.endpoint().port
        connection = self.dial(port)
        reader = Reader(connection.fileno())
        reader.until(b"ready> ")
        self.kill(instance)
        reader.count(b"ready> ", 2)
        connection.sendall(b"again\r")
        reader.until(b"got: again")
        self.restart_daemon()
        self.assertEqual(self.endpoint().port, port)
        connection = self.dial(port)
        wait_for(lambda: self.endpoint().readers > 0, "it to be attached")
        connection.sendall(b"more\r")
        Reader(connection.fileno()).until(b"got: more")
        pid = self.get().pid
        self.daemon.kill()
        os.kill(pid, signal.SIGKILL)
        self.start_daemon()
        self.wait_boot(3)
        self.assertEqual(self.endpoint().port, port)
        Reader(self.dial(port).fileno()).until(b"ready> ")

    def test_port_in_backoff(self):
        """Nobody else can have it meanwhile, and who connects waits for the next boot."""
        instance = self.start("echo.elf", endpoints=[tcp()], restart=policy(ON_FAILURE, 1500, max_delay_ms=1500))
        port = self.endpoint().port
        self.kill(instance)
        self.wait_state(instances_pb2.STATE_BACKOFF)
        self.restart_daemon()
        with socket.socket() as other, self.assertRaises(OSError):
            other.bind(("127.0.0.1", port))
            other.listen()
        reader = Reader(self.dial(port).fileno())
        self.wait_boot(2)
        reader.until(b"ready> ")

    def test_wanted_port(self):
        with socket.socket() as stranger:
            stranger.bind(("127.0.0.1", 0))
            stranger.listen()
            taken = stranger.getsockname()[1]
            self.assert_fails(Code.ALREADY_EXISTS, "port-taken", self.start, "echo.elf", endpoints=[tcp(port=taken)], text=str(taken))
        self.start("echo.elf", endpoints=[tcp(port=taken)])
        self.assertEqual(self.endpoint().port, taken)
        self.assert_fails(Code.ALREADY_EXISTS, "port-taken", self.start, "echo.elf", "other", endpoints=[tcp(port=taken)], text=str(taken))

    def test_many_ports_differ(self):
        for n in range(5):
            self.start("hello.elf", f"m{n}", endpoints=[tcp("serial0"), tcp("serial1")])
        ports = [row.port for instance in self.list() for row in instance.channels if row.type == "tcp"]
        self.assertEqual(len(set(ports)), 10)

    def test_unknown_channel(self):
        self.assert_fails(Code.INVALID_ARGUMENT, "invalid-channel", self.start, "echo.elf", endpoints=[tcp("serial9")], text="serial9")
        bad = targets_pb2.Endpoint(channel="serial0", type="pipe")
        self.assert_fails(Code.INVALID_ARGUMENT, "invalid-channel-type", self.start, "echo.elf", endpoints=[bad], text="tcp, pty")

    def test_last_words_reach_the_client(self):
        """A guest that prints and ends: everything arrives before the connection is closed."""
        self.start("seqn.elf", semihosting=True, pause=True, endpoints=[tcp()])
        connection = self.dial(self.endpoint().port)
        self.instances.Resume(instances_pb2.ResumeRequest(instance=self.ref()), timeout=30)
        seen = b""
        connection.settimeout(60)
        while data := connection.recv(65536):
            seen += data
        self.assertEqual(seen, sequence(0, 20000 * 9))

    def test_stranger_is_refused(self):
        """Of another uid: connects, sends and closes at once. Not a byte reaches the guest."""
        if os.geteuid() != 0:
            self.skipTest("optional: stranger: needs root to be somebody else")
        self.start("echo.elf", endpoints=[tcp()])
        self.read_until(b"ready> ")
        port = self.endpoint().port
        script = f"import socket,os;os.setuid(65534);s=socket.create_connection(('127.0.0.1',{port}));s.sendall(b'evil\\r');s.close()"
        for _ in range(20):
            subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
        client = Attachment(self, write=True)
        client.send(b"good\r")
        client.wait_output(b"got: good\r\n")
        client.close()
        self.assertNotIn(b"evil", self.read_all())
        warnings = [event.reason for event in self.events() if event.kind == instances_pb2.EVENT_KIND_WARNING]
        self.assertTrue(any("65534" in text or "closed" in text or "gone" in text for text in warnings), warnings)

    def events(self):
        request = instances_pb2.WatchRequest(instance=self.ref(), from_seq=1, no_follow=True)
        return list(self.instances.Watch(request, timeout=30))


class Pty(Endpoints):
    def test_raw_from_birth(self):
        self.start("echo.elf", endpoints=[pty()])
        row = self.endpoint()
        self.assertEqual(row.type, "pty")
        status = os.stat(row.path)
        self.assertEqual((status.st_uid, status.st_mode & 0o777), (os.geteuid(), 0o600))
        fd = self.open_pty(row.path)
        mode = termios.tcgetattr(fd)
        self.assertEqual(mode[3] & (termios.ECHO | termios.ICANON | termios.ISIG), 0)
        self.assertEqual(mode[1] & termios.OPOST, 0)
        reader = Reader(fd)
        reader.until(b"ready> ")
        os.write(fd, b"hello\r")
        reader.until(b"got: hello\r\n")
        self.assertEqual(reader.seen.count(b"hello"), 2)  # the guest's echo and its answer, no tty's

    def test_no_hang_up(self):
        """A terminal program that has it open sees nothing of it: emulator, daemon, both."""
        instance = self.start("echo.elf", endpoints=[pty()], restart=policy(ON_FAILURE))
        path = self.endpoint().path
        fd = self.open_pty(path)
        reader = Reader(fd)
        reader.count(b"ready> ", 1)
        self.kill(instance)
        reader.count(b"ready> ", 2)
        self.restart_daemon()
        self.assertEqual(self.endpoint().path, path)
        os.write(fd, b"one\r")
        reader.until(b"got: one")
        pid = self.wait_boot(2).pid
        self.daemon.kill()
        os.kill(pid, signal.SIGKILL)
        self.start_daemon()
        reader.count(b"ready> ", 4)
        os.write(fd, b"two\r")
        reader.until(b"got: two")
        self.assertEqual(self.endpoint().path, path)

    def test_exact_over_crashes(self):
        """At full speed, with the daemon killed again and again: every byte once, in order."""
        self.start("seq.elf", endpoints=[pty()])
        fd = self.open_pty(self.endpoint().path)
        reader = Reader(fd)
        for _ in range(8):
            wanted = len(reader.seen) + 60000
            while len(reader.seen) < wanted:
                reader.more()
            self.restart_daemon()
        reader.more()
        self.assertEqual(reader.seen, sequence(0, len(reader.seen)))

    def test_closed_and_opened_again(self):
        """Who comes later begins at now; what was printed in between is in the log, and the daemon does not spin."""
        self.start("echo.elf", endpoints=[pty()])
        path = self.endpoint().path
        fd = os.open(path, os.O_RDWR | os.O_NOCTTY)
        Reader(fd).until(b"ready> ")
        mode = termios.tcgetattr(fd)
        mode[3] |= termios.ECHO | termios.ICANON
        termios.tcsetattr(fd, termios.TCSANOW, mode)
        os.close(fd)
        wait_for(lambda: self.endpoint().readers == 0, "it to be seen as closed")
        client = Attachment(self, write=True)
        client.send(b"meanwhile\r")
        client.wait_output(b"got: meanwhile")
        client.close()
        before = self.cpu_s()
        time.sleep(0.5)  # not a wait: the time in which a busy loop would show
        self.assertLess(self.cpu_s() - before, 0.3)
        wait_for(lambda: not self.endpoint().has_writer, "the role to be free")
        fd = self.open_pty(path)
        self.assertEqual(termios.tcgetattr(fd)[3] & (termios.ECHO | termios.ICANON), 0, "raw again")
        wait_for(lambda: self.endpoint().readers > 0, "it to be seen as open")
        os.write(fd, b"later\r")
        seen = Reader(fd).until(b"got: later")
        self.assertNotIn(b"meanwhile", seen)
        self.assertNotIn(b"meanwhile\r\nmeanwhile", self.read_all())

    def cpu_s(self):
        with open(f"/proc/{self.daemon.pid}/stat") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def test_link_in_the_working_directory(self):
        wdir = os.path.join(self.dir, "wdir")
        self.start("echo.elf", endpoints=[pty()], working_dir=wdir)
        link = os.path.join(wdir, "serial0")
        wait_for(lambda: os.path.islink(link), "the link")
        self.assertEqual(os.readlink(link), self.endpoint().path)
        fcntl.fcntl(self.open_pty(link), fcntl.F_GETFL)

    def test_gone_at_the_end(self):
        self.start("echo.elf", endpoints=[pty()])
        path = self.endpoint().path
        self.stop()
        wait_for(lambda: not os.path.exists(path), "the terminal to go")

    def test_last_words(self):
        self.start("seqn.elf", semihosting=True, pause=True, endpoints=[pty()])
        fd = self.open_pty(self.endpoint().path)
        self.instances.Resume(instances_pb2.ResumeRequest(instance=self.ref()), timeout=30)
        seen = b""
        while len(seen) < 20000 * 9:
            data = os.read(fd, 65536)
            self.assertTrue(data, f"end of file after {len(seen)} bytes")
            seen += data
        self.assertEqual(seen, sequence(0, 20000 * 9))


if __name__ == "__main__":
    unittest.main()
