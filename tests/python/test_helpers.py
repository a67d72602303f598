# SPDX-License-Identifier: Apache-2.0
"""Pre-start and post-start commands: programs beside the emulator for the life of the instance; and what its working directory shows."""

import errno
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import grpc  # noqa: E402
from pwemu_fixture import (  # noqa: E402
    BOARD, CALL_DEADLINE, IS_SANITIZED, Case, firmware, instances_pb2, instances_pb2_grpc, is_alive, processes_with, read_proc,
    targets_pb2, wait_for,
)  # fmt: skip
from test_daemon_adopt import read_record, record_path, write_record  # noqa: E402

Code = grpc.StatusCode
State = instances_pb2
FOREVER = ["sleep", "100000"]


def command(name, *argv, required=False):
    return targets_pb2.HelperCommand(name=name, argv=argv or FOREVER, required=required)


def shell(name, script, required=False):
    return command(name, "sh", "-c", script, required=required)


class Commands(Case):
    """Short ways to start an instance with commands."""

    def setUp(self):
        super().setUp()
        self.wdir = os.path.join(self.dir, "wdir")

    def target(self, pre=(), post=(), channels=None, args=()):
        target = self.targets.Get(targets_pb2.GetTargetRequest(name=BOARD), timeout=CALL_DEADLINE)
        target.pre_start.extend(pre)
        target.post_start.extend(post)
        target.qemu.args.extend(args)
        for name, kind in (channels or {}).items():
            next(row for row in target.channels if row.name == name).type = kind
        return target

    def begin(self, pre=(), post=(), image="slow.elf", channels=None, args=(), emulator_args=(), **fields):
        """Starts it in its own working directory."""
        fields.setdefault("working_dir", self.wdir)
        target = self.target(pre, post, channels, emulator_args)
        return self.start(image, target_config=target, args=args, **fields)

    def fails(self, code, reason, text, **parts):
        target = self.target(**parts)
        request = self.request("slow.elf", target_config=target, working_dir=self.wdir)
        return self.assert_fails(code, reason, self.instances.Start, request, timeout=CALL_DEADLINE, text=text)

    def process(self, name):
        return next(row for row in self.get().processes if row.name == name)

    def pid(self, name):
        return self.process(name).pid

    def path(self, name):
        return os.path.join(self.wdir, name)

    def text(self, name):
        with open(self.path(name), encoding="utf-8") as file:
            return file.read()

    def handles(self):
        return json.loads(self.text("handles.json"))

    def wait_text(self, name, text):
        wait_for(lambda: os.path.exists(self.path(name)) and text in self.text(name), f"{text!r} in {name}")

    def events(self, kind=State.EVENT_KIND_PROCESS):
        request = instances_pb2.WatchRequest(from_seq=1, no_follow=True)
        return [event for event in self.instances.Watch(request, timeout=CALL_DEADLINE) if event.kind == kind]

    def wait_event(self):
        return wait_for(self.events, "an event")[0]


