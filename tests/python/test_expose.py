# SPDX-License-Identifier: Apache-2.0
"""Channels.List and Channels.Expose: a port or PTY for a channel of an instance that runs, from then on like one of its start."""

import os
import signal
import socket
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import grpc  # noqa: E402
from pwemu_fixture import CALL_DEADLINE, channels_pb2, firmware, instances_pb2, processes_with, wait_for  # noqa: E402
from test_daemon_endpoints import ON_FAILURE, Endpoints, Reader, policy, pty, tcp  # noqa: E402

Code = grpc.StatusCode


class Expose(Endpoints):
    def expose_request(self, channel="serial0", name="default", **fields):
        return channels_pb2.ExposeRequest(instance=self.ref(name), channel=channel, **fields)

    def expose(self, channel="serial0", name="default", **fields):
        return self.channels.Expose(self.expose_request(channel, name, **fields), timeout=CALL_DEADLINE)

    def assert_refused(self, code, reason, channel="serial0", text="", **fields):
        return self.assert_fails(code, reason, self.channels.Expose, self.expose_request(channel, **fields), timeout=CALL_DEADLINE, text=text)

    def list_channels(self, name="default"):
        request = channels_pb2.ListChannelsRequest(instance=self.ref(name))
        return list(self.channels.List(request, timeout=CALL_DEADLINE).channels)

    def events(self):
        request = instances_pb2.WatchRequest(instance=self.ref(), from_seq=1, no_follow=True)
        return list(self.instances.Watch(request, timeout=30))

    def gdb_asks(self, port):
        """A question of the remote protocol, answered by QEMU; detached again."""
        connection = self.dial(port)
        connection.sendall(b"$?#3f")
        reader = Reader(connection.fileno())
        reader.until(b"$T0")
        connection.sendall(b"+$D#44")
        reader.until(b"$OK#9a")
        connection.close()

    def test_list(self):
        self.start("echo.elf", endpoints=[tcp("serial1")])
        rows = self.list_channels()
        self.assertEqual([row.name for row in rows[:3]], ["serial0", "serial1", "serial2"])
        self.assertEqual([row.name for row in rows], [row.name for row in self.get().channels])
        self.assertEqual((rows[0].type, rows[1].type, rows[1].host), ("none", "tcp", "127.0.0.1"))
        self.assertGreater(rows[1].port, 0)
        self.stop()
        self.assertEqual(self.list_channels()[0].name, "serial0")

    def test_tcp(self):
        """The first party begins at the boot's first byte, and input reaches the guest."""
        self.start("echo.elf")
        self.read_until(b"ready> ")
        row = self.expose()
        self.assertEqual((row.name, row.type, row.host), ("serial0", "tcp", "127.0.0.1"))
        self.assertTrue(20000 <= row.port <= 29999, row.port)
        connection = self.dial(row.port)
        reader = Reader(connection.fileno())
        reader.until(b"ready> ")
        connection.sendall(b"hello\r")
        reader.until(b"got: hello\r\n")
        self.assertEqual(self.endpoint().port, row.port)
        self.assertEqual(self.expose("").port, row.port, "the default channel")
        self.assertEqual(self.expose(type="tcp").port, row.port, "as it is")
        self.stop()
        wait_for(lambda: not self.is_open(row.port), "the port to be closed")

    def test_pty(self):
        wdir = os.path.join(self.dir, "wdir")
        self.start("echo.elf", working_dir=wdir)
        self.read_until(b"ready> ")
        row = self.expose(type="pty")
        self.assertEqual(row.type, "pty")
        self.assertEqual(os.stat(row.path).st_mode & 0o777, 0o600)
        link = os.path.join(wdir, "serial0")
        wait_for(lambda: os.path.islink(link), "the link")
        self.assertEqual(os.readlink(link), row.path)
        fd = self.open_pty(row.path)
        reader = Reader(fd)
        reader.until(b"ready> ")
        os.write(fd, b"hello\r")
        reader.until(b"got: hello\r\n")
        self.assertEqual(self.expose().path, row.path, "no type: what it has")
        self.assert_refused(Code.FAILED_PRECONDITION, "invalid-channel-type", type="tcp", text="pty")
        self.stop()
        wait_for(lambda: not os.path.lexists(link) and not os.path.exists(row.path), "link and terminal to go")

    def test_refusals(self):
        self.start("echo.elf", endpoints=[tcp("serial1"), pty("serial2")])
        self.assert_refused(Code.NOT_FOUND, "invalid-channel", "serial9", text="serial0")
        self.assert_refused(Code.INVALID_ARGUMENT, "invalid-channel-type", type="pipe", text="tcp, pty")
        self.assert_refused(Code.INVALID_ARGUMENT, "invalid-channel-type", type="none", text="tcp or pty")
        self.assert_refused(Code.FAILED_PRECONDITION, "invalid-channel-type", "serial1", type="pty", text="tcp")
        self.assert_refused(Code.FAILED_PRECONDITION, "invalid-channel-type", "serial2", type="tcp", text="pty")
        self.assert_refused(Code.INVALID_ARGUMENT, "", port=70000, text="65535")
        self.assert_refused(Code.INVALID_ARGUMENT, "", type="pty", port=7000, text="tcp endpoint")
        with socket.socket() as stranger:
            stranger.bind(("127.0.0.1", 0))
            stranger.listen()
            taken = stranger.getsockname()[1]
            self.assert_refused(Code.ALREADY_EXISTS, "port-taken", port=taken, text=f"taken by process {os.getpid()} (")
            self.assertEqual(self.endpoint().type, "none")
        other = self.endpoint("serial1").port
        self.assert_refused(Code.ALREADY_EXISTS, "port-taken", port=other, text='channel "serial1" of instance "default"')
        self.assertEqual(self.expose(port=taken).port, taken)
        self.stop()
        self.assert_refused(Code.FAILED_PRECONDITION, "not-running")
        request = channels_pb2.ExposeRequest(instance=self.ref("nobody"), channel="serial0")
        self.assert_fails(Code.NOT_FOUND, "no-instance", self.channels.Expose, request, timeout=CALL_DEADLINE)

    def test_tcp_outlives_daemon_and_emulator(self):
        """The daemon is killed, the emulator, both: the port stays."""
        instance = self.start("echo.elf", restart=policy(ON_FAILURE))
        port = self.expose().port
        self.restart_daemon()
        self.assertEqual(self.endpoint().port, port)
        self.assertEqual(self.expose().port, port)
        connection = self.dial(port)
        reader = Reader(connection.fileno())
        reader.until(b"ready> ")
        self.kill(instance)
        reader.count(b"ready> ", 2)
        self.restart_daemon()
        pid = self.wait_boot(2).pid
        self.daemon.kill()
        os.kill(pid, signal.SIGKILL)
        self.start_daemon()
        self.wait_boot(3)
        self.assertEqual(self.endpoint().port, port)
        Reader(self.dial(port).fileno()).until(b"ready> ")
        self.assertNotIn(instances_pb2.EVENT_KIND_WARNING, [event.kind for event in self.events()])

    def test_pty_outlives_daemon_and_emulator(self):
        """Who has it open sees no hang-up."""
        instance = self.start("echo.elf", restart=policy(ON_FAILURE))
        path = self.expose(type="pty").path
        fd = self.open_pty(path)
        reader = Reader(fd)
        reader.until(b"ready> ")
        self.restart_daemon()
        self.assertEqual(self.endpoint().path, path)
        os.write(fd, b"one\r")
        reader.until(b"got: one")
        self.kill(instance)
        reader.count(b"ready> ", 3)
        os.write(fd, b"two\r")
        reader.until(b"got: two")

    def test_in_back_off(self):
        """The shim of the boot that ended holds it until the next one does."""
        instance = self.start("echo.elf", restart=policy(ON_FAILURE, 1500, max_delay_ms=1500))
        port = self.expose().port
        self.kill(instance)
        self.wait_state(instances_pb2.STATE_BACKOFF)
        self.assert_refused(Code.FAILED_PRECONDITION, "not-running", "serial1")
        self.restart_daemon()
        reader = Reader(self.dial(port).fileno())
        self.wait_boot(2)
        reader.until(b"ready> ")

    def test_explicit_restart_forgets_it(self):
        """It was no part of the start that is repeated."""
        self.start("echo.elf")
        port = self.expose().port
        self.instances.Restart(instances_pb2.RestartRequest(instance=self.ref()), timeout=CALL_DEADLINE)
        self.assertEqual(self.endpoint().type, "none")
        self.assertFalse(self.is_open(port))

    def test_semihosting_emulator_and_gdb(self):
        self.start("semi.elf", semihosting=True, pause=True)
        semihosting, emulator, gdb = self.expose("semihosting"), self.expose("emulator"), self.expose("gdb", type="tcp")
        self.assertEqual(len({semihosting.port, emulator.port, gdb.port}), 3)
        self.gdb_asks(gdb.port)
        self.restart_daemon()
        self.assertEqual([self.endpoint(name).port for name in ("semihosting", "emulator", "gdb")], [semihosting.port, emulator.port, gdb.port])

    def test_gdb_over_a_crash(self):
        self.start("echo.elf")
        port = self.expose("gdb").port
        self.gdb_asks(port)
        self.restart_daemon()
        self.gdb_asks(port)
        self.instances.Resume(instances_pb2.ResumeRequest(instance=self.ref()), timeout=CALL_DEADLINE)

    def test_emulators_words_are_read_only(self):
        self.start("lockup.elf", pause=True)
        connection = self.dial(self.expose("emulator").port)
        wait_for(lambda: self.endpoint("emulator").readers > 0, "it to be attached")
        request = instances_pb2.ResumeRequest(instance=self.ref())
        call = self.instances.Resume.future(request, timeout=CALL_DEADLINE)  # the guest may end before it is answered
        seen = b""
        connection.settimeout(CALL_DEADLINE)
        while data := connection.recv(65536):
            seen += data
        self.assertIn(b"Lockup", seen)
        wait_for(call.done, "the call to end")
        self.assertFalse(self.endpoint("emulator").has_writer)

    def test_boards(self):
        for board in ("mps2-an385", "netduinoplus2", "riscv32-virt"):
            name = "b-" + board
            self.start(firmware("echo.elf", board), name=name, board="qemu-" + board)
            connection = self.dial(self.expose("", name).port)
            reader = Reader(connection.fileno())
            reader.until(b"ready> ")
            connection.sendall(b"hi\r")
            reader.until(b"got: hi")

    def test_shim_that_does_not_take_it(self):
        """The endpoint works, and it is said how long it will."""
        self.start("echo.elf", restart=policy(ON_FAILURE))
        shims = [pid for pid, command in processes_with(self.dir).items() if command.startswith("pwemu-shim")]
        self.assertEqual(len(shims), 1)
        os.kill(shims[0], signal.SIGSTOP)
        try:
            port = self.expose().port
            Reader(self.dial(port).fileno()).until(b"ready> ")
            warnings = [event.reason for event in self.events() if event.kind == instances_pb2.EVENT_KIND_WARNING]
            self.assertTrue(any("ends with the daemon" in text for text in warnings), warnings)
        finally:
            os.kill(shims[0], signal.SIGCONT)


if __name__ == "__main__":
    unittest.main()
