# SPDX-License-Identifier: Apache-2.0
"""What crashes comes back: restart policies, back-off, hang detection, on real QEMU, also over the death of the daemon."""

import os
import signal
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from pwemu_fixture import (  # noqa: E402
    BOARD, CALL_DEADLINE, Case, common_pb2, instances_pb2, is_alive, read_proc, targets_pb2, wait_for,
)  # fmt: skip
from test_daemon_adopt import read_record, record_path, write_record  # noqa: E402

CAUSE = instances_pb2.EndCause
STATE = instances_pb2.State
NO, ON_FAILURE, ALWAYS = targets_pb2.RESTART_MODE_NO, targets_pb2.RESTART_MODE_ON_FAILURE, targets_pb2.RESTART_MODE_ALWAYS


def shims_below(directory):
    """Shims whose run directory is there, by pid."""
    found = []
    for entry in os.listdir("/proc"):
        try:
            if entry.isdigit() and read_proc(entry, "comm") == b"pwemu-shim\n" and os.readlink(f"/proc/{entry}/fd/4").startswith(directory):
                found.append(int(entry))
        except OSError:
            continue
    return found


def policy(mode, delay_ms=0, **fields):
    return targets_pb2.RestartPolicy(mode=mode, delay_ms=delay_ms, jitter_percent=0, **fields)


class Restarts(Case):
    def wait_boot(self, boot, name="default"):
        def seen():
            instance = self.get(name)
            return instance if instance.boot == boot and instance.state in (STATE.STATE_RUNNING, STATE.STATE_PAUSED) else None

        return wait_for(seen, f"boot {boot} to run")

    def wait_state(self, state, name="default"):
        return wait_for(lambda: self.get(name) if self.get(name).state == state else None, STATE.Name(state))

    def kill(self, instance, number=signal.SIGKILL):
        os.kill(instance.pid, number)