class Life(Commands):
    def test_begin_and_end(self):
        """In order, in the background, in the caller's place; their whole trees go with the instance."""
        instance = self.begin(
            pre=[shell("one", "echo first; pwd; umask; exec sleep 100000"), command("two")],
            post=[shell("three", 'echo "$GREETING" >&2; cat; exec sleep 100000')],
            environment=self.environment("GREETING=hello", cwd=self.dir, umask=0o27),
        )
        self.assertEqual([row.name for row in instance.processes], ["one", "two", "qemu", "three"])
        pids = [row.pid for row in instance.processes]
        self.assertTrue(all(is_alive(pid) for pid in pids), pids)
        began = [int(read_proc(pid, "stat").rsplit(b")", 1)[1].split()[19]) for pid in pids]
        self.assertEqual(began, sorted(began))
        self.assertEqual(instance.pid, pids[2])
        self.wait_text("one.log", f"first\n{self.dir}\n0027\n")
        self.wait_text("three.log", "hello\n")
        for row in instance.processes:
            self.assertEqual(self.text(row.name + ".pid"), str(row.pid))
            self.assertEqual(os.path.realpath(self.path(row.name + ".log")), row.log)
        self.stop()
        self.assertEqual([pid for pid in pids if is_alive(pid)], [])
        self.assertEqual(sorted(os.listdir(self.wdir)), ["one.log", "qemu.log", "three.log", "two.log"])
        self.assertEqual(self.events(), [])
        self.assert_nothing_runs()

    def test_again(self):
        """A log begins anew with each explicit start."""
        self.begin(post=[shell("one", "echo word; exec sleep 100000")])
        self.wait_text("one.log", "word\n")
        self.stop()
        self.assertEqual(self.text("one.log"), "word\n")
        self.begin(post=[shell("one", "echo other; exec sleep 100000")])
        self.wait_text("one.log", "other\n")
        self.assertEqual(self.text("one.log"), "other\n")


    def test_trees(self):
        """Whatever a command has left, in sessions of its own, deaf to SIGTERM, still forking: all of it goes."""
        script = (
            "for i in 1 2 3; do setsid sh -c 'trap \"\" TERM; while :; do setsid sleep 100000 & sleep 0.05; done' & done; "
            "(setsid sleep 100000 &); echo up; exec sleep 100000"
        )
        self.begin(pre=[shell("one", script)], post=[shell("two", script)])
        self.wait_text("one.log", "up\n")
        self.wait_text("two.log", "up\n")
        wait_for(lambda: len(processes_with(self.dir)) > 12, "some grandchildren")
        self.stop(grace_ms=200)
        self.assert_nothing_runs()

    def test_stop_waits(self):
        """Stop replies when nothing of a command is left; the grace is the stop's, for all of them at once."""
        stubborn = "trap '' TERM; echo deaf; while :; do sleep 0.05; done"
        self.begin(pre=[shell("one", stubborn), shell("two", stubborn)], post=[shell("three", stubborn)])
        names = ("one", "two", "three")
        for name in names:
            self.wait_text(name + ".log", "deaf\n")
        pids = [self.pid(name) for name in names]
        begin = time.monotonic()
        ended = self.stop(grace_ms=600)
        took = time.monotonic() - begin
        self.assertEqual([pid for pid in pids if is_alive(pid)], [])
        self.assertGreater(took, 0.5)
        self.assertLess(took, 3 if not IS_SANITIZED else 20)
        self.assertEqual((ended.state, ended.end.cause), (State.STATE_ENDED, State.END_CAUSE_STOPPED))

    def test_end_of_the_guest(self):
        """The emulator ends by itself: so do they, and the end is the emulator's. (pw_emu leaves them running.)"""
        self.begin(pre=[command("one")], post=[command("two")], image="slow.elf")
        pids = [self.pid("one"), self.pid("two")]
        os.kill(self.pid("qemu"), signal.SIGTERM)
        end = self.wait_end()
        self.assertEqual(end.cause, State.END_CAUSE_KILLED)
        self.assertEqual([pid for pid in pids if is_alive(pid)], [])
        self.assert_nothing_runs()

    def test_refused_half_way(self):
        """A start that fails after the first command leaves none. (pw_emu leaves it, and waits thirty seconds.)"""
        begin = time.monotonic()
        self.fails(Code.FAILED_PRECONDITION, "emulator-refused", "", pre=[command("one")], args=["-no-such-option"])
        self.assertLess(time.monotonic() - begin, 5)
        self.assert_nothing_runs()
        self.assertFalse(os.path.exists(self.path("handles.json")))

    def test_no_emulator(self):
        """Nothing is begun when there is no emulator, and that is said at once."""
        target = self.target(pre=[shell("one", f"echo > {self.dir}/begun")])
        target.qemu.executable = "no-such-emulator"
        request = self.request("slow.elf", target_config=target, working_dir=self.wdir)
        begin = time.monotonic()
        self.assert_fails(Code.NOT_FOUND, "emulator-not-found", self.instances.Start, request, timeout=CALL_DEADLINE, text="no-such-emulator")
        self.assertLess(time.monotonic() - begin, 2)
        self.assertFalse(os.path.exists(os.path.join(self.dir, "begun")))

    def test_stop_while_starting(self):
        """The start is given up; what had begun goes."""
        target = self.target(pre=[command("one")])
        target.qemu.executable = os.path.join(self.dir, "silent")
        with open(target.qemu.executable, "w", encoding="ascii") as file:
            file.write("#!/bin/sh\nexec sleep 100000\n")
        os.chmod(target.qemu.executable, 0o755)
        request = self.request(None, target_config=target, working_dir=self.wdir)
        call = self.instances.Start.future(request, timeout=CALL_DEADLINE)
        wait_for(lambda: any(row.processes and row.processes[0].pid for row in self.list()), "the command")
        self.stop()
        self.assertEqual(call.result(CALL_DEADLINE).end.cause, State.END_CAUSE_STOPPED)
        self.assert_nothing_runs()

    def test_four_starts(self):
        """Of several starts in one working directory one wins; the commands of one run."""
        target = self.target(pre=[command("one")])
        request = self.request("slow.elf", target_config=target, working_dir=self.wdir)
        calls = [self.instances.Start.future(request, timeout=CALL_DEADLINE) for _ in range(4)]
        codes = [call.exception().code() if call.exception() else Code.OK for call in calls]
        self.assertEqual(sorted(code.name for code in codes), ["ALREADY_EXISTS"] * 3 + ["OK"])
        sleeps = [line for line in processes_with(self.dir).values() if line.startswith("sleep")]
        self.assertEqual(len(sleeps), 1)

    def test_restart(self):
        """A restart by the user begins them anew."""
        self.begin(pre=[command("one")], post=[command("two")])
        before = [self.pid("one"), self.pid("two")]
        self.instances.Restart(instances_pb2.RestartRequest(instance=self.ref()), timeout=CALL_DEADLINE)
        after = [self.pid("one"), self.pid("two")]
        self.assertEqual([pid for pid in before if is_alive(pid)], [])
        self.assertTrue(all(is_alive(pid) for pid in after), after)

    def test_paused(self):
        """A guest that does not run yet has its commands all the same."""
        instance = self.begin(post=[command("one")], pause=True)
        self.assertEqual(instance.state, State.STATE_PAUSED)
        self.assertTrue(is_alive(self.pid("one")))

    def test_remove(self):
        self.begin(pre=[shell("one", "echo word; exec sleep 100000")])
        self.wait_text("one.log", "word\n")
        self.instances.Remove(instances_pb2.RemoveRequest(instance=self.ref(), force=True), timeout=CALL_DEADLINE)
        wait_for(lambda: os.listdir(self.wdir) == [], "an empty working directory")
        self.assert_nothing_runs()

    def test_client_is_gone(self):
        """An instance that is tied to its client takes its commands with it."""
        self.configure({"lease-grace": "10ms"})
        target = self.target(pre=[command("one")], post=[command("two")])
        channel = self.daemon.channel()
        stub = instances_pb2_grpc.InstancesStub(channel)
        stub.Start(self.request("slow.elf", target_config=target, working_dir=self.wdir, stop_on_disconnect=True), timeout=CALL_DEADLINE)
        self.assertTrue(is_alive(self.pid("two")))
        channel.close()
        self.assertEqual(self.wait_end().cause, State.END_CAUSE_STOPPED)
        self.assert_nothing_runs()

    def test_names(self):
        """Two of a name, or the emulator's own, would write each other's files."""
        for pre, post, text in (
            ([command("one")], [command("one")], '"one"'),
            ([command("qemu")], [], "as the emulator is"),
            ([command("../one")], [], "letters, digits"),
            ([targets_pb2.HelperCommand(name="one")], [], "has no program"),
        ):
            self.fails(Code.INVALID_ARGUMENT, "invalid-target", text, pre=pre, post=post)


