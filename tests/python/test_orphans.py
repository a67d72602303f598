# SPDX-License-Identifier: Apache-2.0
"""A stop ends all that an instance has brought into the world, whoever of its keepers was killed before, in whatever state.

CYCLES: starts and stops in a row, default 200."""

import concurrent.futures
import os
import select
import signal
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import grpc  # noqa: E402
import pwemu_fixture  # noqa: E402
from pwemu_fixture import CALL_DEADLINE, Case, instances_pb2, is_alive, processes_with, read_proc, wait_for  # noqa: E402

CYCLES = int(os.environ.get("CYCLES", "200"))
TREE = "helpers=2;fork-bomb=40;ignore-term"
Code = grpc.StatusCode
State = instances_pb2


def parent_of(pid):
    """0: it has gone meanwhile."""
    stat = read_proc(pid, "stat")
    return int(stat.rsplit(b")", 1)[1].split()[1]) if stat else 0


def state_of(pid):
    stat = read_proc(pid, "stat")
    return stat.rsplit(b")", 1)[1].split()[0] if stat else b""


class Orphans(Case):
    def emulators(self):
        """Processes of instances: all that carry a mark."""
        return [pid for pid in processes_with(self.dir) if b"PWEMU_INSTANCE=" in read_proc(pid, "environ")]

    def shims(self):
        return [pid for pid, words in processes_with(self.dir).items() if words.startswith("pwemu-shim")]

    def shim_of(self, pid):
        """A shim has neither arguments nor environment that tell whose it is; its child does."""
        return parent_of(pid)

    def assert_all_gone(self, what):
        wait_for(lambda: not self.emulators(), f"the end of {what}: {self.emulators()}")
        self.assert_nothing_runs()

    def start_tree(self, words="", **fields):
        instance = self.start_fake(f"{TREE};{words}", **fields)
        wait_for(lambda: len(self.emulators()) > 20, "the tree")
        return instance


class Stops(Orphans):
    def test_trees(self):
        """Helpers, their children in sessions of their own, a bomb that grows again, all ignoring SIGTERM."""
        self.start_tree()
        self.assertEqual(self.stop(grace_ms=200).end.cause, State.END_CAUSE_STOPPED)
        self.assert_all_gone("the tree")

    def test_end_by_itself(self):
        """The emulator goes, its children go with it."""
        self.start_fake(f"{TREE};crash=after:500ms;exit=3")
        self.assertEqual(self.wait_end().code, 3)
        self.assert_all_gone("the tree")

    def test_frozen(self):
        """A real QEMU that a full channel has frozen, with nobody to drain it."""
        instance = self.start("seq.elf")
        os.kill(self.daemon.pid, signal.SIGSTOP)
        self.addCleanup(self.daemon.process.send_signal, signal.SIGCONT)
        fifo = os.open(os.path.join(self.daemon.state_dir, "run", instance.id, "serial0.out"), os.O_RDWR | os.O_NONBLOCK)
        self.addCleanup(os.close, fifo)
        wait_for(lambda: not select.select([], [fifo], [], 0)[1], "the channel to be full")
        os.kill(self.daemon.pid, signal.SIGCONT)
        self.assertEqual(self.stop(grace_ms=500).end.cause, State.END_CAUSE_STOPPED)
        self.assert_all_gone("QEMU")

    def test_frozen_fake(self):
        """One that hears nothing at all."""
        self.start_fake("output=flood;hang-after=300ms;helpers=2")
        self.stop(grace_ms=100)
        self.assert_all_gone("the emulator")

    def test_daemon_shutdown(self):
        for name in ("a", "b", "c"):
            self.start_fake(TREE, name)
        self.daemon.terminate()
        self.daemon.wait()
        self.start_daemon()
        for name in ("a", "b", "c"):
            self.stop(name, 100)
        self.assert_all_gone("all trees")


class Killed(Orphans):
    """In each state: its shim is killed, or the shim and the daemon, or the daemon in the middle."""

    def in_starting(self):
        self.instances.Start(self.fake_request(f"greeting=none;{TREE}", no_wait=True), timeout=CALL_DEADLINE)

    def in_running(self):
        self.start_tree()

    def in_paused(self):
        self.start_tree(pause=True)

    def in_stopping(self):
        self.start_tree()
        self.stopping = self.instances.Stop.future(instances_pb2.StopRequest(instance=self.ref(), grace_ms=60000), timeout=CALL_DEADLINE)
        wait_for(lambda: self.get().state == State.STATE_STOPPING, "it to be stopping")

    def reach(self, reach):
        reach()
        pid = wait_for(lambda: self.get().pid, "its process")
        wait_for(lambda: len(self.emulators()) > 20, "the tree")
        return pid, self.shim_of(pid)

    def settle(self):
        """However it is told: over, and nothing of it is left. It can be started again."""
        try:
            self.stop(grace_ms=50)
        except grpc.RpcError as error:
            self.assertEqual(error.code(), Code.FAILED_PRECONDITION, error.details())
        wait_for(lambda: self.get().HasField("end"), "its end")
        self.assert_all_gone("the tree")
        self.start_fake()
        self.read_until(b"ready\n")
        self.stop()

    def each_state(self, kill):
        for reach in (self.in_starting, self.in_running, self.in_paused, self.in_stopping):
            with self.subTest(reach.__name__):
                pid, shim = self.reach(reach)
                kill(pid, shim)
                self.settle()

    def test_shim(self):
        """Without a word from us the rest is ended."""

        def kill(pid, shim):
            os.kill(shim, signal.SIGKILL)
            wait_for(lambda: not is_alive(pid), "the emulator to go with its shim")
            wait_for(lambda: self.get().HasField("end"), "the end to be known")
            self.assert_all_gone("the tree")

        self.each_state(kill)

    def test_shim_and_daemon(self):
        def kill(pid, shim):
            self.daemon.kill()
            os.kill(shim, signal.SIGKILL)
            wait_for(lambda: not is_alive(pid), "the emulator to go with its shim")
            self.start_daemon()
            wait_for(lambda: self.get().HasField("end"), "the end to be known")
            self.assert_all_gone("the tree")

        self.each_state(kill)

    def test_emulator(self):
        """The emulator alone: what it leaves is ended by its shim."""

        def kill(pid, shim):
            os.kill(pid, signal.SIGKILL)
            wait_for(lambda: not is_alive(pid), "its end")
            wait_for(lambda: self.get().HasField("end"), "the end to be known")
            self.assert_all_gone("the tree")

        self.each_state(kill)

    def test_emulator_while_no_daemon(self):
        def kill(pid, shim):
            self.daemon.kill()
            os.kill(pid, signal.SIGKILL)
            wait_for(lambda: set(self.emulators()) == set(), "the shim to end what is left")
            self.start_daemon()
            wait_for(lambda: self.get().HasField("end"), "the end to be known")

        self.each_state(kill)

    def test_daemon(self):
        """The next one goes on where it was."""

        def kill(pid, shim):
            state = self.get().state
            self.restart_daemon()
            self.assertEqual((self.get().pid, self.get().state), (pid, state))
            self.assertTrue(is_alive(shim))

        self.each_state(kill)


