# SPDX-License-Identifier: Apache-2.0
"""Supervision at its worst moments: the daemon dies amid a boot, a stop or a hang, shims and emulators do not answer."""

import contextlib
import os
import shutil
import signal
import socket
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import grpc  # noqa: E402
from pwemu_fixture import (  # noqa: E402
    BUILD, CALL_DEADLINE, PWEMUD, instances_pb2, is_alive, processes_with, read_proc, targets_pb2, wait_for,
)  # fmt: skip
from test_daemon_adopt import read_record, record_path, write_record  # noqa: E402
from test_daemon_endpoints import Endpoints, Reader, pty, tcp  # noqa: E402
from test_daemon_restart import ALWAYS, CAUSE, NO, ON_FAILURE, STATE, policy, shims_below  # noqa: E402
from test_review_core import limit_files, open_files  # noqa: E402

SHIM = "libexec/pwemu/pwemu-shim"
ATTACH, END = instances_pb2.EVENT_KIND_ATTACH, instances_pb2.EVENT_KIND_END
HANG, WARNING = instances_pb2.EVENT_KIND_HANG, instances_pb2.EVENT_KIND_WARNING


class Supervision(Endpoints):
    def history(self):
        request = instances_pb2.WatchRequest(instance=self.ref(), from_seq=1, no_follow=True)
        return list(self.instances.Watch(request, timeout=CALL_DEADLINE))

    def kinds(self):
        return [event.kind for event in self.history()]

    def events_within(self, seconds):
        """What happens in that time; for what must not happen."""
        seen = []
        try:
            for event in self.instances.Watch(instances_pb2.WatchRequest(instance=self.ref()), timeout=seconds):
                seen.append(event)
        except grpc.RpcError as error:
            self.assertEqual(error.code(), grpc.StatusCode.DEADLINE_EXCEEDED, error)
        return seen

    def wait_settled(self):
        """Over, or in another boot than the first: what is wrong is seen as soon as what is right."""
        over = (STATE.STATE_ENDED, STATE.STATE_FAILED)
        return wait_for(lambda: self.get() if self.get().state in over or self.get().boot > 1 else None, "it to end or to come back")

    def freeze(self, pid):
        os.kill(pid, signal.SIGSTOP)
        self.addCleanup(self.thaw, pid)

    @staticmethod
    def thaw(pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)

    def only_shim(self):
        (shim,) = shims_below(self.dir)
        return shim

    def record(self, instance):
        return read_record(record_path(self, instance))

    def forge(self, instance, **fields):
        """The daemon has died, at a moment at which its record said this."""
        self.daemon.process.kill()  # before our connections are closed, which it would see
        self.daemon.process.wait()
        self.daemon.kill()
        record = self.record(instance)
        for name, value in fields.items():
            setattr(record, name, value)
        write_record(record_path(self, instance), record)

    # ---------------------------------------------------------------- shims that wait at a gate

    @property
    def gate(self):
        return os.path.join(self.dir, "gate")

    def gated(self):
        """A daemon each of whose shims waits at a gate before it begins."""
        build = os.path.join(self.dir, "build")
        for place in ("bin", "libexec/pwemu", "real"):
            os.makedirs(os.path.join(build, place))
        program = shutil.copy(PWEMUD, os.path.join(build, "bin/pwemud"))
        if os.path.isdir(os.path.join(BUILD, "share")):
            os.symlink(os.path.join(BUILD, "share"), os.path.join(build, "share"))
        os.symlink(os.path.join(BUILD, SHIM), os.path.join(build, "real/pwemu-shim"))
        os.mkfifo(self.gate)
        with open(os.path.join(build, SHIM), "w", encoding="ascii") as script:
            script.write(f"#!/bin/sh\nread word <{self.gate}\nexec {build}/real/pwemu-shim\n")
        os.chmod(os.path.join(build, SHIM), 0o755)
        return program

    def wait_at_gate(self):
        """Until a shim waits there; it goes on when the descriptor is closed."""

        def reached():
            with contextlib.suppress(OSError):  # ENXIO: nobody is there
                return os.open(self.gate, os.O_WRONLY | os.O_NONBLOCK)

        return wait_for(reached, "a shim at the gate")

    def kill_at_gate(self, instance, boot):
        """The daemon and the shim die before that boot came to life."""
        gate = self.wait_at_gate()
        wait_for(lambda: self.record(instance).boot == boot, "the boot to be on record")
        self.daemon.kill()
        (shim,) = (pid for pid in shims_below(self.dir) if read_proc(pid, "cmdline").startswith(b"/bin/sh\0"))
        os.kill(shim, signal.SIGKILL)
        wait_for(lambda: not is_alive(shim), "it to die")
        os.close(gate)


