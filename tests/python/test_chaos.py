# SPDX-License-Identifier: Apache-2.0
"""Several clients do random things at once, while emulators, shims and the daemon are killed. Whatever happens: the daemon answers as
its contract says, never crashes, leaves nothing behind, and what the sequence firmware printed is in the logs, each byte at its place.

CHAOS_OPERATIONS and CHAOS_SECONDS: how much, whichever comes first. CHAOS_SEED: which (threads still run as they like)."""

import collections
import os
import random
import signal
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import grpc  # noqa: E402
from pwemu_fixture import (  # noqa: E402
    CALL_DEADLINE, Case, channels_pb2, channels_pb2_grpc, common_pb2, daemon_pb2, daemon_pb2_grpc, instances_pb2, instances_pb2_grpc,
    processes_with, read_proc, sequence, wait_for,
)  # fmt: skip

OPERATIONS = int(os.environ.get("CHAOS_OPERATIONS", "600"))
SECONDS = float(os.environ.get("CHAOS_SECONDS", "15"))
SEED = int(os.environ.get("CHAOS_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)
CLIENTS = 5
SEQUENCES = ["seq0", "seq1"]  # these print the sequence and nothing else, from 0 in each boot
OTHERS = ["a", "b", "c"]
IMAGES = ["hello.elf", "echo.elf", "slow.elf", "lockup.elf", "seq.elf", "/none.elf"]

Code = grpc.StatusCode
# What a client may be told. Anything else is a fault of the daemon: INTERNAL, UNKNOWN, DATA_LOSS…
EXPECTED = {
    Code.CANCELLED, Code.DEADLINE_EXCEEDED, Code.NOT_FOUND, Code.ALREADY_EXISTS, Code.FAILED_PRECONDITION, Code.ABORTED,
    Code.OUT_OF_RANGE, Code.UNAVAILABLE, Code.INVALID_ARGUMENT,
}  # fmt: skip


class Client(threading.Thread):
    def __init__(self, case, number, budget):
        super().__init__(daemon=True)
        self.case = case
        self.random = random.Random(SEED * 100 + number)
        self.budget = budget
        self.done = 0
        self.problems = []
        self.known_daemon = case.daemon
        self.operation = None
        self.answers = collections.Counter()
        channel = case.daemon.channel(("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 300))
        self.grpc_channel = channel
        self.instances = instances_pb2_grpc.InstancesStub(channel)
        self.channels = channels_pb2_grpc.ChannelsStub(channel)
        self.control = daemon_pb2_grpc.DaemonStub(channel)

    def run(self):
        operations = [
            (self.do_start, 8), (self.do_stop, 3), (self.do_action, 6), (self.do_read, 6), (self.do_attach, 4), (self.do_watch, 3),
            (self.do_list, 4), (self.do_remove, 1), (self.do_kill, 2), (self.do_cancel, 4),
        ]  # fmt: skip
        kinds, weights = zip(*operations)
        while self.done < self.budget and time.monotonic() < self.case.until:
            self.done += 1
            operation = self.random.choices(kinds, weights)[0]
            self.operation = operation.__name__
            self.follow_daemon()
            try:
                operation()
                self.answers["OK"] += 1
            except grpc.RpcError as error:
                self.answers[error.code().name] += 1
                if error.code() not in EXPECTED:
                    self.problems.append(f"{operation.__name__}: {error.code()} {error.details()}")
            except Exception as error:  # pylint: disable=broad-except
                self.problems.append(f"{operation.__name__}: {error!r}")
        self.grpc_channel.close()

    def follow_daemon(self):
        """Calls that are under way feel the end of a daemon; none is begun while there is none. Without this a Watch was seen, once in a
        few thousand operations, that its own deadline did not end until the channel was closed. Why is not known."""
        self.case.is_up.wait(CALL_DEADLINE)
        if self.known_daemon is self.case.daemon:
            return
        self.known_daemon = self.case.daemon
        try:
            self.control.Info(daemon_pb2.InfoRequest(), timeout=CALL_DEADLINE, wait_for_ready=True)
        except grpc.RpcError as error:  # ending again just now, or of no use
            if error.code() != Code.UNAVAILABLE:
                self.problems.append(f"the daemon does not come back: {error.code()} {error.details()}")

    def any_name(self):
        return self.random.choice(SEQUENCES + OTHERS)

    def ref(self):
        return common_pb2.InstanceRef(name=self.any_name())

    def timeout(self):
        return self.random.choice([0.02, 0.2, 5, 15])

    def start_request(self):
        name = self.any_name()
        image = "seq.elf" if name in SEQUENCES else self.random.choice(IMAGES)
        more = {}
        if name not in SEQUENCES:
            more = {"semihosting": self.random.random() < 0.3, "fresh": self.random.random() < 0.1}
        return self.case.request(
            image, "" if more.get("fresh") else name, pause=self.random.random() < 0.2, no_wait=self.random.random() < 0.2,
            stop_on_disconnect=self.random.random() < 0.1, **more,
        )  # fmt: skip

    def do_start(self):
        self.instances.Start(self.start_request(), timeout=15)

    def do_stop(self):
        self.instances.Stop(instances_pb2.StopRequest(instance=self.ref(), grace_ms=self.random.choice([1, 100, 1000])), timeout=15)

    def do_action(self):
        name = self.any_name()
        calls = [(self.instances.Pause, instances_pb2.PauseRequest), (self.instances.Resume, instances_pb2.ResumeRequest)]
        if name not in SEQUENCES:
            calls.append((self.instances.Reset, instances_pb2.ResetRequest))
        call, request = self.random.choice(calls)
        call(request(instance=common_pb2.InstanceRef(name=name)), timeout=self.timeout())

    def do_read(self):
        position = self.random.choice([None, {"offset": self.random.randrange(100000)}, {"tail": 4096}, {"boot": True}, {"now": True}])
        request = channels_pb2.ReadRequest(
            instance=self.ref(), channel=self.random.choice(["", "serial0", "serial1", "emulator", "gdb"]),
            follow=self.random.random() < 0.5, times=self.random.random() < 0.5, one_boot=self.random.random() < 0.3,
            **({"from": common_pb2.Position(**position)} if position else {}),
        )  # fmt: skip
        call = self.channels.Read(request, timeout=self.timeout())
        at = None
        for count, reply in enumerate(call):
            if at is not None and reply.data.offset != at:
                raise AssertionError(f"a hole: {reply.data.offset} after {at}")
            at = reply.data.offset + len(reply.data.bytes)
            if count == 20:
                call.cancel()
                break

    def do_attach(self):
        opening = channels_pb2.AttachOpen(instance=self.ref(), write=True, steal=self.random.random() < 0.5)
        text = bytes(self.random.choices(b"abc\r", k=self.random.choice([1, 50, 70000])))

        def requests():
            yield channels_pb2.AttachRequest(open=opening)
            for _ in range(3):
                yield channels_pb2.AttachRequest(input=text)

        call = self.channels.Attach(requests(), timeout=self.random.choice([0.1, 0.5]))
        for count, _ in enumerate(call):
            if count == 10:
                call.cancel()
                break

    def do_watch(self):
        watch = self.instances.Watch(instances_pb2.WatchRequest(instance=self.ref(), snapshots=True), timeout=self.random.choice([0.1, 1]))
        for _ in watch:
            pass

    def do_list(self):
        self.instances.List(instances_pb2.ListRequest(all=True), timeout=15)

    def do_remove(self):
        self.instances.Remove(instances_pb2.RemoveRequest(instance=self.ref(), force=self.random.random() < 0.5), timeout=15)

    def do_cancel(self):
        """A call that is given up as soon as it is made."""
        calls = [
            (self.instances.Start, self.start_request()), (self.instances.Stop, instances_pb2.StopRequest(instance=self.ref())),
            (self.instances.Pause, instances_pb2.PauseRequest(instance=self.ref())),
            (self.instances.Remove, instances_pb2.RemoveRequest(instance=self.ref(), force=True)),
        ]  # fmt: skip
        call, request = self.random.choice(calls)
        future = call.future(request, timeout=15)
        if self.random.random() < 0.7:
            self.do_list()
        future.cancel()

    def do_kill(self):
        pid = self.instances.Get(instances_pb2.GetRequest(instance=self.ref()), timeout=15).pid
        # only what is ours: the number may have been given to another process meanwhile
        if not pid or self.case.dir.encode() not in read_proc(pid, "environ"):
            return
        kind = self.random.choice(["emulator", "shim", "freeze"])
        try:
            if kind == "shim":
                shim = int(read_proc(pid, "stat").rsplit(b")", 1)[1].split()[1])
                if b"pwemu-shim" in read_proc(shim, "cmdline"):
                    os.kill(shim, signal.SIGKILL)
            else:
                os.kill(pid, signal.SIGKILL if kind == "emulator" else signal.SIGSTOP)
        except (ProcessLookupError, IndexError):
            pass


class Chaos(Case):
    def test_chaos(self):
        chance = random.Random(SEED)
        self.baseline = self.idle_descriptors()
        self.until = time.monotonic() + SECONDS
        self.is_up = threading.Event()
        self.is_up.set()
        clients = [Client(self, number, OPERATIONS // CLIENTS) for number in range(CLIENTS)]
        for client in clients:
            client.start()
        while running := [client for client in clients if client.is_alive()]:
            running[0].join(chance.uniform(0.3, 3))
            self.assertTrue(self.daemon.is_running(), f"the daemon crashed, seed {SEED}")
            if time.monotonic() < self.until and chance.random() < 0.3:
                self.replace_daemon(chance.random() < 0.7)
            late = [client.operation for client in running if time.monotonic() > self.until + 2 * CALL_DEADLINE and client.is_alive()]
            self.assertEqual(late, [], f"calls that do not end, seed {SEED}")
        problems = [problem for client in clients for problem in client.problems]
        self.assertEqual(problems[:10], [], f"seed {SEED}")
        done = sum(client.done for client in clients)
        answers = sum((client.answers for client in clients), collections.Counter())
        print(f"{done} operations, {len(self.daemons)} daemons, seed {SEED}, {dict(answers)}", file=sys.stderr)
        self.check_end()

    def replace_daemon(self, by_kill):
        self.is_up.clear()
        process = self.daemon.process
        if by_kill:
            process.kill()
            process.wait()
        else:
            self.daemon.terminate()
            self.assertEqual(self.daemon.wait(), 0, f"seed {SEED}")
        self.start_daemon()
        self.is_up.set()

    def idle_descriptors(self):
        """Of a daemon with one client and no instance that runs."""
        self.control.Info(daemon_pb2.InfoRequest(), timeout=CALL_DEADLINE)
        return len(os.listdir(f"/proc/{self.daemon.pid}/fd"))

    def check_end(self):
        calls = [
            self.instances.Stop.future(instances_pb2.StopRequest(instance=common_pb2.InstanceRef(id=row.id), grace_ms=100), timeout=30)
            for row in self.list(False)
        ]
        for call in calls:
            self.assertIn(call.code(), (Code.OK, Code.FAILED_PRECONDITION, Code.NOT_FOUND), f"{call.details()}, seed {SEED}")
        wait_for(lambda: not self.list(False), "all instances to be over")
        self.assert_nothing_runs()
        wait_for(lambda: os.listdir(os.path.join(self.daemon.state_dir, "run")) == [], "the run directories to go")
        self.check_logs()
        wait_for(lambda: self.idle_descriptors() <= self.baseline, f"no more descriptors than {self.baseline}", 20)
        known = {row.id for row in self.list()}
        self.assertEqual(set(os.listdir(os.path.join(self.daemon.state_dir, "data"))), known, f"seed {SEED}")

    def check_logs(self):
        for row in self.list():
            if row.name not in SEQUENCES or not row.boot:
                continue
            total = 0
            for boot in range(1, row.boot + 1):
                text = self.boot_text(row, boot)
                self.assertEqual(text, sequence(0, len(text)), f"boot {boot} of {row.name}, seed {SEED}")
                total += len(text)
            self.assertEqual(total, os.path.getsize(self.log_path(row)), f"the boots make the log, seed {SEED}")

    def boot_text(self, row, boot):
        position = {"from": common_pb2.Position(boot_number=boot)}
        try:
            return self.read_all("serial0", row.name, one_boot=True, **position)
        except grpc.RpcError as error:
            self.assertEqual(error.code(), Code.NOT_FOUND, error.details())  # it never came so far as to have a log
            return b""


if __name__ == "__main__":
    unittest.main()