class Policies(Restarts):
    def test_killed_comes_back(self):
        """By default after a kill from outside: soon, with a new process, in the same log, and it can be used."""
        request = self.request("echo.elf")
        request.ClearField("restart")
        first = self.instances.Start(request, timeout=CALL_DEADLINE)
        self.assertEqual(first.restart.mode, ON_FAILURE)
        self.read_until(b"ready> ")
        self.kill(first)
        second = self.wait_boot(2)
        self.assertNotEqual(second.pid, first.pid)
        self.assertEqual((second.restarts, second.id), (1, first.id))
        self.assertFalse(second.HasField("end"))
        end = second.ends[-1]
        self.assertEqual((end.cause, end.signal, end.boot), (CAUSE.END_CAUSE_KILLED, signal.SIGKILL, 1))
        wait_for(lambda: self.read_all().count(b"ready> ") == 2, "the second prompt")
        self.assertEqual(self.read_all(one_boot=True, **{"from": common_pb2.Position(boot_number=2)}), b"ready> ")
        self.assertEqual(self.stop().end.cause, CAUSE.END_CAUSE_STOPPED)
        self.assert_nothing_runs()

    def test_first_retry_within_200_ms(self):
        """As decided, not as measured: the machine may be busy."""
        instance = self.start("hello.elf", restart=targets_pb2.RestartPolicy(mode=ON_FAILURE))
        self.daemon.process.send_signal(signal.SIGSTOP)
        self.kill(instance)
        self.daemon.process.send_signal(signal.SIGCONT)
        self.wait_boot(2)
        events = self.instances.Watch(instances_pb2.WatchRequest(instance=self.ref(), from_seq=1, no_follow=True), timeout=CALL_DEADLINE)
        words = [event.reason for event in events if event.kind == instances_pb2.EVENT_KIND_RESTART]
        self.assertEqual(len(words), 1)
        self.assertLessEqual(int(words[0].split()[-2]), 200)

    def test_crash_comes_back(self):
        instance = self.start("hello.elf", restart=policy(ON_FAILURE))
        self.kill(instance, signal.SIGSEGV)
        self.assertEqual(self.wait_boot(2).ends[-1].cause, CAUSE.END_CAUSE_CRASHED)

    def test_on_failure_leaves_the_guest_s_ends_alone(self):
        self.start("exit.elf", "finished", firmware_args=["3"], restart=policy(ON_FAILURE))
        self.start("lockup.elf", "fault", restart=policy(ON_FAILURE))
        self.start("hello.elf", "stopped", restart=policy(ON_FAILURE))
        self.stop("stopped")
        for name, cause in (("finished", CAUSE.END_CAUSE_FINISHED), ("fault", CAUSE.END_CAUSE_GUEST_FAULT), ("stopped", CAUSE.END_CAUSE_STOPPED)):
            self.assertEqual(self.wait_end(name).cause, cause, name)
            instance = self.get(name)
            self.assertEqual((instance.state, instance.boot, instance.restarts), (STATE.STATE_ENDED, 1, 0), name)
        dump = self.get("fault").end.details
        self.assertIn("Lockup", dump)
        self.assertIn("R15=", dump)

    def test_gdb_kill_stays(self):
        instance = self.start("hello.elf", restart=policy(ON_FAILURE))
        gdb = next(channel.path for channel in instance.channels if channel.name == "gdb")
        os.system(f"gdb-multiarch -nx -batch -ex 'target remote {gdb}' -ex kill >/dev/null 2>&1")
        self.assertEqual(self.wait_end().cause, CAUSE.END_CAUSE_GDB)
        self.assertEqual(self.get().boot, 1)

    def test_no(self):
        instance = self.start("hello.elf", restart=policy(NO))
        self.kill(instance)
        self.assertEqual(self.wait_end().cause, CAUSE.END_CAUSE_KILLED)
        self.assertEqual(self.get().restarts, 0)

    def test_tied_to_a_client(self):
        """What `run` asks for: no restart unless it says so."""
        request = self.request("hello.elf", stop_on_disconnect=True)
        request.ClearField("restart")
        instance = self.instances.Start(request, timeout=CALL_DEADLINE)
        self.assertEqual(instance.restart.mode, NO)

    def test_always_until_too_often(self):
        """Five quick deaths in a row; it has failed and says so. The last ends are known."""
        self.start("exit.elf", firmware_args=["3"], restart=policy(ALWAYS), no_wait=True)
        instance = self.wait_state(STATE.STATE_FAILED)
        self.assertEqual((instance.boot, instance.restarts), (5, 4))
        self.assertEqual([(end.boot, end.code) for end in instance.ends], [(boot, 3) for boot in range(1, 6)])
        self.assertIn("5 quick deaths", instance.reason)
        self.assertEqual(self.read_all().count(b"exit on"), 5)
        again = self.start("hello.elf", restart=policy(ON_FAILURE))
        self.assertEqual((again.restarts, again.boot), (0, 6))
        self.assertEqual(self.read_until(b"\n").count(b"exit on"), 0, "a reader begins at the latest explicit start")

    def test_stable_life_begins_anew(self):
        instance = self.start("hello.elf", restart=policy(ON_FAILURE, max_deaths=2, stable_ms=1))
        for boot in range(2, 6):
            self.kill(instance)
            instance = self.wait_boot(boot)

    def test_bad_configuration_is_not_tried_again(self):
        with self.assertRaises(Exception):
            self.start("hello.elf", args=["-nosuch"], restart=policy(ALWAYS))
        instance = self.get()
        self.assertEqual((instance.state, instance.boot), (STATE.STATE_FAILED, 1))
        self.assertEqual(instance.end.cause, CAUSE.END_CAUSE_BAD_CONFIG)

    def test_pause_is_repeated(self):
        instance = self.start("hello.elf", pause=True, restart=policy(ON_FAILURE))
        self.kill(instance)
        self.assertEqual(self.wait_boot(2).state, STATE.STATE_PAUSED)
        self.assertEqual(self.read_all(), b"")
        self.instances.Resume(instances_pb2.ResumeRequest(instance=self.ref()), timeout=CALL_DEADLINE)
        self.read_until(b"hello")

    def test_readers_stay(self):
        """Who follows goes on in the next boot; nothing is lost between."""
        instance = self.start("seq.elf", restart=policy(ON_FAILURE))
        call = self.read(follow=True)
        seen = b""
        for _ in range(2):
            wanted = len(seen) + 300000
            while len(seen) < wanted:
                seen += next(call).data.bytes
            self.kill(instance)
            instance = self.wait_boot(instance.boot + 1)
        wait_for(lambda: self.offset() > len(seen) + 300000, "output of the third boot")
        self.stop()
        seen += b"".join(reply.data.bytes for reply in call)
        with open(self.log_path(self.get()), "rb") as log:
            self.assertEqual(seen, log.read())
        self.assertEqual(seen.count(b"00000000\n"), 3)

    def test_target_s_policy(self):
        target = self.targets.Get(targets_pb2.GetTargetRequest(name=BOARD), timeout=CALL_DEADLINE)
        target.restart.CopyFrom(policy(ALWAYS, max_deaths=2))
        request = self.request("exit.elf", firmware_args=["0"], target_config=target, no_wait=True)
        request.ClearField("restart")
        self.instances.Start(request, timeout=CALL_DEADLINE)
        self.assertEqual(self.wait_state(STATE.STATE_FAILED).boot, 2)


