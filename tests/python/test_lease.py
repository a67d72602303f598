# SPDX-License-Identifier: Apache-2.0
"""Leases: an instance ends when that on whose behalf it lives is gone, and leaves no process behind."""

import json
import os
import signal
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import grpc
from pwemu_cli import PWEMU, REMOTE, CliCase, only_here
from pwemu_fixture import (
    BOARD, CALL_DEADLINE, Case, firmware, instances_pb2, instances_pb2_grpc, is_alive, processes_with, targets_pb2, wait_for,
)  # fmt: skip

Code = grpc.StatusCode
KIND_CLIENT, KIND_PID, KIND_TTL = instances_pb2.LEASE_KIND_CLIENT, instances_pb2.LEASE_KIND_PID, instances_pb2.LEASE_KIND_TTL
LEASE = instances_pb2.EVENT_KIND_LEASE
HELLO = firmware("hello.elf")


def lease(kind, **fields):
    return instances_pb2.LeaseRequest(kind=kind, **fields)


def sleeper():
    """A process to lease to."""
    return subprocess.Popen(["/bin/sleep", "1000"])


class LeaseCase(Case):
    def lease_words(self, name="default"):
        """Reasons of the events of an instance that is over, or of now."""
        request = instances_pb2.WatchRequest(instance=self.ref(name), from_seq=1, no_follow=True)
        return [event.reason for event in self.instances.Watch(request, timeout=CALL_DEADLINE) if event.kind == LEASE]

    def process(self):
        process = sleeper()

        def end():
            process.kill()
            process.wait()

        self.addCleanup(end)
        return process

    def assert_stopped(self, text, name="default"):
        last = self.wait_until_over(name)
        self.assertEqual(last.end.cause, instances_pb2.END_CAUSE_STOPPED)
        self.assertIn("lost: " + text, self.lease_words(name)[-1])
        self.assert_nothing_runs()


