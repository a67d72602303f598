# SPDX-License-Identifier: Apache-2.0
"""The daemon dies, ends, and comes again: emulators, bytes and records are where they were."""

import os
import shutil
import signal
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import grpc  # noqa: E402
from pwemu_fixture import (  # noqa: E402
    CALL_DEADLINE, Attachment, Case, Daemon, daemon_pb2, instances_pb2, is_alive, read_proc, sequence, wait_for,
)  # fmt: skip
from pwemu.v1 import record_pb2  # noqa: E402

Code = grpc.StatusCode
MIB = 1024 * 1024


def record_path(case, instance):
    return os.path.join(case.daemon.state_dir, "data", instance.id, "record")


def fnv(body):
    value = 0xCBF29CE484222325
    for byte in body:
        value = (value ^ byte) * 0x100000001B3 % (1 << 64)
    return value


def read_record(path):
    """With what stands beside it in record.state, which is that of this very record or nobody's."""
    with open(path, "rb") as file:
        header, body = file.read().split(b"\n", 1)
    assert header.startswith(b"pwemu-record 1 ")
    record = record_pb2.Record.FromString(body)
    if os.path.exists(path + ".state"):
        with open(path + ".state", "rb") as file:
            header, part = file.read().split(b"\n", 1)
        whose, length = header.split()[2:4]
        if int(whose, 16) == fnv(body):
            newer = record_pb2.Record.FromString(part[: int(length)])
            for name in ("state", "reason", "state_since_ns", "started_ns", "began_ns"):
                setattr(record, name, getattr(newer, name))
    return record


def write_record(path, record):
    body = record.SerializeToString()
    with open(path, "wb") as file:
        file.write(b"pwemu-record 1 %d %016x\n" % (len(body), fnv(body)) + body)