class Deaths(Commands):
    def test_death_is_an_event(self):
        """The instance goes on; it is known how the command ended."""
        self.begin(pre=[shell("one", "exit 7")], post=[command("two")])
        event = self.wait_event()
        self.assertEqual((event.process, event.instance), ("one", "default"))
        self.assertIn('pre-start command "one" has ended with code 7', event.reason)
        self.assertEqual(self.get().state, State.STATE_RUNNING)
        end = self.process("one").end
        self.assertEqual((end.code, end.signal, self.pid("one")), (7, 0, 0))
        wait_for(lambda: not os.path.exists(self.path("one.pid")), "its pid file to go")
        self.assertTrue(os.path.exists(self.path("two.pid")))
        self.assertEqual(list(self.handles()["procs"]), ["qemu", "two"])

    def test_death_by_signal(self):
        self.begin(post=[command("one")])
        os.kill(self.pid("one"), signal.SIGKILL)
        self.assertIn("was ended by signal 9 (Killed)", self.wait_event().reason)
        self.assertEqual(self.process("one").end.signal, 9)

    def test_not_found(self):
        """A command that is not there is told; the others begin."""
        self.begin(pre=[command("one", "no-such-program"), command("two")], post=[command("three", "/etc/passwd")])
        self.assertEqual([row.process for row in self.events()], ["one", "three"])
        self.assertIn("not found", self.events()[0].reason)
        self.assertIn("ermission denied", self.events()[1].reason)
        self.assertEqual(self.process("one").end.exec_errno, errno.ENOENT)
        self.assertTrue(is_alive(self.pid("two")))

    def test_required_not_found(self):
        """The start fails before anything has begun, and names the command, the reason and what to do."""
        begun = shell("two", f"echo > {self.dir}/begun")
        for where in ("pre", "post"):
            text = f'{where}-start command "one": "no-such-program" not found; install it'
            parts = {"pre": [begun], "post": []}
            parts[where] = [*parts[where], command("one", "no-such-program", required=True)]
            self.fails(Code.NOT_FOUND, "command-failed", text, **parts)
        self.assertFalse(os.path.exists(os.path.join(self.dir, "begun")))
        self.assertEqual(self.list(), [])

    def bad_script(self):
        path = os.path.join(self.dir, "script")
        with open(path, "w", encoding="ascii") as file:
            file.write("#!/no/such/interpreter\n")
        os.chmod(path, 0o755)
        return path

    def test_cannot_execute(self):
        """What only execve finds out."""
        self.begin(pre=[command("one", self.bad_script()), command("two")])
        self.assertIn("not found", self.wait_event().reason)
        self.assertTrue(is_alive(self.pid("two")))

    def test_required_cannot_execute(self):
        self.fails(Code.NOT_FOUND, "command-failed", 'command "one"', pre=[command("two"), command("one", self.bad_script(), required=True)])
        self.assert_nothing_runs()

    def test_required_ends_while_starting(self):
        """Its words are named."""
        error = self.fails(
            Code.FAILED_PRECONDITION, "command-failed", 'pre-start command "one" has ended with code 3', pre=[shell("one", "exit 3", required=True)]
        )
        self.assertIn("one.log", error.details())
        self.assert_nothing_runs()

    def test_required_ends_at_once(self):
        """Of those after the emulator too, which begin when it is up: the start fails although the guest ran."""
        for script in ("exit 3", "sleep 0.05; exit 3"):
            error = self.fails(
                Code.FAILED_PRECONDITION, "command-failed", 'post-start command "two" has ended with code 3',
                post=[command("one", required=True), shell("two", script, required=True), command("three", required=True)],
            )  # fmt: skip
            self.assertIn("two.log", error.details())
            self.assert_nothing_runs()

    def test_not_required_costs_nothing(self):
        """Only a start with required commands waits to see them live."""
        begins = []
        for required in (False, True):
            begin = time.monotonic()
            self.begin(post=[command("one", required=required)])
            begins.append(time.monotonic() - begin)
            self.stop()
        self.assertGreater(begins[1], 0.2)
        self.assertLess(begins[0], begins[1])

    def test_required_ends_a_running_one(self):
        """The others are stopped as by a stop; it is not started again."""
        policy = targets_pb2.RestartPolicy(mode=targets_pb2.RESTART_MODE_ALWAYS, delay_ms=0)
        self.begin(pre=[shell("one", "read line < gate; exit 5", required=True)], post=[command("two")], restart=policy, **self.gate())
        self.open_gate()
        last = self.wait_until_over()
        self.assertEqual((last.state, last.boot), (State.STATE_ENDED, 1))
        self.assertIn('"one" has ended with code 5', last.reason + last.end.message)
        self.assertEqual(self.events()[0].process, "one")
        self.assert_nothing_runs()

    def gate(self):
        os.mkfifo(os.path.join(self.dir, "gate"))
        return {"environment": self.environment(cwd=self.dir)}

    def open_gate(self):
        with open(os.path.join(self.dir, "gate"), "w", encoding="ascii") as file:
            file.write("go\n")

    def test_required_in_backoff(self):
        """Also while the emulator waits to be started again."""
        policy = targets_pb2.RestartPolicy(mode=targets_pb2.RESTART_MODE_ALWAYS, delay_ms=60000)
        self.begin(pre=[shell("one", "read line < gate", required=True)], post=[command("two")], restart=policy, **self.gate())
        os.kill(self.pid("qemu"), signal.SIGKILL)
        wait_for(lambda: self.get().state == State.STATE_BACKOFF, "the back-off")
        self.open_gate()
        self.assertEqual(self.wait_until_over().state, State.STATE_ENDED)
        self.assert_nothing_runs()

    def test_automatic_restart(self):
        """They run on, over boots; one that has died is not begun again until the next explicit start."""
        policy = targets_pb2.RestartPolicy(mode=targets_pb2.RESTART_MODE_ALWAYS, delay_ms=0)
        self.begin(pre=[command("one")], post=[command("two"), shell("three", "exit 0")], restart=policy)
        before = [self.pid("one"), self.pid("two")]
        self.wait_event()
        for boot in (2, 3):
            os.kill(self.pid("qemu"), signal.SIGKILL)
            wait_for(lambda: self.get().boot == boot and self.get().state == State.STATE_RUNNING, "the next boot")
            self.assertEqual([self.pid("one"), self.pid("two"), self.pid("three")], [*before, 0])
        wait_for(lambda: self.handles()["procs"]["qemu"]["pid"] == self.pid("qemu"), "the new pid in handles.json")
        self.assertEqual(self.text("qemu.pid"), str(self.pid("qemu")))
        self.assertEqual(len(self.events()), 1)
        self.stop()
        self.assertEqual([pid for pid in before if is_alive(pid)], [])

    def test_shim_is_killed(self):
        """A command whose shim was killed goes with its tree, and the emulator stays."""
        instance = self.begin(pre=[shell("one", "setsid sleep 100000 & exec sleep 100000")])
        shim = int(read_proc(self.pid("one"), "stat").rsplit(b")", 1)[1].split()[1])
        os.kill(shim, signal.SIGKILL)
        self.assertEqual(self.wait_event().process, "one")
        wait_for(lambda: not any(line.startswith("sleep") for line in processes_with(self.dir).values()), "its tree to go")
        self.assertEqual((self.get().state, self.pid("qemu")), (State.STATE_RUNNING, instance.pid))