class Leases(LeaseCase):
    def test_none(self):
        self.assertFalse(self.start("hello.elf").HasField("lease"))
        for call, request in ((self.instances.RenewLease, instances_pb2.RenewLeaseRequest),
                              (self.instances.RemoveLease, instances_pb2.RemoveLeaseRequest)):
            self.assert_fails(Code.FAILED_PRECONDITION, "no-lease", call, request(instance=self.ref()), timeout=CALL_DEADLINE)

    def test_ttl(self):
        instance = self.start("hello.elf", lease=lease(KIND_TTL, ttl_ms=700))
        self.assertEqual((instance.lease.kind, instance.lease.ttl_ms, instance.lease.owner), (KIND_TTL, 700, "700ms"))
        self.assertLessEqual(instance.lease.remaining_ms, 700)
        self.assert_stopped("its lease of 700ms is over")
        self.assertEqual(self.lease_words(), ["made: 700ms", "lost: its lease of 700ms is over"])

    def test_ttl_is_renewed_and_removed(self):
        self.start("hello.elf", lease=lease(KIND_TTL, ttl_ms=3600000))
        renew = instances_pb2.RenewLeaseRequest(instance=self.ref(), ttl_ms=7200000)
        renewed = self.instances.RenewLease(renew, timeout=CALL_DEADLINE)
        self.assertGreater(renewed.lease.remaining_ms, 7100000)
        again = self.instances.RenewLease(instances_pb2.RenewLeaseRequest(instance=self.ref()), timeout=CALL_DEADLINE)
        self.assertEqual(again.lease.ttl_ms, 7200000)
        self.restart_daemon()
        self.assertGreater(self.get().lease.remaining_ms, 7100000)
        self.instances.RemoveLease(instances_pb2.RemoveLeaseRequest(instance=self.ref()), timeout=CALL_DEADLINE)
        self.restart_daemon()
        self.assertFalse(self.get().HasField("lease"))
        self.assertEqual(self.lease_words(), ["made: 1h", "renewed: 2h from now", "renewed: 2h from now", "removed: 2h"])

    def test_ttl_runs_out_without_a_daemon(self):
        instance = self.start("hello.elf", lease=lease(KIND_TTL, ttl_ms=500))
        self.daemon.kill()
        self.assertTrue(is_alive(instance.pid))
        self.start_daemon()
        self.assert_stopped("its lease of 500ms is over")

    def test_wrong(self):
        for code, text, wrong in (
            (Code.INVALID_ARGUMENT, "1ms to 365d", lease(KIND_TTL)),
            (Code.INVALID_ARGUMENT, "1ms to 365d", lease(KIND_TTL, ttl_ms=366 * 86400000)),
            (Code.INVALID_ARGUMENT, "no process", lease(KIND_PID)),
            (Code.INVALID_ARGUMENT, "not known", lease(7)),
            (Code.FAILED_PRECONDITION, "no such process", lease(KIND_PID, pid=0x7FFFFFFF)),
        ):
            with self.subTest(text):
                self.assert_fails(code, "invalid-lease", self.start, "hello.elf", lease=wrong, text=text)
        self.assertEqual(self.list(), [])
        self.start("hello.elf", lease=lease(KIND_PID, pid=os.getpid()))
        call, request = self.instances.RenewLease, instances_pb2.RenewLeaseRequest(instance=self.ref())
        self.assert_fails(Code.FAILED_PRECONDITION, "invalid-lease", call, request, timeout=CALL_DEADLINE, text="only one of a time")

    def test_zombie(self):
        process = self.process()
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        self.assert_fails(Code.FAILED_PRECONDITION, "invalid-lease", self.start, "hello.elf", lease=lease(KIND_PID, pid=process.pid))

    def test_process(self):
        process = self.process()
        instance = self.start("hello.elf", lease=lease(KIND_PID, pid=process.pid))
        self.assertEqual(instance.lease.owner, f"process {process.pid} (sleep)")
        self.restart_daemon()
        self.assertEqual(self.get().lease.pid, process.pid)
        process.kill()
        self.assert_stopped("the process it was leased to has ended")

    def test_process_ends_without_a_daemon(self):
        process = self.process()
        self.start("hello.elf", lease=lease(KIND_PID, pid=process.pid))
        self.daemon.kill()
        process.kill()
        process.wait()
        self.start_daemon()
        self.assert_stopped("the process it was leased to has ended")

    def test_commands_go_too(self):
        """The whole tree: a pre-start command, what that has started, the emulator."""
        process = self.process()
        target = self.targets.Get(targets_pb2.GetTargetRequest(name=BOARD), timeout=CALL_DEADLINE)
        target.pre_start.add(name="one", argv=["/bin/sh", "-c", "sleep 100000 & exec sleep 100001"])
        self.start("hello.elf", target_config=target, lease=lease(KIND_PID, pid=process.pid))
        wait_for(lambda: sum("sleep 10000" in words for words in processes_with(self.dir).values()) >= 2, "the command's tree")
        process.kill()
        self.assert_stopped("the process it was leased to has ended")

    @unittest.skipIf(os.geteuid() != 0, "optional: needs root for a pid namespace")
    def test_another_pid_namespace(self):
        """There the number is another process's."""
        words = ["unshare", "--pid", "--fork", "--mount-proc", PWEMU, "-H", "unix:" + self.daemon.socket, "start", BOARD, "-f", HELLO]
        environment = dict(os.environ, HOME=self.dir, XDG_RUNTIME_DIR=self.dir, XDG_CONFIG_HOME=self.dir)
        done = subprocess.run([*words, "--lease", "pid:1"], env=environment, capture_output=True, text=True, timeout=CALL_DEADLINE, check=False)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("pid namespace", done.stderr)

    @unittest.skipIf(os.geteuid() != 0, "optional: needs root for another user's process")
    def test_another_user_s_process(self):
        other = subprocess.Popen(["/bin/sleep", "1000"], user=65534)
        self.addCleanup(lambda: (other.kill(), other.wait()))
        script = "import os, sys; os.setuid(65533); os.execv(sys.argv[1], sys.argv[1:])"
        home = os.path.join(self.dir, "nobody")
        os.chmod(self.dir, 0o711)
        os.mkdir(home)
        os.chown(home, 65533, 65533)
        environment = dict(PATH="/usr/bin:/bin", HOME=home, XDG_RUNTIME_DIR=home, XDG_STATE_HOME=home, XDG_CONFIG_HOME=home, PWEMU_TEST_DIR=self.dir)
        done = subprocess.run([sys.executable, "-c", script, PWEMU, "start", BOARD, "-f", HELLO, "--lease", f"pid:{other.pid}"], env=environment,
                              cwd=home, capture_output=True, text=True, timeout=CALL_DEADLINE, check=False)
        subprocess.run([sys.executable, "-c", script, PWEMU, "-q", "daemon", "stop", "--with-instances"], env=environment, cwd=home,
                       timeout=CALL_DEADLINE, check=False)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("that process is of uid 65534", done.stderr)