class Backoff(Restarts):
    def backoff(self, delay_ms=600000):
        instance = self.start("hello.elf", restart=policy(ON_FAILURE, delay_ms, max_delay_ms=delay_ms))
        self.kill(instance)
        instance = self.wait_state(STATE.STATE_BACKOFF)
        self.assertGreater(instance.restart_at_ns, time.time_ns())
        self.assertEqual(instance.pid, 0)
        self.assertIn("restart 1 follows", instance.reason)
        return instance

    def test_stop(self):
        self.backoff()
        stopped = self.stop()
        self.assertEqual((stopped.state, stopped.boot, stopped.end.cause), (STATE.STATE_ENDED, 1, CAUSE.END_CAUSE_KILLED))
        self.assert_nothing_runs()
        self.assertEqual(os.listdir(os.path.join(self.daemon.state_dir, "run")), [])

    def test_is_running(self):
        """A start meets an instance that is there."""
        self.backoff()
        self.assert_fails(self.already_exists, "already-running", self.start, "hello.elf")

    @property
    def already_exists(self):
        import grpc

        return grpc.StatusCode.ALREADY_EXISTS

    def test_daemon_dies(self):
        """The next one waits for what is left of the time, holds what is to be held, and can stop it."""
        before = self.backoff()
        self.restart_daemon()
        after = self.get()
        self.assertEqual((after.state, after.restart_at_ns, after.reason), (before.state, before.restart_at_ns, before.reason))
        self.assertEqual(self.stop().state, STATE.STATE_ENDED)
        self.assert_nothing_runs()

    def test_daemon_dies_and_time_comes(self):
        self.backoff(3000)
        self.restart_daemon()
        self.wait_boot(2)
        self.assertEqual(self.get().restarts, 1)
        self.read_until(b"hello")

    def test_time_comes_without_a_daemon(self):
        self.backoff(500)
        self.daemon.kill()
        record = read_record(record_path(self, self.list_on_disk()))
        wait_for(lambda: time.time_ns() > record.restart_at_ns, "the time of the restart to pass")
        self.start_daemon()
        self.wait_boot(2)

    def list_on_disk(self):
        return instances_pb2.Instance(id=next(name for name in os.listdir(os.path.join(self.daemon.state_dir, "data")) if len(name) == 6))

    def test_shim_dies(self):
        self.backoff(2000)
        for pid in self.shims():
            os.kill(pid, signal.SIGKILL)
        self.wait_boot(2)

    def shims(self):
        return shims_below(self.dir)

    def test_dies_without_a_daemon(self):
        """Killed while nobody looked: known afterwards, and started again."""
        instance = self.start("hello.elf", restart=policy(ON_FAILURE))
        self.daemon.kill()
        self.kill(instance)
        wait_for(lambda: not is_alive(instance.pid), "it to die")
        self.start_daemon()
        self.assertEqual(self.wait_boot(2).ends[-1].cause, CAUSE.END_CAUSE_KILLED)

    def test_host_reboots(self):
        """`always` starts again, all others end so. Told by the boot id of the record."""
        names = {"always": ALWAYS, "on-failure": ON_FAILURE, "no": NO}
        for name, mode in names.items():
            self.start("hello.elf", name, restart=policy(mode))
        rows = {row.name: row for row in self.list()}
        self.daemon.kill()
        for pid in self.shims():
            os.kill(pid, signal.SIGKILL)
        for row in rows.values():
            wait_for(lambda pid=row.pid: not is_alive(pid), "it to die with its shim")
            path = record_path(self, row)
            record = read_record(path)
            record.host_boot = "00000000-0000-0000-0000-000000000000"
            write_record(path, record)
        self.start_daemon()
        self.wait_boot(2, "always")
        for name in ("on-failure", "no"):
            instance = self.get(name)
            self.assertEqual((instance.state, instance.end.cause), (STATE.STATE_ENDED, CAUSE.END_CAUSE_HOST_REBOOTED), name)
        self.assertEqual(self.get("always").ends[-1].cause, CAUSE.END_CAUSE_HOST_REBOOTED)