class Adoption(Commands):
    def test_adopted(self):
        """A crash of the daemon changes no process; the next one knows, shows and ends them all."""
        instance = self.begin(pre=[command("one")], post=[command("two")])
        pids = [row.pid for row in instance.processes]
        for _ in range(3):
            self.restart_daemon()
            wait_for(lambda: self.get().state == State.STATE_RUNNING, "it to run")
            self.assertEqual([row.pid for row in self.get().processes], pids)
        self.assertEqual({name: row["pid"] for name, row in self.handles()["procs"].items()}, dict(zip(("one", "qemu", "two"), pids)))
        self.stop()
        self.assertEqual([pid for pid in pids if is_alive(pid)], [])
        self.assertEqual(sorted(os.listdir(self.wdir)), ["one.log", "qemu.log", "two.log"])

    def test_death_while_no_daemon(self):
        self.begin(pre=[command("one")], post=[command("two", required=True)])
        one = self.pid("one")
        self.daemon.kill()
        os.kill(one, signal.SIGKILL)
        wait_for(lambda: not is_alive(one), "it to die")
        self.start_daemon()
        self.assertEqual(self.wait_event().process, "one")
        wait_for(lambda: self.get().state == State.STATE_RUNNING, "it to run")
        two = self.pid("two")
        self.daemon.kill()
        os.kill(two, signal.SIGKILL)
        wait_for(lambda: not is_alive(two), "it to die")
        self.start_daemon()
        self.assertEqual(self.wait_until_over().state, State.STATE_ENDED)
        self.assertEqual([row.process for row in self.events()], ["one", "two"])
        self.assert_nothing_runs()

    def test_end_while_no_daemon(self):
        """The emulator has ended meanwhile: its commands follow."""
        self.begin(pre=[command("one")], post=[command("two")])
        qemu = self.pid("qemu")
        self.daemon.kill()
        os.kill(qemu, signal.SIGKILL)
        wait_for(lambda: not is_alive(qemu), "it to die")
        self.start_daemon()
        self.wait_until_over()
        self.assert_nothing_runs()
        wait_for(lambda: not os.path.exists(self.path("handles.json")), "handles.json to go")

    def reboot(self):
        """All processes die without a daemon, and the record is of another boot of the host."""
        shims = [int(read_proc(row.pid, "stat").rsplit(b")", 1)[1].split()[1]) for row in self.get().processes]
        path = record_path(self, self.get())
        self.daemon.kill()
        for pid in shims:
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not processes_with(self.dir), "all to die")
        record = read_record(path)
        record.host_boot = "00000000-0000-0000-0000-000000000000"
        write_record(path, record)
        self.start_daemon()

    def test_host_reboots(self):
        """What is always to run comes back with its commands, in their order."""
        policy = targets_pb2.RestartPolicy(mode=targets_pb2.RESTART_MODE_ALWAYS, delay_ms=0)
        begun = f"echo >> {self.dir}/begun; exec sleep 100000"
        self.begin(pre=[shell("one", begun)], post=[shell("two", begun, required=True)], channels={"serial0": "tcp"}, restart=policy)
        port = self.handles()["channels"]["serial0"]["port"]
        for times in (2, 3):
            self.reboot()
            wait_for(lambda: self.get().state == State.STATE_RUNNING and self.pid("two"), "it to run")
            self.assertEqual([row.name for row in self.get().processes], ["one", "qemu", "two"])
            self.assertTrue(all(is_alive(row.pid) for row in self.get().processes))
            wait_for(lambda: os.path.getsize(f"{self.dir}/begun") == 2 * times, "both to have begun")
            self.assertEqual(self.handles()["channels"]["serial0"]["port"], port)
            self.assertEqual((self.get().boot, self.get().ends[-1].cause), (times, State.END_CAUSE_HOST_REBOOTED))
        self.stop()
        self.assert_nothing_runs()

    def test_killed_while_closing(self):
        """A stop that waits for a stubborn command is gone on with."""
        self.begin(pre=[shell("one", "trap '' TERM; echo deaf; while :; do sleep 0.05; done")])
        self.wait_text("one.log", "deaf\n")
        call = self.instances.Stop.future(instances_pb2.StopRequest(instance=self.ref(), grace_ms=3000), timeout=CALL_DEADLINE)
        wait_for(lambda: self.get().pid == 0, "the emulator to end")
        self.restart_daemon()
        call.exception()
        self.assertEqual(self.wait_until_over().state, State.STATE_ENDED)
        self.assertEqual(self.events(), [])
        self.assert_nothing_runs()

    def test_run_directory_is_gone(self):
        """Somebody removes it: nothing of the instance runs on."""
        instance = self.begin(pre=[command("one")], post=[command("two")])
        self.daemon.kill()
        shutil.rmtree(os.path.join(self.daemon.state_dir, "run", instance.id))
        self.start_daemon()
        self.wait_until_over()
        self.assert_nothing_runs()

    def test_killed_at_any_time(self):
        """Between any two steps of a start: either all of it is there, or nothing is left."""
        request = self.request("slow.elf", target_config=self.target([command("one"), command("two")], [command("three")]), working_dir=self.wdir)
        for turn in range(40):
            self.instances.Start.future(request, timeout=CALL_DEADLINE)
            deadline = time.monotonic() + turn * 0.002
            while time.monotonic() < deadline:
                pass
            self.restart_daemon()
            wait_for(self.is_at_rest, f"rest after turn {turn}")
            rows = self.list()
            if rows and rows[0].state == State.STATE_RUNNING:
                wait_for(lambda: all(row.pid for row in self.get().processes), "all commands")
                pids = [row.pid for row in self.get().processes]
                wait_for(lambda: os.path.exists(self.path("handles.json")) and self.shown() == pids, "handles.json")
                self.stop()
            self.assert_nothing_runs()
            self.assertFalse(os.path.exists(self.path("handles.json")))

    def shown(self):
        return [row["pid"] for row in self.handles()["procs"].values()]

    def is_at_rest(self):
        return all(row.state in (State.STATE_RUNNING, State.STATE_ENDED, State.STATE_FAILED) for row in self.list())

    def test_killed_at_any_time_of_a_stop(self):
        request = self.request("slow.elf", target_config=self.target([command("one")], [command("two")]), working_dir=self.wdir)
        for turn in range(20):
            self.instances.Start(request, timeout=CALL_DEADLINE)
            self.instances.Stop.future(instances_pb2.StopRequest(instance=self.ref()), timeout=CALL_DEADLINE)
            deadline = time.monotonic() + turn * 0.001
            while time.monotonic() < deadline:
                pass
            self.restart_daemon()
            wait_for(self.is_at_rest, f"rest after turn {turn}")
            if self.get().state == State.STATE_RUNNING:
                self.stop()
            self.assert_nothing_runs()


