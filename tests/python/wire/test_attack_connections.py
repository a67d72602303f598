# SPDX-License-Identifier: Apache-2.0
"""Clients that attack the daemon by how many they are and how slow: idle, half-made, half-closed, gone, all at once. Somebody else is served
all along; memory stays bounded (attack_rig.Case)."""

import os
import resource
import socket
import struct
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import rig  # noqa: E402
from attack_rig import Bystander, Case  # noqa: E402
from pwemu_fixture import instances_pb2, wait_for  # noqa: E402
from rig import DATA, END_HEADERS, END_STREAM, HEADERS, INITIAL_WINDOW_SIZE, PREFACE, SETTINGS, frame, message, request_headers  # noqa: E402

WATCH = b"/pwemu.v1.Instances/Watch"
CONNECTIONS_MAX = 4096
IDLE_KIB = 24  # of one idle connection
SOFT, HARD = resource.getrlimit(resource.RLIMIT_NOFILE)
if HARD != resource.RLIM_INFINITY and HARD < 6000:
    resource.setrlimit(resource.RLIMIT_NOFILE, (6000, 6000))
else:
    resource.setrlimit(resource.RLIMIT_NOFILE, (6000, HARD))


def watch(stream):
    """A call that stays open: events from the first on, that is the daemon's beginning."""
    body = message(instances_pb2.WatchRequest(from_seq=1).SerializeToString())
    return frame(HEADERS, END_HEADERS, stream, request_headers(b"", path=WATCH)) + frame(DATA, END_STREAM, stream, body)


HELLO = PREFACE + frame(SETTINGS)
DEAF = PREFACE + frame(SETTINGS, payload=struct.pack(">HI", INITIAL_WINDOW_SIZE, 0))


class Many(Case):
    def fds(self):
        return len(os.listdir(f"/proc/{self.daemon.pid}/fd"))

    def crowd(self, count, text=HELLO):
        """That many connections, as plain sockets, each of which has said `text`."""
        made = []
        for _ in range(count):
            one = socket.socket(socket.AF_UNIX)
            self.raws.append(one)
            one.connect(self.daemon.socket)
            one.settimeout(rig.CALL_DEADLINE)
            try:
                one.sendall(text)
            except (BrokenPipeError, ConnectionResetError):
                pass  # sent away already
            made.append(one)
        return made

    def is_open(self, one):
        """Whether the daemon still has it; what it says is thrown away."""
        one.setblocking(False)
        try:
            while True:
                if not one.recv(65536):
                    return False
        except BlockingIOError:
            return True
        except ConnectionResetError:
            return False

    def leave(self, crowd):
        for one in crowd:
            one.close()
            self.raws.remove(one)