class Hangs(Restarts):
    def kinds(self, name="default"):
        request = instances_pb2.WatchRequest(instance=self.ref(name), from_seq=1, no_follow=True)
        return [event.kind for event in self.instances.Watch(request, timeout=CALL_DEADLINE)]

    def wait_hang(self):
        wait_for(lambda: instances_pb2.EVENT_KIND_HANG in self.kinds(), "the hang to be noticed")

    def test_frozen_is_restarted(self):
        hang = targets_pb2.HangPolicy(answer_ms=600, action=targets_pb2.HANG_ACTION_RESTART)
        instance = self.start("hello.elf", restart=policy(NO), hang=hang)
        self.kill(instance, signal.SIGSTOP)
        again = self.wait_boot(2)
        self.assertEqual(again.ends[-1].cause, CAUSE.END_CAUSE_HUNG)
        self.assertIn("has not answered", again.ends[-1].message)
        self.assertFalse(is_alive(instance.pid))

    def test_frozen_is_told_once(self):
        instance = self.start("hello.elf", hang=targets_pb2.HangPolicy(answer_ms=300))
        self.kill(instance, signal.SIGSTOP)
        self.wait_hang()
        self.kill(instance, signal.SIGCONT)
        self.assertEqual(self.get().boot, 1)
        self.stop()
        self.assertEqual(self.kinds().count(instances_pb2.EVENT_KIND_HANG), 1)

    def test_silence_stops(self):
        hang = targets_pb2.HangPolicy(silence_ms=700, action=targets_pb2.HANG_ACTION_STOP)
        self.start("hello.elf", restart=policy(ALWAYS), hang=hang)
        end = self.wait_end()
        self.assertEqual(end.cause, CAUSE.END_CAUSE_HUNG)
        self.assertIn("serial0 has been silent", end.message)
        self.assertEqual(self.get().state, STATE.STATE_ENDED)

    def test_paused_may_be_silent(self):
        hang = targets_pb2.HangPolicy(silence_ms=300, answer_ms=2000, action=targets_pb2.HANG_ACTION_STOP)
        self.start("hello.elf", pause=True, hang=hang)
        request = instances_pb2.WatchRequest(instance=self.ref())
        with self.assertRaises(Exception):  # nothing happens within this time
            next(self.instances.Watch(request, timeout=1.5))
        self.assertEqual(self.get().state, STATE.STATE_PAUSED)

    def test_noise_is_no_hang(self):
        self.start("seq.elf", hang=targets_pb2.HangPolicy(silence_ms=2000, answer_ms=5000))
        wait_for(lambda: self.offset() > 2000000, "output")
        self.assertNotIn(instances_pb2.EVENT_KIND_HANG, self.kinds())

    def test_after_adoption(self):
        hang = targets_pb2.HangPolicy(answer_ms=600, action=targets_pb2.HANG_ACTION_RESTART)
        instance = self.start("hello.elf", hang=hang)
        self.restart_daemon()
        self.kill(instance, signal.SIGSTOP)
        self.wait_boot(2)


if __name__ == "__main__":
    unittest.main()