class Adoption(Supervision):
    def test_boot_is_given_time(self):
        """The time of a boot is over when it is adopted, but nobody has asked the emulator meanwhile: a healthy one is not killed."""
        instance = self.start("hello.elf")
        self.forge(instance, state="booting", started_ns=0, state_since_ns=time.time_ns() - 120 * 10**9)
        self.freeze(instance.pid)  # so that its answer does not come before a time that is over
        self.start_daemon()
        self.assertEqual(self.events_within(1), [])
        self.thaw(instance.pid)
        now = self.wait_boot(1)
        self.assertEqual((now.pid, now.state), (instance.pid, STATE.STATE_RUNNING))

    def test_end_of_the_boot_before_comes_late(self):
        """Its shim tells it again to the next daemon, when that has already begun another boot: it is not taken for this one's."""
        instance = self.start("hello.elf", restart=policy(ON_FAILURE, 1000, max_delay_ms=1000))
        self.kill(instance)
        self.wait_state(STATE.STATE_BACKOFF)
        self.daemon.kill()
        shim = self.only_shim()
        self.freeze(shim)
        self.start_daemon(program=self.gated())
        gate = self.wait_at_gate()
        wait_for(lambda: self.get().state == STATE.STATE_STARTING, "the next boot")
        self.thaw(shim)
        self.assertEqual(self.events_within(1), [])
        os.close(gate)
        self.wait_boot(2)
        self.assertEqual([event.boot for event in self.history() if event.kind == END], [1])

    def test_began_is_kept(self):
        """A boot that was adopted has lived since it began: whether its death was quick, and what is told of it, depends on this."""
        instance = self.start("hello.elf", restart=policy(ON_FAILURE))
        began = self.record(instance).began_ns
        self.assertGreater(began, 0)
        self.restart_daemon()
        self.kill(self.wait_boot(1))
        self.assertEqual(self.wait_boot(2).ends[-1].began_ns, began)

    def test_explicit_start_is_kept(self):
        """The daemon died after the process was there and before its logs knew: readers begin at this start nevertheless."""
        instance = self.start("hello.elf")
        self.read_until(b"hello")
        self.stop()
        end = self.offset()
        self.daemon.kill()
        self.start_daemon(program=self.gated())
        call = self.instances.Start.future(self.request("hello.elf"), timeout=CALL_DEADLINE)
        gate = self.wait_at_gate()
        self.assertEqual(self.record(instance).boot, 2)
        self.daemon.kill()
        self.assertTrue(call.done())
        os.close(gate)
        wait_for(lambda: f"PWEMU_INSTANCE={instance.id}:" in self.environments(), "the emulator")
        self.start_daemon()
        self.wait_boot(2)
        wait_for(lambda: self.offset() > end, "what it prints")
        self.assertEqual(next(self.read()).data.offset, end)

    def environments(self):
        return b"".join(read_proc(pid, "environ") for pid in processes_with(self.dir)).decode(errors="replace")

    def test_party_that_stays(self):
        """Who was attached all over a restart was there, also for a daemon that comes later: who comes then begins at now."""
        instance = self.start("echo.elf", restart=policy(ON_FAILURE), endpoints=[tcp()])
        first = Reader(self.dial(self.endpoint().port).fileno())
        first.until(b"ready> ")
        self.kill(instance)
        first.count(b"ready> ", 2)
        self.wait_boot(2)
        self.restart_daemon()
        later = self.dial(self.endpoint().port)
        wait_for(lambda: self.endpoint().readers > 0, "it to be attached")
        later.sendall(b"x\r")
        self.assertTrue(Reader(later.fileno()).until(b"got: x").startswith(b"x"), "it begins at now")

    def test_frozen_emulator(self):
        """It takes no connection, and those of daemons that are gone fill its queue: the next one starts, and has control in the end."""
        instance = self.start("hello.elf", pause=True)
        self.freeze(instance.pid)
        signal.alarm(CALL_DEADLINE)  # a daemon that does not start does not say so
        for _ in range(8):
            self.restart_daemon()
            self.assertEqual(self.get().pid, instance.pid)
        self.thaw(instance.pid)
        wait_for(self.is_resumed, "control of the emulator")
        self.read_until(b"hello")

    def is_resumed(self):
        with contextlib.suppress(grpc.RpcError):
            self.instances.Resume(instances_pb2.ResumeRequest(instance=self.ref()), timeout=CALL_DEADLINE)
        return self.get().state == STATE.STATE_RUNNING