class Clients(LeaseCase):
    """Of a connection."""

    def other(self):
        channel = self.daemon.channel()
        return channel, instances_pb2_grpc.InstancesStub(channel)

    def test_grace(self):
        """Who lives and comes back in time keeps it; who does not loses it."""
        self.configure({"lease-grace": "1h"})
        channel, stub = self.other()
        stub.Start(self.request("hello.elf", lease=lease(KIND_CLIENT)), timeout=CALL_DEADLINE)
        channel.close()
        wait_for(lambda: self.get().lease.expires_ns, "the cut to be seen")
        channel, stub = self.other()
        watch = stub.Watch(instances_pb2.WatchRequest(instance=self.ref(), snapshots=True, stop_on_disconnect=True), timeout=CALL_DEADLINE)
        self.assertEqual(next(watch).snapshot.lease.expires_ns, 0)
        self.configure({"lease-grace": "200ms"})
        channel.close()
        self.assert_stopped("its client does not come back")
        self.assertEqual([word.split(":")[0] for word in self.lease_words()], ["made", "renewed", "lost"])

    def test_watch_makes_none(self):
        self.configure({"lease-grace": "0s"})
        self.start("hello.elf")
        channel, stub = self.other()
        next(stub.Watch(instances_pb2.WatchRequest(instance=self.ref(), snapshots=True, stop_on_disconnect=True), timeout=CALL_DEADLINE))
        channel.close()
        self.assert_served()
        self.assertEqual(self.get().state, instances_pb2.STATE_RUNNING)

    def test_passed_on(self):
        """The death of who only passes it on is waited out."""
        self.configure({"lease-grace": "1h"})
        script = (
            "import sys; sys.path.insert(0, sys.argv[1]); from pwemu_fixture import *;"
            "channel = grpc.insecure_channel('unix:' + sys.argv[2]);"
            "request = instances_pb2.StartRequest.FromString(bytes.fromhex(sys.argv[3]));"
            "instances_pb2_grpc.InstancesStub(channel).Start(request, timeout=60); os.kill(os.getpid(), 9)"
        )
        for name, passed_on in (("passed", True), ("direct", False)):
            request = self.request("hello.elf", name, lease=lease(KIND_CLIENT, passed_on=passed_on)).SerializeToString().hex()
            subprocess.run([sys.executable, "-c", script, os.path.dirname(__file__), self.daemon.socket, request], timeout=CALL_DEADLINE, check=False)
        self.assertEqual(self.wait_end("direct").cause, instances_pb2.END_CAUSE_STOPPED)
        self.assertEqual(self.get("passed").state, instances_pb2.STATE_RUNNING)
        self.assertGreater(self.get("passed").lease.remaining_ms, 3000000)


END = 25 if REMOTE else 8  # seconds; a cut connection may come back within lease-grace