class Crashes(Case):
    def test_sequence_goes_on(self):
        """Five crashes under a guest that prints without pause: one emulator, one log, no byte lost or doubled."""
        instance = self.start("seq.elf")
        for _ in range(5):
            end = self.offset()
            wait_for(lambda: self.offset() > end + 300000, "some output")
            self.restart_daemon()
            again = self.get()
            self.assertEqual((again.pid, again.id, again.boot), (instance.pid, instance.id, 1))
        wait_for(lambda: self.get().state == instances_pb2.STATE_RUNNING, "it to be known as running")
        self.assert_sequence(self.read(follow=True), MIB)
        stopped = self.stop()
        self.assertEqual(stopped.end.cause, instances_pb2.END_CAUSE_STOPPED)
        with open(self.log_path(stopped), "rb") as log:
            text = log.read()
        self.assertEqual(text, sequence(0, len(text)))
        self.assert_nothing_runs()

    def test_reader_goes_on(self):
        """A client that was attached continues at its offset."""
        self.start("seq.elf")
        client = Attachment(self)
        client.wait(lambda: len(client.output) > 200000, "some output")
        self.restart_daemon()
        client.wait(lambda: client.is_over, "the stream to break")
        again = Attachment(self, offset=client.offset + len(client.output))
        again.wait(lambda: len(again.output) > 200000, "more output")
        self.assertEqual(again.output[:200000], sequence(again.offset, 200000))
        again.close()
        client.close()

    def test_input_after_adoption(self):
        self.start("echo.elf")
        self.read_until(b"ready> ")
        self.restart_daemon()
        client = Attachment(self, write=True)
        client.send(b"hello\r")
        client.wait_output(b"got: hello\r\n")
        client.close()

    def test_control_after_adoption(self):
        self.start("slow.elf")
        self.restart_daemon()
        wait_for(lambda: self.get().state == instances_pb2.STATE_RUNNING, "it to be known as running")
        paused = self.instances.Pause(instances_pb2.PauseRequest(instance=self.ref()), timeout=CALL_DEADLINE)
        self.assertEqual(paused.state, instances_pb2.STATE_PAUSED)
        self.restart_daemon()
        self.assertEqual(self.get().state, instances_pb2.STATE_PAUSED)
        self.resume()  # at once: nobody has to know that the emulator has not answered yet
        self.assertEqual(self.get().state, instances_pb2.STATE_RUNNING)

    def test_control_before_it_answers(self):
        """What is asked of an adopted emulator that has not answered yet waits for its turn."""
        instance = self.start("slow.elf", pause=True)
        os.kill(instance.pid, signal.SIGSTOP)
        self.restart_daemon()
        call = self.instances.Resume.future(instances_pb2.ResumeRequest(instance=self.ref()), timeout=CALL_DEADLINE)
        for _ in range(3):
            self.assertEqual(self.get().state, instances_pb2.STATE_PAUSED)
        os.kill(instance.pid, signal.SIGCONT)
        call.result()
        self.read_until(b"tick 0")
        wait_for(lambda: self.get().state == instances_pb2.STATE_RUNNING, "it to run")

    def resume(self):
        return self.instances.Resume(instances_pb2.ResumeRequest(instance=self.ref()), timeout=CALL_DEADLINE)

    def test_end_while_no_daemon(self):
        """How it ended is known afterwards."""
        killed = self.start("hello.elf", "killed")
        terminated = self.start("hello.elf", "terminated")
        self.daemon.kill()
        os.kill(killed.pid, signal.SIGKILL)
        os.kill(terminated.pid, signal.SIGTERM)
        for pid in (killed.pid, terminated.pid):
            wait_for(lambda: not is_alive(pid), "the emulator to end")
        self.start_daemon()
        for name, cause, code, number in (
            ("killed", instances_pb2.END_CAUSE_KILLED, -1, signal.SIGKILL),
            ("terminated", instances_pb2.END_CAUSE_KILLED, 0, 0),
        ):
            end = self.wait_end(name)
            self.assertEqual((name, end.cause, end.code, end.signal), (name, cause, code, number), end.message)

    def test_last_words_while_no_daemon(self):
        """What an emulator prints while there is no daemon waits in the FIFO; what it was is known by its code."""
        instance = self.start("lockup.elf", pause=True)
        self.restart_daemon()
        try:
            self.resume()
        except grpc.RpcError as error:  # the guest was quicker than QEMU's answer
            self.assertEqual(error.code(), Code.FAILED_PRECONDITION, error.details())
        self.assertEqual(self.wait_end().cause, instances_pb2.END_CAUSE_GUEST_FAULT)
        self.assertEqual(self.read_all(), b"about to fault\n")
        self.assertFalse(is_alive(instance.pid))

    def test_lockup_while_no_daemon(self):
        """The guest faults after the daemon has died."""
        instance = self.start("seq.elf")
        self.daemon.kill()
        os.kill(instance.pid, signal.SIGABRT)
        wait_for(lambda: not is_alive(instance.pid), "the emulator to end")
        self.start_daemon()
        end = self.wait_end()
        self.assertEqual((end.cause, end.signal), (instances_pb2.END_CAUSE_CRASHED, signal.SIGABRT))
        text = self.read_all()
        self.assertEqual(text, sequence(0, len(text)))

    def test_shim_killed_while_no_daemon(self):
        instance = self.start("hello.elf")
        shim = int(read_proc(instance.pid, "stat").rsplit(b")", 1)[1].split()[1])
        self.daemon.kill()
        os.kill(shim, signal.SIGKILL)
        self.start_daemon()
        self.assertEqual(self.wait_end().cause, instances_pb2.END_CAUSE_KILLED)
        wait_for(lambda: not is_alive(instance.pid), "the emulator to be ended")

    def test_crash_while_stopping(self):
        """A stop that was under way is carried on, with its grace."""
        instance = self.start_stubborn()
        request = instances_pb2.StopRequest(instance=self.ref(), grace_ms=4000)
        call = self.instances.Stop.future(request, timeout=CALL_DEADLINE)
        wait_for(lambda: self.get().state == instances_pb2.STATE_STOPPING, "the stop to begin")
        self.restart_daemon()
        self.assertTrue(call.done())
        self.assertEqual(self.wait_end().cause, instances_pb2.END_CAUSE_STOPPED)
        self.assertFalse(is_alive(instance.pid))

    def test_crash_while_draining(self):
        """The record says that it was dead already."""
        instance = self.start("hello.elf")
        self.read_until(b"\n")
        self.daemon.kill()
        os.kill(instance.pid, signal.SIGKILL)
        wait_for(lambda: not is_alive(instance.pid), "the emulator to end")
        path = record_path(self, instance)
        record = read_record(path)
        record.state = "draining"
        write_record(path, record)
        self.start_daemon()
        self.assertEqual(self.wait_end().signal, signal.SIGKILL)

    def test_crash_while_preparing(self):
        """Nothing had been started: the next daemon says so."""
        instance = self.start("exit.elf", semihosting=True)
        self.wait_until_over()
        self.daemon.kill()
        path = record_path(self, instance)
        record = read_record(path)
        record.state = "preparing"
        write_record(path, record)
        self.start_daemon()
        again = self.get()
        self.assertEqual(again.state, instances_pb2.STATE_FAILED)
        self.assertIn("the daemon ended while it was starting", again.reason)

    def test_crashes_during_starts(self):
        """At whatever moment: the instance runs under the next daemon, or it is over and nothing is left of it."""
        for number in range(12):
            name = f"n{number}"
            call = self.instances.Start.future(self.request("hello.elf", name), timeout=CALL_DEADLINE)
            wait_for(self.list, "the first instance")
            for _ in range(number):
                self.control.Info(daemon_pb2.InfoRequest(), timeout=CALL_DEADLINE)
            self.restart_daemon()
            self.assertTrue(call.done())
        running = wait_for(self.all_settled, "all instances to be running or over")
        for instance in running:
            self.assertTrue(is_alive(instance.pid), instance)
            self.assertIn(f"PWEMU_INSTANCE={instance.id}:".encode(), read_proc(instance.pid, "environ"))

    def test_crashes_during_restarts(self):
        """The same where the record tells of an earlier boot."""
        self.start("exit.elf", semihosting=True)
        self.wait_until_over()
        for number in range(8):
            call = self.instances.Start.future(self.request("hello.elf"), timeout=CALL_DEADLINE)
            for _ in range(number):
                self.control.Info(daemon_pb2.InfoRequest(), timeout=CALL_DEADLINE)
            self.restart_daemon()
            self.assertTrue(call.done())
            wait_for(lambda: self.all_settled() is not None, "the instance to settle")
            if self.get().state == instances_pb2.STATE_RUNNING:
                self.stop()
            self.assert_nothing_runs()

    def all_settled(self):
        rows = self.list()
        if any(row.state in (instances_pb2.STATE_STARTING, instances_pb2.STATE_STOPPING) for row in rows):
            return None
        return [row for row in rows if row.state == instances_pb2.STATE_RUNNING]

    def test_stop_on_disconnect(self):
        """The client was lost together with the daemon."""
        instance = self.start("hello.elf", stop_on_disconnect=True)
        self.restart_daemon()
        self.assertEqual(self.wait_end().cause, instances_pb2.END_CAUSE_STOPPED)
        self.assertFalse(is_alive(instance.pid))

    def test_many(self):
        pids = {f"m{n}": self.start("hello.elf", f"m{n}").pid for n in range(10)}
        self.restart_daemon()
        for name, pid in pids.items():
            self.assertEqual(self.get(name).pid, pid)
        info = self.control.Info(daemon_pb2.InfoRequest(), timeout=CALL_DEADLINE)
        self.assertEqual((info.running, info.instances), (10, 10))