class Unborn(Supervision):
    """A restart whose daemon died before the new boot came to life."""

    def test_next_one_runs_at_once(self):
        """No back-off again, and nothing is said of an end of what never was."""
        delay = {"delay_ms": 600000, "max_delay_ms": 600000}
        instance = self.start("hello.elf", restart=policy(ON_FAILURE, **delay))
        self.kill(instance)
        self.wait_state(STATE.STATE_BACKOFF)
        self.forge(instance, state="booting", boot=2, proc="boot-2", is_restart=True, restart_at_ns=0, restarts=1)
        self.start_daemon()
        self.assertEqual(self.wait_boot(3).state, STATE.STATE_RUNNING)
        self.assertEqual([event.boot for event in self.history() if event.kind == END], [1])
        self.assertNotIn(HANG, self.kinds())
        self.assertEqual([end.cause for end in self.get().ends], [CAUSE.END_CAUSE_KILLED])

    def test_twice(self):
        """What the last shim that lived holds is found two boots later: the same port, the same terminal, and no shim is left over."""
        self.daemon.kill()
        program = self.gated()
        self.start_daemon()
        instance = self.start("hello.elf", restart=policy(ON_FAILURE, 300, max_delay_ms=300), endpoints=[pty(), tcp("gdb")])
        before = self.places()
        self.daemon.kill()
        self.start_daemon(program=program)
        self.kill(instance)
        self.kill_at_gate(instance, 2)
        self.start_daemon(program=program)
        self.kill_at_gate(instance, 3)
        self.start_daemon()
        self.wait_boot(4)
        self.assertEqual(self.places(), before)
        wait_for(lambda: len(shims_below(self.dir)) == 1, "the old shim to go")
        self.stop()
        self.assert_nothing_runs()
        self.assertEqual(shims_below(self.dir), [])

    def places(self):
        return self.endpoint().path, self.endpoint("gdb").port

    def test_failed_restarts_leak_nothing(self):
        """They are tried again and again; each gives back what it has opened."""
        instance = self.start("hello.elf", restart=policy(ON_FAILURE, 100, max_delay_ms=100, max_deaths=1000))
        fifo = os.path.join(self.daemon.state_dir, "run", instance.id, "serial0.in")
        os.unlink(fifo)
        os.makedirs(os.path.join(fifo, "in-the-way"))
        self.kill(instance)
        wait_for(lambda: self.get().boot >= 3, "some restarts to fail")
        self.assertIn("serial0.in", self.wait_state(STATE.STATE_BACKOFF).reason)
        before = open_files(self.daemon.pid)
        many = self.get().boot + 12
        wait_for(lambda: self.get().boot >= many, "more of them")
        wait_for(lambda: open_files(self.daemon.pid) <= before, "no more descriptors than before", 10)
        shutil.rmtree(fifo)
        wait_for(lambda: self.get().state == STATE.STATE_RUNNING, "one that succeeds")


