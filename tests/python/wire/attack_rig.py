# SPDX-License-Identifier: Apache-2.0
"""A real daemon that is attacked while somebody else uses it."""

import os
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..")]

import pwemu_fixture  # noqa: E402
import rig  # noqa: E402
from pwemu_fixture import CALL_DEADLINE, IS_SANITIZED, instances_pb2, instances_pb2_grpc  # noqa: E402

LATENCY_MAX_S = 5 if IS_SANITIZED else 1.5  # of one call of somebody else; the machine may be busy with other tests


class Bystander(threading.Thread):
    """Another client with a connection of its own, that asks all the time; a call that fails or is late is remembered."""

    def __init__(self, daemon):
        super().__init__(daemon=True)
        self.channel = daemon.channel()
        self.stub = instances_pb2_grpc.InstancesStub(self.channel)
        self.calls, self.longest_s, self.error, self.is_over = 0, 0.0, None, False
        self.ask()
        self.start()

    def ask(self):
        begin = time.monotonic()
        self.stub.List(instances_pb2.ListRequest(), timeout=CALL_DEADLINE)
        self.longest_s = max(self.longest_s, time.monotonic() - begin)
        self.calls += 1

    def run(self):
        while not self.is_over:
            try:
                self.ask()
            except Exception as error:  # told by the test
                self.error = error
                return
            time.sleep(0.002)

    def finish(self):
        self.is_over = True
        self.join()


class Case(pwemu_fixture.Case):
    """After each test somebody else was served in time all along, is served still, and the daemon is no larger than it may be."""

    growth_kib = 16 * 1024

    def setUp(self):
        super().setUp()
        self.bystander = Bystander(self.daemon)
        self.before_kib = self.peak_kib()

    def peak_kib(self):
        for line in pwemu_fixture.read_proc(self.daemon.pid, "status").decode().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1])
        raise AssertionError("the daemon is gone")

    def assert_unharmed(self):
        self.bystander.finish()
        self.assertIsNone(self.bystander.error)
        calls = self.bystander.calls
        self.bystander.ask()
        self.bystander.channel.close()
        self.assertGreater(calls, 0)
        self.assertLess(self.bystander.longest_s, LATENCY_MAX_S, "somebody else had to wait")
        if not IS_SANITIZED:
            self.assertLess(self.peak_kib() - self.before_kib, self.growth_kib, "the daemon has grown")

    def raw(self, **settings):
        raw = rig.Raw(self.daemon.socket, **settings)
        self.raws.append(raw)
        return raw

    def flood(self, raw, more, rounds=3000):
        """Sends what `more` gives, again and again, and reads, until the daemon ends the connection. The code of its GOAWAY."""
        raw.socket.setblocking(False)
        out, received = b"", bytearray()
        for _ in range(rounds):
            out = out or more()
            try:
                out = out[raw.socket.send(out) :]
            except BlockingIOError:
                time.sleep(0.001)
            except (BrokenPipeError, ConnectionResetError):
                break
            if not self.take(raw, received):
                break
        else:
            self.fail("the daemon takes everything")
        while self.take(raw, received, wait=True):
            pass
        raw.input = raw.input + bytes(received)
        raw.is_over = True
        return goaway_code(raw.input)

    @staticmethod
    def take(raw, received, wait=False):
        """False at the end of the connection."""
        try:
            raw.socket.settimeout(CALL_DEADLINE if wait else 0)
            data = raw.socket.recv(65536)
            received += data
            return bool(data)
        except BlockingIOError:
            return True
        except ConnectionResetError:
            return False


def goaway_code(data):
    """Error code of the last GOAWAY among frames; None: there is none."""
    at, code = 0, None
    while at + 9 <= len(data):
        size = int.from_bytes(data[at : at + 3], "big")
        if data[at + 3] == rig.GOAWAY and at + 17 <= len(data):
            code = int.from_bytes(data[at + 13 : at + 17], "big")
        at += 9 + size
    return code