class Records(Case):
    def test_damaged(self):
        """One is set aside with a word in the log; the others are adopted."""
        good = self.start("hello.elf", "good")
        bad = self.start("hello.elf", "bad")
        self.stop("bad")
        data = os.path.join(self.daemon.state_dir, "data")
        self.daemon.kill()
        path = record_path(self, bad)
        with open(path, "r+b") as file:
            file.seek(60)
            byte = file.read(1)
            file.seek(60)
            file.write(bytes((byte[0] ^ 1,)))
        self.start_daemon()
        self.assertEqual([row.name for row in self.list()], ["good"])
        self.assertEqual(self.get("good").pid, good.pid)
        self.assertTrue(os.path.exists(os.path.join(data, bad.id + ".broken", "record")))
        self.assertIn(f"instance {bad.id} is set aside", self.daemon.log_text())

    def test_newer(self):
        """That of a newer daemon is left where it is, its emulator alone."""
        instance = self.start("hello.elf")
        self.daemon.kill()
        path = record_path(self, instance)
        record = read_record(path)
        record.format = 3
        write_record(path, record)
        self.start_daemon()
        self.assertEqual(self.list(), [])
        self.assertTrue(is_alive(instance.pid))
        self.assertIn("written by a newer daemon", self.daemon.log_text())
        self.daemon.kill()
        record.format = 2
        write_record(path, record)
        self.start_daemon()
        self.assertEqual(self.get().pid, instance.pid)

    def test_ended_ones_are_kept(self):
        instance = self.start("exit.elf", firmware_args=["5"])
        self.wait_until_over()
        before = self.get()
        self.restart_daemon()
        after = self.get()
        self.assertEqual(after.end, before.end)
        self.assertEqual([row.offset for row in after.channels], [row.offset for row in before.channels])
        self.assertEqual(self.read_all(), b"exit on lm3s6965evb\n")
        self.assertEqual(self.start("hello.elf").id, instance.id)
        self.assertEqual(self.get().boot, 2)