class Stops(Supervision):
    def test_grace_is_kept(self):
        """The next daemon waits for what the user has granted, not for what it likes."""
        instance = self.start_stubborn()
        stop = self.instances.Stop.future(instances_pb2.StopRequest(instance=self.ref(), grace_ms=600000), timeout=CALL_DEADLINE)
        self.wait_state(STATE.STATE_STOPPING)
        del stop  # a call that nobody holds is cancelled, perhaps before it was sent
        wait_for(lambda: self.record(instance).state == "stopping", "the stop to be on record")
        self.restart_daemon()
        self.assertEqual(self.events_within(6.5), [])  # the usual grace is 5 s
        self.assertTrue(is_alive(instance.pid))
        self.kill(instance)
        self.assertEqual(self.wait_end().cause, CAUSE.END_CAUSE_STOPPED)

    def test_hang_s_stop_is_kept(self):
        """The daemon died while it ended an emulator that hangs, for good: no restart policy brings it back."""
        instance = self.start("hello.elf", restart=policy(ON_FAILURE))
        self.forge(instance, state="stopping", ending="the emulator has not answered", no_restart=True)
        self.start_daemon()
        now = self.wait_settled()
        self.assertEqual((now.state, now.boot, now.end.cause), (STATE.STATE_ENDED, 1, CAUSE.END_CAUSE_HUNG))
        self.assertFalse(is_alive(instance.pid))

    def test_hang_s_restart_is_kept(self):
        """The same where the hang policy wants it again, which the restart policy does not."""
        instance = self.start("hello.elf", restart=policy(NO))
        self.forge(instance, state="stopping", ending="the emulator has not answered", restart_wanted=True)
        self.start_daemon()
        self.assertEqual(self.wait_boot(2).ends[-1].cause, CAUSE.END_CAUSE_HUNG)
        self.assertFalse(is_alive(instance.pid))

    def test_always_but_tied_to_a_client(self):
        """After a reboot of the host there is no such client, so it is not started for nobody."""
        request = self.request("hello.elf", restart=policy(ALWAYS), stop_on_disconnect=True)
        instance = self.instances.Start(request, timeout=CALL_DEADLINE)
        self.forge(instance, host_boot="00000000-0000-0000-0000-000000000000")
        for pid in (self.only_shim(), instance.pid):
            with contextlib.suppress(ProcessLookupError):  # the emulator dies with its shim
                os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not is_alive(instance.pid), "it to die")
        self.start_daemon()
        now = self.wait_settled()
        self.assertEqual((now.state, now.boot, now.end.cause), (STATE.STATE_ENDED, 1, CAUSE.END_CAUSE_HOST_REBOOTED))


class Blocked(Supervision):
    def test_silence_that_is_ours(self):
        """While a log cannot be written the emulator may say what it wants: that nothing is heard is no hang."""
        hang = targets_pb2.HangPolicy(silence_ms=1000, action=targets_pb2.HANG_ACTION_RESTART)
        instance = self.start("seq.elf", hang=hang)
        limit_files(self.daemon.pid, 100000)
        wait_for(lambda: WARNING in self.kinds(), "the log to be full")
        self.assertNotIn(HANG, [event.kind for event in self.events_within(2.5)])
        limit_files(self.daemon.pid, None)
        wait_for(lambda: self.offset() > 300000, "the output to go on")
        self.assertNotIn(HANG, self.kinds())
        self.assertEqual(self.get().pid, instance.pid)

    def test_debugger_is_attached(self):
        """One that is connected behind the daemon's back: who comes is sent away after a while, and the daemon serves everybody else."""
        self.start("hello.elf", endpoints=[tcp("gdb")])
        row = self.endpoint("gdb")
        debugger = socket.socket(socket.AF_UNIX)
        self.addCleanup(debugger.close)
        debugger.connect(row.path)
        for _ in range(2):
            with self.dial(row.port) as client:
                client.settimeout(30)
                client.sendall(b"+$?#3f")
                self.assertEqual(self.get().id, self.get().id)
                self.assertEqual(client.recv(1), b"+")
                self.assertEqual(client.recv(1), b"")


if __name__ == "__main__":
    unittest.main()