class CommandLine(CliCase):
    def emulators(self):
        return [pid for pid, words in processes_with(self.dir).items() if "qemu-system" in words or "pwemu-shim" in words]

    def wait_running(self):
        wait_for(lambda: '"running"' in self.pwemu("ls", "-o", "json"), "it to run")

    @only_here("a process of another machine")
    def test_start(self):
        owner = sleeper()
        self.addCleanup(lambda: (owner.kill(), owner.wait()))
        self.pwemu("start", BOARD, "-f", HELLO, "-i", "one", "--lease", "ttl:1h")
        self.pwemu("start", BOARD, "-f", HELLO, "-i", "two", environment={"PWEMU_LEASE": f"pid:{owner.pid}"})
        self.pwemu("start", BOARD, "-f", HELLO, "-i", "three")
        rows = {row["name"]: row["lease"] for row in json.loads(self.pwemu("lease", "ls", "-o", "json"))}
        self.assertEqual({name: row["kind"] for name, row in rows.items()}, {"one": "ttl", "two": "pid"})
        self.assertIn(f"process {owner.pid} (sleep)", self.pwemu("lease", "ls"))
        self.assertIn("lease:        ttl, 1h, left: ", self.pwemu("status", "-i", "one"))
        self.pwemu("lease", "renew", "-i", "one", "3h")
        self.assertGreater(self.status("-i", "one")["lease"]["remaining_ms"], 10000000)
        self.refused("lease", "renew", "-i", "two", says="only one of a time")
        self.refused("lease", "rm", "-i", "three", says="has no lease")
        self.pwemu("lease", "rm", "-i", "one")
        self.assertIsNone(self.status("-i", "one")["lease"])
        owner.kill()
        self.pwemu("wait", "-i", "two", "--exit")
        self.assertIn("lost: the process it was leased to has ended", self.pwemu("events", "-i", "two"))

    def test_usage(self):
        for word, text in (("ttl:0s", "at once"), ("ttl:5", "no unit"), ("pid:0", "'pid:0'"), ("pid:x", "'pid:x'"), ("forever", "no lease")):
            self.refused("start", BOARD, "-f", HELLO, "--lease", word, code=2, says=text)
        self.refused("start", BOARD, "-f", HELLO, environment={"PWEMU_LEASE": "forever"}, says="PWEMU_LEASE")

    def test_run_is_killed(self):
        run = self.popen("run", BOARD, HELLO)
        self.wait_running()
        run.kill()
        wait_for(lambda: not self.emulators(), "everything to end", END)
        self.assertIn("its client does not come back" if REMOTE else "its client is gone", self.pwemu("events"))

    @only_here("a process of another machine")
    def test_run_leased_to_another(self):
        """Then it outlives its client."""
        owner = sleeper()
        self.addCleanup(lambda: (owner.kill(), owner.wait()))
        run = self.popen("run", BOARD, HELLO, "-i", "it", "--lease", f"pid:{owner.pid}")
        self.wait_running()
        run.kill()
        run.wait()
        self.assertEqual(self.status("-i", "it")["restart"]["mode"], "no")
        owner.kill()
        wait_for(lambda: not self.emulators(), "everything to end", END)

    def shell_that_runs(self, *options):
        """A shell, killed when its child's guest runs; the pid of that child."""
        words = f"'{PWEMU}' run {' '.join(options)} {BOARD} '{HELLO}' & echo $!; wait"
        shell = subprocess.Popen(["/bin/sh", "-c", words], env=self.environment, cwd=self.work, stdin=subprocess.DEVNULL,
                                 stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.processes.append(shell)
        child = int(shell.stdout.readline())
        self.wait_running()
        shell.kill()
        shell.wait()
        return child

    def test_parent_is_killed(self):
        result = os.path.join(self.dir, "result.json")
        child = self.shell_that_runs("--result", result)
        wait_for(lambda: not is_alive(child) and not self.emulators(), "run and emulator to end", END)
        with open(result, encoding="ascii") as file:
            verdict = json.load(file)
        self.assertEqual((verdict["verdict"], verdict["exit_code"]), ("interrupted", 129))
        self.assertIn("which has started it, has ended", verdict["message"])

    def test_detached_from_its_parent(self):
        child = self.shell_that_runs("--detach-parent")
        self.assertIn('"running"', self.pwemu("ls", "-o", "json"))
        self.assertTrue(is_alive(child))
        os.kill(child, signal.SIGTERM)
        wait_for(lambda: not self.emulators(), "everything to end", END)

    def test_daemon_is_killed(self):
        """A run goes on with the next daemon: the lease is bound again."""
        self.settings({"lease-grace": "3s"})
        run = self.popen("run", BOARD, HELLO, "-i", "it")
        self.wait_running()
        self.kill_daemon()
        wait_for(lambda: "has come back" in self.run_any("events", "-i", "it").out, "the lease to be renewed")
        run.kill()
        wait_for(lambda: not self.emulators(), "everything to end", END)


if __name__ == "__main__":
    unittest.main()