class Ending(Case):
    def test_sigterm_leaves_instances(self):
        instance = self.start("seq.elf")
        self.daemon.terminate()
        self.assertEqual(self.daemon.wait(), 0)
        self.assertFalse(os.path.exists(self.daemon.socket))
        self.assertTrue(is_alive(instance.pid))
        self.start_daemon()
        self.assertEqual(self.get().pid, instance.pid)
        text_end = self.offset()
        self.assertEqual(self.read_all()[:text_end], sequence(0, text_end))

    def test_shutdown(self):
        instance = self.start("hello.elf")
        reply = self.control.Shutdown(daemon_pb2.ShutdownRequest(), timeout=CALL_DEADLINE)
        self.assertEqual((reply.left_running, reply.stopped), (1, 0))
        self.assertEqual(self.daemon.wait(), 0)
        self.assertTrue(is_alive(instance.pid))
        self.start_daemon()

    def test_shutdown_with_instances(self):
        pids = [self.start("hello.elf", f"n{n}").pid for n in range(3)]
        self.start("exit.elf", "over", semihosting=True)
        self.wait_until_over("over")
        reply = self.control.Shutdown(daemon_pb2.ShutdownRequest(with_instances=True), timeout=CALL_DEADLINE)
        self.assertEqual((reply.left_running, reply.stopped), (0, 3))
        self.assertEqual(self.daemon.wait(), 0)
        self.assertEqual([pid for pid in pids if is_alive(pid)], [])
        self.start_daemon()
        self.assertEqual({row.end.cause for row in self.list() if row.name != "over"}, {instances_pb2.END_CAUSE_STOPPED})

    def test_shutdown_with_open_streams(self):
        """They end, soon; the daemon does not wait for those who never would."""
        self.start("seq.elf")
        reading = Attachment(self)
        idle = self.read("serial1", follow=True)
        watch = self.instances.Watch(instances_pb2.WatchRequest(instance=self.ref(), snapshots=True), timeout=CALL_DEADLINE)
        next(watch)
        self.control.Shutdown(daemon_pb2.ShutdownRequest(), timeout=CALL_DEADLINE)
        self.assertEqual(self.daemon.wait(10), 0)
        reading.wait(lambda: reading.is_over, "the stream to end")
        self.assertEqual(reading.error.code(), Code.UNAVAILABLE)
        for call in (idle, watch):
            with self.assertRaises(grpc.RpcError) as caught:
                list(call)
            self.assertEqual(caught.exception.code(), Code.UNAVAILABLE)
        self.start_daemon()
        self.assertEqual(self.get().state in (instances_pb2.STATE_RUNNING, instances_pb2.STATE_STARTING), True)

    def test_sigterm_while_starting(self):
        call = self.instances.Start.future(self.request("hello.elf"), timeout=CALL_DEADLINE)
        wait_for(self.list, "the instance to be there")
        self.daemon.terminate()
        self.assertEqual(self.daemon.wait(), 0)
        try:
            call.result()
        except grpc.RpcError as error:
            self.assertIn(error.code(), (Code.UNAVAILABLE, Code.ABORTED), error.details())
        self.start_daemon()
        wait_for(lambda: self.list()[0].state not in (instances_pb2.STATE_STARTING, instances_pb2.STATE_STOPPING), "it to settle")