class Expressions(Commands):
    ARGV = "for word; do printf '%s\\n' \"$word\"; done; exec sleep 100000"

    def test_in_commands(self):
        """Anywhere in a string, several in one, before the emulator runs as well as after."""
        words = ["p=$pw_emu_channel_port{serial0}.", "$pw_emu_channel_host{serial0}:$pw_emu_channel_port{serial0}", "$pw_emu_wdir{a/b}", "$HOME", "{}"]
        argv = ["sh", "-c", self.ARGV, "sh", *words]
        instance = self.begin(pre=[command("one", *argv)], post=[command("two", *argv)], channels={"serial0": "tcp"})
        port = next(row.port for row in instance.channels if row.name == "serial0")
        want = f"p={port}.\n127.0.0.1:{port}\n{self.wdir}/a/b\n$HOME\n{{}}\n"
        self.wait_text("one.log", "{}\n")
        self.wait_text("two.log", "{}\n")
        self.assertEqual((self.text("one.log"), self.text("two.log")), (want, want))

    def test_pty(self):
        argv = ["sh", "-c", 'test -c "$1" && echo "$1"; exec sleep 100000', "sh", "$pw_emu_channel_path{serial0}"]
        instance = self.begin(pre=[command("one", *argv)], channels={"serial0": "pty"})
        path = next(row.path for row in instance.channels if row.name == "serial0")
        self.wait_text("one.log", path + "\n")
        self.assertEqual(os.readlink(self.path("serial0")), path)
        self.assertEqual(self.handles()["channels"], {"serial0": {"type": "pty", "path": path}})

    def test_of_the_program(self):
        """The program of a command may lie in the working directory."""
        os.makedirs(self.wdir)
        script = os.path.join(self.wdir, "own.sh")
        with open(script, "w", encoding="ascii") as file:
            file.write("#!/bin/sh\necho own\nexec sleep 100000\n")
        os.chmod(script, 0o755)
        self.begin(pre=[command("one", "$pw_emu_wdir{own.sh}")])
        self.wait_text("one.log", "own\n")

    def test_in_arguments_of_every_boot(self):
        """Of the target and of the request; a restart has them too, with the port that it has."""
        policy = targets_pb2.RestartPolicy(mode=targets_pb2.RESTART_MODE_ALWAYS, delay_ms=0)
        instance = self.begin(
            channels={"serial0": "tcp"},
            emulator_args=["-name", "at-$pw_emu_channel_port{serial0}"],
            args=["-D", "$pw_emu_wdir{}qemu-$pw_emu_channel_port{serial0}.txt"],
            restart=policy,
        )
        port = next(row.port for row in instance.channels if row.name == "serial0")
        want = [f"at-{port}", f"{self.wdir}/qemu-{port}.txt"]
        self.assertEqual(self.arguments(), want)
        self.kill_emulator(2)
        self.assertEqual(self.arguments(), want)
        self.restart_daemon()
        self.kill_emulator(3)
        self.assertEqual(self.arguments(), want)

    def arguments(self):
        argv = [word.decode() for word in read_proc(self.pid("qemu"), "cmdline").split(b"\0")]
        return [argv[argv.index("-name") + 1], argv[argv.index("-D") + 1]]

    def kill_emulator(self, boot):
        wait_for(lambda: self.get().state == State.STATE_RUNNING, "it to run")
        os.kill(self.pid("qemu"), signal.SIGKILL)
        wait_for(lambda: self.get().boot == boot and self.get().state == State.STATE_RUNNING, "the next boot")

    def test_other_port_after_a_loss(self):
        """The shim that held the port is gone, the daemon too, and somebody else has the port: the next boot's arguments have the new one."""
        policy = targets_pb2.RestartPolicy(mode=targets_pb2.RESTART_MODE_ALWAYS, delay_ms=3000)
        instance = self.begin(channels={"serial0": "tcp"}, emulator_args=["-name", "$pw_emu_channel_port{serial0}", "-D", "/dev/null"], restart=policy)
        port = next(row.port for row in instance.channels if row.name == "serial0")
        shim = int(read_proc(instance.pid, "stat").rsplit(b")", 1)[1].split()[1])
        self.daemon.kill()
        os.kill(instance.pid, signal.SIGKILL)
        os.kill(shim, signal.SIGKILL)
        wait_for(lambda: not is_alive(shim), "the shim to go")
        with socket.socket() as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            other.bind(("127.0.0.1", port))
            other.listen()
            self.start_daemon()
            wait_for(lambda: self.get().boot == 2 and self.get().state == State.STATE_RUNNING, "the next boot")
        now = next(row.port for row in self.get().channels if row.name == "serial0")
        self.assertNotEqual(now, port)
        self.assertEqual(self.arguments()[0], str(now))
        wait_for(lambda: self.handles()["channels"]["serial0"]["port"] == now, "the new port in handles.json")

    def test_errors(self):
        """Each names the target, where it stands and what there is; nothing has begun."""
        for word, texts in (
            ("$pw_emu_channel_port{nope}", ['no channel "nope"', "serial0 (none)"]),
            ("x$pw_emu_channel_port{serial0}", ['"serial0" is of type none', '"tcp"']),
            ("$pw_emu_channel_path{serial0}", ['"serial0" is of type none', '"pty"']),
            ("$pw_emu_cahnnel_port{serial0}", ["$pw_emu_cahnnel_port{} is no expression", "$pw_emu_channel_port"]),
        ):
            for place, parts in (
                ('pre-start command "one"', {"pre": [command("one", "echo", word)]}),
                ('post-start command "one"', {"post": [command("one", "echo", word)]}),
                ("argument of the emulator", {"args": ["-name", word]}),
            ):
                error = self.fails(Code.INVALID_ARGUMENT, "invalid-target", f'target "{BOARD}"', **parts)
                for text in [place, *texts]:
                    self.assertIn(text, error.details())
        self.assertEqual(self.list(), [])

    def test_not_in_names_of_files(self):
        """A file whose name looks like one is a file."""
        path = os.path.join(self.dir, "$pw_emu_wdir{x}.elf")
        shutil.copy(firmware("slow.elf"), path)
        self.assertIn(path, self.begin(image=path).argv)