class Cycles(Orphans):
    def test_two_at_once(self):
        """In one working directory: one instance, one clear refusal, however close they come."""
        second = self.daemon.channel()
        grpc.channel_ready_future(second).result(CALL_DEADLINE)
        stubs = (self.instances, pwemu_fixture.instances_pb2_grpc.InstancesStub(second))
        directory = os.path.join(self.dir, "wdir")
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            for _ in range(20):
                requests = [self.fake_request(name="twice", working_dir=directory) for _ in stubs]
                calls = [pool.submit(stub.Start, request, timeout=CALL_DEADLINE) for stub, request in zip(stubs, requests)]
                errors = [error for error in (call.exception() for call in calls) if error is not None]
                self.assertEqual(len(errors), 1)
                self.assertEqual(errors[0].code(), Code.ALREADY_EXISTS)
                self.assertEqual([value for key, value in errors[0].trailing_metadata() if key == "pwemu-reason"], ["already-running"])
                self.assertEqual(len(self.emulators()), 1)
                self.stop("twice")
        self.assertEqual(len(self.list()), 1)

    def descriptors(self):
        """What the daemon has open; which changes while we look."""
        found = []
        for number in os.listdir(f"/proc/{self.daemon.pid}/fd"):
            try:
                found.append(os.readlink(f"/proc/{self.daemon.pid}/fd/{number}"))
            except FileNotFoundError:
                pass
        return found

    def count(self):
        """Everything that could be left: descriptors by kind, files, terminals, processes. Not the journal: it has one file, and one
        more when it has grown."""
        journal, places = [], []
        for place in self.descriptors():
            (journal if "/events.log" in place else places).append(place)
        self.assertLessEqual(len(journal), 2)
        files = [os.path.join(top, name) for top, dirs, names in os.walk(self.daemon.state_dir) for name in dirs + names]
        return {
            "descriptors": sorted(place.split(":")[0] for place in places),
            "files": sorted(file for file in files if "events.log" not in file),
            "terminals": [place for place in places if place.startswith(("/dev/pts/", "/dev/ptmx"))],
            "processes": sorted(set(processes_with(self.dir)) - {self.daemon.pid}),
            "zombies": [pid for pid in os.listdir("/proc") if pid.isdigit() and state_of(pid) == b"Z" and parent_of(pid) == self.daemon.pid],
        }

    def settled_count(self):
        """When farewells are over, also of what waits a moment for the next start: the same many times in a row."""
        looks = []

        def is_settled():
            looks.append(self.count())
            is_alone = not read_proc(self.daemon.pid, f"task/{self.daemon.pid}/children") and "net" not in looks[-1]["descriptors"]
            return is_alone and len(looks) > 30 and all(look == looks[-1] for look in looks[-30:])

        wait_for(is_settled, "the daemon to come to rest")
        return looks[-1]

    def cycle(self, number):
        name = f"cycle-{number % 3}"
        self.start_fake("" if number % 5 else "helpers=1", name, pause=number % 4 == 3)
        if number % 2:
            self.read_all(name=name)
        self.stop(name, 100 if number % 5 == 0 else 0)
        if number % 7 == 0:
            self.remove(name)

    def remove(self, name):
        self.instances.Remove(instances_pb2.RemoveRequest(instance=self.ref(name)), timeout=CALL_DEADLINE)

    def remove_all(self):
        for row in self.list():
            self.remove(row.name)
        wait_for(lambda: not os.listdir(os.path.join(self.daemon.state_dir, "instances")), "the working directories to go")

    def test_cycles(self):
        signal.alarm(120 + CYCLES)
        for number in range(5):  # what is made once and stays
            self.cycle(number)
        self.remove_all()
        before = self.settled_count()
        rss = self.daemon.rss_kib()
        for number in range(CYCLES):
            self.cycle(number)
        self.remove_all()
        wait_for(lambda: self.count() == before, f"{self.count()} to be {before}", 20)
        self.assert_rss_below(rss, 2048)
        print(f"{CYCLES} cycles, memory of the daemon {self.daemon.rss_kib() - rss:+d} KiB", file=sys.stderr)


if __name__ == "__main__":
    unittest.main()