class Places(Case):
    def test_socket_is_made_again(self):
        instance = self.start("hello.elf")
        for _ in range(3):
            os.unlink(self.daemon.socket)
            wait_for(lambda: os.path.exists(self.daemon.socket), "the socket")
            self.connect()
            self.assertEqual(self.get().pid, instance.pid)
        self.assertEqual(os.stat(self.daemon.socket).st_mode & 0o777, 0o600)

    def test_replaced_socket(self):
        """Renamed away, with something else in its place."""
        os.rename(self.daemon.socket, self.daemon.socket + ".old")
        wait_for(lambda: os.path.exists(self.daemon.socket), "the socket")
        self.connect()
        self.assert_served()

    def test_old_connection_lives_on(self):
        stub = self.control
        stub.Info(daemon_pb2.InfoRequest(), timeout=CALL_DEADLINE)
        os.unlink(self.daemon.socket)
        wait_for(lambda: os.path.exists(self.daemon.socket), "the socket")
        self.assertEqual(stub.Info(daemon_pb2.InfoRequest(), timeout=CALL_DEADLINE).pid, self.daemon.pid)

    def test_socket_directory_is_made_again(self):
        """As when somebody clears the runtime directory."""
        self.control.Shutdown(daemon_pb2.ShutdownRequest(), timeout=CALL_DEADLINE)
        self.daemon.wait()
        place = os.path.join(self.dir, "runtime")
        os.mkdir(place, 0o700)
        self.start_daemon(socket_path=os.path.join(place, "control.sock"))
        os.rename(place, place + ".old")  # before the daemon can make it again
        shutil.rmtree(place + ".old")
        wait_for(lambda: os.path.exists(self.daemon.socket), "the socket")
        self.connect()
        self.assert_served()

    def test_second_daemon(self):
        """It is refused, and told by whom; the first one does not notice."""
        instance = self.start("hello.elf")
        second = Daemon(self.dir, socket_path=os.path.join(self.dir, "second.sock"), wait=False)
        self.assertEqual(second.wait(), 1)
        self.assertIn(f"process {self.daemon.pid}, socket {self.daemon.socket}", second.word)
        self.assertFalse(os.path.exists(second.socket))
        self.assertEqual(self.get().pid, instance.pid)

    def test_socket_of_another_daemon(self):
        """Another state directory, the same socket: refused, the socket stays the first one's."""
        other = os.path.join(self.dir, "other")
        os.mkdir(other, 0o700)
        second = Daemon(other, environment=dict(os.environ, PWEMU_TEST_DIR=self.dir), socket_path=self.daemon.socket, wait=False)
        self.assertEqual(second.wait(), 1)
        self.assertIn(self.daemon.socket, second.word)
        self.assert_served()

    def test_stale_socket(self):
        self.daemon.kill()
        self.assertTrue(os.path.exists(self.daemon.socket))
        self.start_daemon()
        self.assert_served()

    def test_state_dir_that_is_not_private(self):
        bad = os.path.join(self.dir, "bad")
        os.makedirs(os.path.join(bad, "state"))
        os.chmod(os.path.join(bad, "state"), 0o777)
        second = Daemon(bad, environment=dict(os.environ, PWEMU_TEST_DIR=self.dir), wait=False)
        self.assertEqual(second.wait(), 1)
        self.assertIn("can be written by others", second.word)

    def test_files_are_private(self):
        """Save what a working directory shows, which is itself private where the daemon has made it."""
        shown = ("handles.json", "qemu.pid")
        instance = self.start("hello.elf")
        for top, dirs, files in os.walk(self.daemon.state_dir):
            for name in dirs + files:
                path = os.path.join(top, name)
                if not os.path.islink(path) and name not in shown:
                    self.assertEqual(os.stat(path).st_mode & 0o077, 0, path)
        self.assertTrue(instance.id)

    def test_info(self):
        info = self.control.Info(daemon_pb2.InfoRequest(), timeout=CALL_DEADLINE)
        self.assertEqual((info.pid, info.socket, info.state_dir), (self.daemon.pid, self.daemon.socket, self.daemon.state_dir))
        self.assertFalse(info.auto_started)
        self.assertRegex(info.version, r"^\d+\.\d+\.\d+$")

    def test_hangup_reads_targets(self):
        """SIGHUP and Reload do the same; both survive a target in use."""
        self.start("hello.elf")
        reply = self.control.Reload(daemon_pb2.ReloadRequest(), timeout=CALL_DEADLINE)
        self.assertGreater(reply.targets, 20)
        self.assertEqual(list(reply.errors), [])
        self.daemon.process.send_signal(signal.SIGHUP)
        wait_for(lambda: self.daemon.log_text().count("targets read") == 2, "the second time")
        self.assertEqual(self.get().target, "qemu-lm3s6965evb")

    def test_idle_end(self):
        """An automatic daemon ends a while after its last instance; one that was never used too."""
        self.control.Shutdown(daemon_pb2.ShutdownRequest(), timeout=CALL_DEADLINE)
        self.daemon.wait()
        self.start_daemon(arguments=["--auto", "--idle", "1"])
        self.assertEqual(self.daemon.wait(), 0)
        self.start_daemon(arguments=["--auto", "--idle", "2"])
        self.assertTrue(self.control.Info(daemon_pb2.InfoRequest(), timeout=CALL_DEADLINE).auto_started)
        self.start("exit.elf", firmware_args=["0"])
        self.assertEqual(self.daemon.wait(), 0)


if __name__ == "__main__":
    unittest.main()
