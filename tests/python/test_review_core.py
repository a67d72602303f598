# SPDX-License-Identifier: Apache-2.0
"""Corners of the daemon's core: ends at the worst moment, full disks, clients that go away, what must not be left behind."""

import os
import resource
import signal
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import grpc  # noqa: E402
from pwemu_fixture import (  # noqa: E402
    CALL_DEADLINE, PWEMUD, Attachment, Case, Daemon, common_pb2, daemon_pb2, instances_pb2, instances_pb2_grpc, is_alive,
    processes_with, sequence, wait_for,
)  # fmt: skip
from test_daemon_adopt import read_record, record_path, write_record  # noqa: E402

Code = grpc.StatusCode


def limit_files(pid, size):
    """No file of that process grows beyond `size`, as on a full disk; None: no limit."""
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY if size is None else size, resource.RLIM_INFINITY))


def open_files(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


class Core(Case):
    def run_dir(self, *parts):
        return os.path.join(self.daemon.state_dir, "run", *parts)

    def action(self, call, request_type, name="default"):
        return call(request_type(instance=self.ref(name)), timeout=CALL_DEADLINE)


class Ends(Core):
    def test_daemon_ends_with_a_request_pending(self):
        """The emulator that was asked to pause does not answer; its instance goes last."""
        for number in range(4):
            instance = self.start("hello.elf", f"n{number}")
            os.kill(instance.pid, signal.SIGSTOP)
            self.instances.Pause.future(instances_pb2.PauseRequest(instance=self.ref(f"n{number}")), timeout=CALL_DEADLINE)
        self.control.Info(daemon_pb2.InfoRequest(), timeout=CALL_DEADLINE)
        self.daemon.terminate()
        self.assertEqual(self.daemon.wait(), 0)
        self.start_daemon()

    def test_emulator_ends_with_a_request_pending(self):
        instance = self.start("hello.elf")
        os.kill(instance.pid, signal.SIGSTOP)
        call = self.instances.Reset.future(instances_pb2.ResetRequest(instance=self.ref()), timeout=CALL_DEADLINE)
        self.control.Info(daemon_pb2.InfoRequest(), timeout=CALL_DEADLINE)
        os.kill(instance.pid, signal.SIGKILL)
        self.assert_fails(Code.FAILED_PRECONDITION, "not-running", call.result, text='instance "default" ended before it was done')

    def test_shutdown_goes_on_without_its_client(self):
        """Who asked for the end of all instances need not wait for it."""
        instance = self.start("hello.elf")
        os.kill(instance.pid, signal.SIGSTOP)
        call = self.control.Shutdown.future(daemon_pb2.ShutdownRequest(with_instances=True), timeout=CALL_DEADLINE)
        wait_for(lambda: self.get().state == instances_pb2.STATE_STOPPING, "the stop to begin")
        call.cancel()
        self.assertEqual(self.daemon.wait(), 0)
        self.assertEqual(processes_with(self.dir), {})
        self.assertEqual(os.listdir(self.run_dir()), [])

    def test_no_start_during_shutdown(self):
        """It would be waited for, or stopped at once."""
        instance = self.start("hello.elf")
        os.kill(instance.pid, signal.SIGSTOP)
        call = self.control.Shutdown.future(daemon_pb2.ShutdownRequest(with_instances=True), timeout=CALL_DEADLINE)
        wait_for(lambda: self.get().state == instances_pb2.STATE_STOPPING, "the stop to begin")
        self.assert_fails(Code.UNAVAILABLE, "daemon-ending", self.start, "hello.elf", "late")
        self.assertEqual(call.result().stopped, 1)
        self.assertEqual(self.daemon.wait(), 0)

    def test_stop_does_not_change_how_it_ended(self):
        """The guest has ended, its output cannot be moved: no stop, and no full disk, makes another end of it."""
        instance = self.start("seq.elf")
        limit_files(self.daemon.pid, 100000)
        wait_for(lambda: self.offset() == 100000, "the log to be full")
        os.kill(instance.pid, signal.SIGKILL)
        wait_for(lambda: self.get().state == instances_pb2.STATE_STOPPING, "its end to be noticed")
        ended = self.stop()
        self.assertEqual((ended.end.cause, ended.end.signal), (instances_pb2.END_CAUSE_KILLED, signal.SIGKILL))
        self.assertEqual(ended.state, instances_pb2.STATE_ENDED)
        limit_files(self.daemon.pid, None)
        self.assertEqual(self.read_all(), sequence(0, 100000))
        self.start("hello.elf")
        self.read_until(b"hello")

    def test_frozen_emulator_is_stopped(self):
        """Frozen by its own output, which cannot be moved: not even SIGTERM helps."""
        self.start("seq.elf")
        limit_files(self.daemon.pid, 100000)
        wait_for(lambda: self.offset() == 100000, "the log to be full")
        ended = self.stop(grace_ms=300)
        self.assertEqual(ended.end.cause, instances_pb2.END_CAUSE_STOPPED)
        self.assert_nothing_runs()
        self.assertEqual(os.listdir(self.run_dir()), [])

    def test_no_start_that_cannot_be_recorded(self):
        """The next daemon could not know of it."""
        self.start("exit.elf", semihosting=True)
        self.wait_until_over()
        words = []
        for limit in range(10, 20000, 100):  # whichever of its files is too large; the record is the largest
            limit_files(self.daemon.pid, limit)
            try:
                self.start("hello.elf", environment=self.environment("PADDING=" + 2000 * "x"))
                break
            except grpc.RpcError as error:
                self.assertEqual(error.code(), Code.INTERNAL)
                words.append(error.details())
            self.assert_nothing_runs()
        self.assertIn('record of instance "default": write "record.new": File too large', words)
        limit_files(self.daemon.pid, None)
        self.stop()
        self.start("hello.elf")


class Leftovers(Core):
    def test_descriptors_of_ended_instances(self):
        def run(name):
            self.start("exit.elf", name, semihosting=True)
            self.wait_until_over(name)
            self.read_all(name=name)

        run("first")
        before = wait_for(lambda: open_files(self.daemon.pid), "the descriptors")
        for number in range(8):
            run(f"n{number}")
        wait_for(lambda: open_files(self.daemon.pid) <= before, "the descriptors to be closed")
        self.restart_daemon()
        self.assertEqual(len(self.list()), 9)
        wait_for(lambda: open_files(self.daemon.pid) <= before, "an adopted one to need none")
        self.assertEqual(self.read_all(name="n3"), b"exit on lm3s6965evb\n")

    def test_start_that_came_nowhere(self):
        """A daemon died while it prepared: FIFOs and a directory without a record."""
        self.start("exit.elf", semihosting=True)
        over = self.wait_until_over()
        self.daemon.kill()
        for place in ("abcdef", over.id):
            os.makedirs(self.run_dir(place))
            os.mkfifo(self.run_dir(place, "serial0.out"))
        os.mkdir(os.path.join(self.daemon.state_dir, "data", "abcdef"))
        self.start_daemon()
        wait_for(lambda: os.listdir(self.run_dir()) == [], "the run directories to go")
        self.assertEqual(os.listdir(os.path.join(self.daemon.state_dir, "data")), [over.id])
        self.assertEqual([row.id for row in self.list()], [over.id])

    def test_shim_that_waits_for_nobody(self):
        """A daemon died after it had written down the end, before it told the shim."""
        instance = self.start("hello.elf")
        self.daemon.kill()
        os.kill(instance.pid, signal.SIGKILL)
        wait_for(lambda: not is_alive(instance.pid), "the emulator to end")
        path = record_path(self, instance)
        record = read_record(path)
        record.state = "ended"
        write_record(path, record)
        self.start_daemon()
        self.assertEqual(self.start("hello.elf").boot, 2)  # at once
        self.stop()
        wait_for(lambda: os.listdir(self.run_dir()) == [], "the run directories to go")
        self.assert_nothing_runs()

    def test_start_that_was_refused_after_its_client_left(self):
        """Nobody knows of it, so nobody would remove it."""
        for number in range(30):
            call = self.instances.Start.future(self.request("/none.elf", f"n{number}"), timeout=CALL_DEADLINE)
            if number % 2:
                wait_for(lambda: call.done() or self.list(), "the start to arrive")
            call.cancel()
        wait_for(lambda: self.list() == [], "the instances to go")
        data = os.path.join(self.daemon.state_dir, "data")
        self.assertEqual(os.listdir(data) if os.path.exists(data) else [], [])

    def test_working_directory_is_removed(self):
        """The daemon's own goes with its instance, one of the user's loses the daemon's link alone."""
        own = self.start("exit.elf", semihosting=True)
        mine = os.path.join(self.dir, "mine")
        os.mkdir(mine)
        self.start("exit.elf", "mine", working_dir=mine, semihosting=True)
        with open(os.path.join(mine, "data"), "w"):
            pass
        self.wait_until_over()
        self.wait_until_over("mine")
        self.assertTrue(os.path.islink(os.path.join(own.working_dir, "qemu.log")))
        for name in ("default", "mine"):
            self.action(self.instances.Remove, instances_pb2.RemoveRequest, name)
        wait_for(lambda: not os.path.exists(own.working_dir), "the working directory to go")
        wait_for(lambda: os.listdir(mine) == ["data"], "the link to go")

    def test_record_without_a_process(self):
        """The daemon died between the record and the process: it never ran, so nobody killed it."""
        self.start("exit.elf", semihosting=True)
        over = self.wait_until_over()
        self.daemon.kill()
        path = record_path(self, over)
        record = read_record(path)
        record.state = "booting"
        record.ClearField("end")
        write_record(path, record)
        self.start_daemon()
        again = self.get()
        self.assertEqual((again.state, again.HasField("end")), (instances_pb2.STATE_FAILED, False))
        self.assertIn("the daemon ended while it was starting", again.reason)


class Options(Core):
    def setUp(self):
        super().setUp()
        self.control.Shutdown(daemon_pb2.ShutdownRequest(), timeout=CALL_DEADLINE)
        self.daemon.wait()

    def test_relative_paths(self):
        """They are the starter's, whose directory the daemon leaves."""
        self.start_daemon(cwd=self.dir, arguments=["--state-dir", "state", "--socket", "control.sock"])
        self.assertEqual(self.control.Info(daemon_pb2.InfoRequest(), timeout=CALL_DEADLINE).state_dir, os.path.join(self.dir, "state"))
        self.start("exit.elf", firmware_args=["4"])
        self.assertEqual(self.wait_end().code, 4)

    def test_paths_that_are_too_long(self):
        """Not cut, which would be another place."""
        daemon = Daemon(self.dir, arguments=["--state-dir", "/tmp/" + "x" * 1100], wait=False)
        self.assertEqual(daemon.wait(), 2)
        self.assertIn("--state-dir", daemon.log_text())

    def test_readiness_in_the_background(self):
        """Whoever waits at --ready-fd is told, also when the daemon detaches."""
        ready, told = os.pipe()
        command = [PWEMUD, "--socket", self.daemon.socket, "--state-dir", self.daemon.state_dir, "--ready-fd", str(told)]
        environment = dict(os.environ, PWEMU_TEST_DIR=self.dir)
        self.assertEqual(subprocess.run(command, pass_fds=[told], env=environment, check=False, timeout=CALL_DEADLINE).returncode, 0)
        os.close(told)
        with os.fdopen(ready, "rb") as file:
            self.assertEqual(file.read(), b"ok\n")  # and the end: nobody holds it open
        self.connect()
        self.control.Shutdown(daemon_pb2.ShutdownRequest(), timeout=CALL_DEADLINE)
        self.assert_nothing_runs()


class Boots(Core):
    def test_one_boot_that_printed_nothing(self):
        """What the next one printed is not its."""
        self.start("exit.elf", semihosting=True)
        self.wait_until_over()
        for _ in range(2):
            self.start("silent.elf")
            self.stop()
        self.start("exit.elf", semihosting=True)
        self.wait_until_over()
        for boot, text in ((1, b"exit on lm3s6965evb\n"), (2, b""), (3, b""), (4, b"exit on lm3s6965evb\n")):
            position = {"from": common_pb2.Position(boot_number=boot)}
            self.assertEqual((boot, self.read_all("serial0", one_boot=True, **position)), (boot, text))


class Slow(Core):
    def test_watch_catches_up(self):
        """A client that did not look for a while learns the last state, though it has not changed since."""
        self.start("hello.elf")
        stub = instances_pb2_grpc.InstancesStub(self.daemon.channel(("grpc.http2.bdp_probe", 0)))
        watch = stub.Watch(instances_pb2.WatchRequest(instance=self.ref(), snapshots=True), timeout=CALL_DEADLINE)
        next(watch)
        for _ in range(500):
            self.action(self.instances.Pause, instances_pb2.PauseRequest)
            self.action(self.instances.Resume, instances_pb2.ResumeRequest)
        reader = Attachment(self)  # by its count the last change is known from those before
        self.action(self.instances.Pause, instances_pb2.PauseRequest)
        messages = 0
        for event in watch:
            messages += 1
            instance = event.snapshot
            if instance.state == instances_pb2.STATE_PAUSED and instance.channels[0].readers == 1:
                break
        else:
            self.fail("the last change was not told")
        self.assertLess(messages, 1000, "nothing was left out: this has tested nothing")
        watch.cancel()
        reader.close()


if __name__ == "__main__":
    unittest.main()