class Handles(Commands):
    def test_shape(self):
        """As pw_emu writes it, to the letter."""
        target = self.target([command("one")], [command("two")], {"serial0": "tcp"})
        target.config = "/path/pigweed.json"
        del target.gdb[:]
        target.gdb.extend(["gdb-multiarch", '-x "y"'])
        instance = self.start("slow.elf", target_config=target, working_dir=self.wdir, environment=self.environment(umask=0o26))
        port = next(row.port for row in instance.channels if row.name == "serial0")
        one, qemu, two = (row.pid for row in instance.processes)
        self.assertEqual(
            self.text("handles.json"),
            '{"emu": "qemu", "config": "/path/pigweed.json", "gdb_cmd": ["gdb-multiarch", "-x \\"y\\""], '
            f'"target": "{BOARD}", "channels": {{"serial0": {{"type": "tcp", "host": "127.0.0.1", "port": {port}}}}}, '
            f'"procs": {{"one": {{"pid": {one}}}, "qemu": {{"pid": {qemu}}}, "two": {{"pid": {two}}}}}}}',
        )
        self.assertEqual(stat.S_IMODE(os.stat(self.path("handles.json")).st_mode), 0o640)
        self.assertEqual((list(instance.gdb), instance.config), (["gdb-multiarch", '-x "y"'], "/path/pigweed.json"))

    def test_without(self):
        self.begin()
        handles = self.handles()
        self.assertEqual((handles["config"], handles["channels"], list(handles["procs"])), (None, {}, ["qemu"]))

    def test_goes_with_the_stop(self):
        for _ in range(5):
            self.begin(channels={"serial0": "pty"})
            self.assertTrue(os.path.lexists(self.path("serial0")))
            self.assertEqual(self.handles()["procs"]["qemu"]["pid"], int(self.text("qemu.pid")))
            self.stop()
            self.assertEqual(os.listdir(self.wdir), ["qemu.log"])

    def test_nothing_is_read_back(self):
        """What stands there from somebody else costs nothing: neither a start, nor an innocent process its life."""
        os.makedirs(self.wdir)
        with subprocess.Popen(["sleep", "100000"]) as innocent:
            for text in ("{}", "", "{broken", json.dumps({"procs": {"qemu": {"pid": innocent.pid}}})):
                with open(self.path("handles.json"), "w", encoding="ascii") as file:
                    file.write(text)
                self.assert_fails(Code.NOT_FOUND, "no-instance", self.stop)
                self.begin()
                self.assertNotEqual(self.handles()["procs"]["qemu"]["pid"], innocent.pid)
                self.stop()
                self.instances.Remove(instances_pb2.RemoveRequest(instance=self.ref()), timeout=CALL_DEADLINE)
            self.assertIsNone(innocent.poll())
            innocent.kill()

    def test_a_pid_that_is_no_more(self):
        """A process whose end nobody waited for, and one that has its number now, are not taken for the emulator."""
        instance = self.begin()
        self.daemon.kill()
        os.kill(instance.pid, signal.SIGKILL)
        wait_for(lambda: not is_alive(instance.pid), "it to die")
        self.start_daemon()
        self.wait_until_over()
        self.begin()
        self.stop()

    def test_cannot_be_written(self):
        """A directory that refuses is told, and costs the instance nothing."""
        os.makedirs(self.path("handles.json"))
        self.assertEqual(self.begin().state, State.STATE_RUNNING)
        self.assertTrue(any("handles.json" in event.reason for event in self.events(State.EVENT_KIND_WARNING)))


if __name__ == "__main__":
    unittest.main()