class Idle(Many):
    growth_kib = 5000 * IDLE_KIB

    def test_idle(self):
        """5000 connections that do nothing: the oldest make room for the youngest, and one that is used stays."""
        used = self.raw()
        used.send(watch(1))
        used.read_until(HEADERS, 1)
        crowd = self.crowd(5000)
        self.assertLessEqual(self.fds(), CONNECTIONS_MAX + 100)
        wait_for(lambda: not self.is_open(crowd[0]), "the oldest to be ended")
        wait_for(lambda: not any(self.is_open(one) for one in crowd[:800]), "as many as are too many to be ended")
        self.assertTrue(all(self.is_open(one) for one in crowd[-3000:]))
        used.send(frame(rig.PING, 0, 0, bytes(8)))
        used.read_until(rig.PING)
        self.assert_unharmed()
        self.leave(crowd)
        wait_for(lambda: self.fds() < 100, "the daemon to see that they have gone")

    def test_silent(self):
        """The same with connections that say nothing, or only half of the first words."""
        crowd = []
        for text in (b"", PREFACE[:3], PREFACE, HELLO[:-1]):
            crowd += self.crowd(1250, text)
        late = self.crowd(1)[0]
        self.assertTrue(late.recv(9))
        self.assert_unharmed()

    def test_one_byte_at_a_time(self):
        """Slowloris: first words and headers that come in single bytes, for ever."""
        text = HELLO + frame(HEADERS, 0, 1, request_headers(b"", path=WATCH))
        crowd = self.crowd(1500, b"")
        for at in range(0, len(text)):
            for one in crowd[at % 10 :: 10]:  # each has its turn now and then
                try:
                    one.send(text[at // 10 : at // 10 + 1])
                except (BrokenPipeError, ConnectionResetError):
                    pass
        self.assert_unharmed()


class Ends(Many):
    def test_half_closed(self):
        """Who can say no more is gone, whatever was open."""
        before = self.fds()
        crowd = self.crowd(300, HELLO + watch(1) + watch(3)[:-2])
        for one in crowd:
            one.shutdown(socket.SHUT_WR)
        wait_for(lambda: self.fds() <= before, "the daemon to let them go")
        self.assert_unharmed()

    def test_vanished(self):
        """Gone in the middle of everything, unread answers and all."""
        before = self.fds()
        for length in range(0, 400, 3):
            text = (HELLO + watch(1) + watch(3) + frame(rig.PING, 0, 0, bytes(8)) * 5)[:length]
            self.leave(self.crowd(3, text))
        wait_for(lambda: self.fds() <= before, "the daemon to let them go")
        self.assert_unharmed()

    def test_storm(self):
        before = self.fds()
        for _ in range(40):
            self.leave(self.crowd(100, HELLO + watch(1)))
        wait_for(lambda: self.fds() <= before, "the daemon to let them go")
        self.assert_unharmed()


class Limits(Many):
    growth_kib = 160 * 1024

    def test_every_limit_at_once(self):
        """As many connections as there may be, many of them with as many streams as there may be, no window, half a request; and a flood."""
        streams = b"".join(watch(stream) for stream in range(1, 253, 2))
        half = frame(HEADERS, END_HEADERS, 253, request_headers(b"", path=b"/pwemu.v1.Channels/Attach")) + frame(
            DATA, 0, 253, b"\0" + struct.pack(">I", 60000) + bytes(16000)
        )
        self.crowd(60, DEAF + streams + half)
        self.crowd(4200, HELLO)
        flood = self.raw()
        for _ in range(50):
            if not flood.send(frame(rig.PING, 0, 0, bytes(8)) * 1000):
                break
        late = self.raw()
        late.send(watch(1))
        late.read_until(HEADERS, 1)
        self.assert_unharmed()

    def test_all_in_use(self):
        """Where each connection has a call, one more of the same user is sent away, at once; those who are in are served."""
        self.restart_small(["prlimit", "--nofile=256:256"])
        self.bystander.finish()  # of the same user: it is no better than who comes too late
        inside = [self.raw() for _ in range(100)]
        for raw in inside:
            raw.send(watch(1))
            raw.read_until(HEADERS, 1)
        late = self.crowd(100, HELLO + watch(1))
        wait_for(lambda: sum(not self.is_open(one) for one in late) >= 72, "those who are too many to be sent away")
        for raw in inside:
            raw.send(frame(rig.PING, 0, 0, bytes(8)))
            raw.read_until(rig.PING)
            raw.close()
        self.leave(late)
        self.bystander = Bystander(self.daemon)
        self.assert_unharmed()
        wait_for(lambda: self.fds() < 60, "the daemon to let them go")

    def restart_small(self, command):
        self.bystander.finish()
        self.bystander.channel.close()
        self.daemon.terminate()
        self.daemon.wait()
        self.start_daemon(command=command)
        self.bystander = Bystander(self.daemon)
        self.before_kib = self.peak_kib()


class Files(Many):
    def lower(self, more):
        """As many files as it has, and some; to be had back by the test."""
        limits = resource.prlimit(self.daemon.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(self.daemon.pid, resource.RLIMIT_NOFILE, (self.fds() + more, limits[1]))
        return limits

    def cpu_ticks(self):
        with open(f"/proc/{self.daemon.pid}/stat", encoding="ascii") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return int(fields[11]) + int(fields[12])

    def test_idle_ones_make_room(self):
        """Without a file left the idle make room for who comes; nobody who has a call is touched."""
        used = self.raw()
        used.send(watch(1))
        used.read_until(HEADERS, 1)
        idle = self.crowd(20)
        wait_for(lambda: all(one.recv(1, socket.MSG_PEEK) for one in idle), "all to be in")
        limits = self.lower(0)
        late = self.raw()
        late.send(watch(1))
        late.read_until(HEADERS, 1)
        resource.prlimit(self.daemon.pid, resource.RLIMIT_NOFILE, limits)
        used.send(frame(rig.PING, 0, 0, bytes(8)))
        used.read_until(rig.PING)
        self.assert_unharmed()

    def test_none_left(self):
        """All in use: those who are in are served, who comes waits, and is served when there is room; the daemon does not spin."""
        inside = [self.raw() for _ in range(20)]
        for raw in inside:
            raw.send(watch(1))
            raw.read_until(HEADERS, 1)
        self.lower(0)
        late = [self.raw() for _ in range(20)]
        for raw in late:
            raw.send(watch(1))
        ticks, begin = self.cpu_ticks(), time.monotonic()
        for number in range(100):
            inside[number % 20].send(frame(rig.PING, 0, 0, bytes(8)))
            inside[number % 20].read_until(rig.PING)
        if time.monotonic() - begin > 1:
            self.assertLess(self.cpu_ticks() - ticks, 80)
        for raw in inside:
            raw.close()
        for raw in late:
            raw.read_until(HEADERS, 1)
        self.assert_unharmed()


class Users(rig.Case):
    """Two users of one server: who has all places gives one to another who has few."""

    options = {"max_connections": 40}

    @unittest.skipIf(os.getuid() != 0, "optional: another user is made by root alone")
    def test_another_user(self):
        os.chmod(self.server.dir.name, 0o755)
        os.chmod(self.server.path, 0o666)
        inside = [self.server.raw() for _ in range(40)]
        for raw in inside:
            raw.request(b"Hold", rig.pb.Note())
            raw.send(frame(rig.PING, 0, 0, bytes(8)))
            raw.read_until(rig.PING)
        mine = self.server.raw()
        mine.read_to_end()
        self.assertEqual(self.as_nobody(), b"served")
        self.assert_some_left(inside)

    def as_nobody(self):
        told, tells = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.setgid(65534)
                os.setuid(65534)
                raw = rig.Raw(self.server.path)
                stream = raw.request(b"Echo", rig.pb.Note(text="x"))
                os.write(tells, b"served" if raw.read_until(DATA, stream) else b"")
            finally:
                os._exit(0)
        os.close(tells)
        with os.fdopen(told, "rb") as answer:
            said = answer.read()
        os.waitpid(child, 0)
        return said

    def assert_some_left(self, inside):
        left = 0
        for raw in inside:
            raw.send(frame(rig.PING, 0, 0, bytes(8)))
            try:
                raw.read_until(rig.PING)
                left += 1
            except AssertionError:
                pass
        self.assertEqual(left, 39)


if __name__ == "__main__":
    unittest.main()
