# SPDX-License-Identifier: Apache-2.0
"""Instances of the real daemon: their lives and ends, what is refused and why, and what is left of it all."""

import os
import signal
import stat
import sys
import threading
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import grpc  # noqa: E402
from pwemu_fixture import (  # noqa: E402
    BOARD, CALL_DEADLINE, PATH, Case, common_pb2, daemon_pb2, firmware, instances_pb2, instances_pb2_grpc, is_alive, processes_with,
    read_proc, targets_pb2, wait_for,
)  # fmt: skip

Code = grpc.StatusCode


class Life(Case):
    def test_start_and_stop(self):
        instance = self.start("hello.elf")
        self.assertEqual((instance.name, instance.target, instance.emulator), ("default", BOARD, "qemu"))
        self.assertEqual(instance.state, instances_pb2.STATE_RUNNING)
        self.assertEqual(instance.boot, 1)
        self.assertEqual(instance.console, "serial0")
        self.assertEqual([row.name for row in instance.channels], ["serial0", "serial1", "serial2", "emulator", "gdb", "monitor", "qmp"])
        self.assertEqual(instance.images, [firmware("hello.elf")])
        self.assertGreater(instance.started_ns, 0)
        self.assertIn(b"qemu-system-arm", read_proc(instance.pid, "cmdline"))
        self.assertEqual(read_proc(instance.pid, "cmdline").decode().split("\0")[:-1], list(instance.argv))
        self.assertEqual([row.id for row in self.list(False)], [instance.id])
        ended = self.stop()
        self.assertEqual(ended.state, instances_pb2.STATE_ENDED)
        self.assertEqual(ended.end.cause, instances_pb2.END_CAUSE_STOPPED)
        self.assertEqual(ended.pid, 0)
        self.assertFalse(is_alive(instance.pid))
        self.assertEqual(self.list(False), [])
        self.assertEqual([row.id for row in self.list()], [instance.id])
        self.assert_nothing_runs()
        self.assertEqual(os.listdir(os.path.join(self.daemon.state_dir, "run")), [])

    def test_start_again(self):
        first = self.start("exit.elf", semihosting=True)
        self.wait_end()
        again = self.start("hello.elf")
        self.assertEqual((again.id, again.boot), (first.id, 2))
        self.assertFalse(again.HasField("end"))
        self.stop()

    def test_exit_codes(self):
        for code in (0, 1, 42, 255):
            self.start("exit.elf", firmware_args=[str(code)])
            end = self.wait_end()
            self.assertEqual((end.cause, end.code), (instances_pb2.END_CAUSE_FINISHED, code), end)

    def test_test_finisher(self):
        self.start(firmware("exit.elf", "riscv32-virt"), board="qemu-riscv32-virt", firmware_args=["7"])
        end = self.wait_end()
        self.assertEqual((end.cause, end.code), (instances_pb2.END_CAUSE_FINISHED, 7), end)

    def test_guest_that_is_faster_than_the_answer(self):
        """Start answers also when the guest has ended by then."""
        for number in range(10):
            instance = self.start("exit.elf", f"quick{number}", firmware_args=["3"])
            self.assertIn(instance.state, (instances_pb2.STATE_RUNNING, instances_pb2.STATE_STOPPING, instances_pb2.STATE_ENDED))
            self.assertEqual(self.wait_end(f"quick{number}").code, 3)

    def test_lockup(self):
        self.start("lockup.elf")
        end = self.wait_end()
        self.assertEqual((end.cause, end.signal), (instances_pb2.END_CAUSE_GUEST_FAULT, signal.SIGABRT))
        self.assertIn("Lockup", end.message)
        self.assertIn(b"R15=", self.read_all("emulator"))
        self.assertEqual(self.read_all("serial0"), b"about to fault\n")

    def test_semihosting_hint(self):
        self.start("bkpt.elf")
        end = self.wait_end()
        self.assertEqual(end.cause, instances_pb2.END_CAUSE_GUEST_FAULT)
        self.assertIn("add --semihosting", end.message)

    def test_killed_emulator(self):
        instance = self.start("hello.elf")
        os.kill(instance.pid, signal.SIGKILL)
        end = self.wait_end()
        self.assertEqual((end.cause, end.signal, end.code), (instances_pb2.END_CAUSE_KILLED, signal.SIGKILL, -1))

    def test_terminated_emulator(self):
        instance = self.start("hello.elf")
        os.kill(instance.pid, signal.SIGTERM)
        end = self.wait_end()
        self.assertEqual((end.cause, end.code), (instances_pb2.END_CAUSE_KILLED, 0), end)

    def test_killed_shim(self):
        """Nobody is left to tell how it ended; the emulator does not outlive it."""
        instance = self.start("hello.elf")
        shim = int(read_proc(instance.pid, "stat").rsplit(b")", 1)[1].split()[1])
        self.assertIn(b"pwemu-shim", read_proc(shim, "cmdline"))
        os.kill(shim, signal.SIGKILL)
        self.assertEqual(self.wait_end().cause, instances_pb2.END_CAUSE_KILLED)
        self.assertFalse(is_alive(instance.pid))

    def test_pause_resume_reset(self):
        self.start("slow.elf")
        self.read_until(b"tick 2")
        paused = self.instances.Pause(instances_pb2.PauseRequest(instance=self.ref()), timeout=CALL_DEADLINE)
        self.assertEqual(paused.state, instances_pb2.STATE_PAUSED)
        self.instances.Pause(instances_pb2.PauseRequest(instance=self.ref()), timeout=CALL_DEADLINE)
        self.instances.Reset(instances_pb2.ResetRequest(instance=self.ref()), timeout=CALL_DEADLINE)
        self.assertEqual(self.get().state, instances_pb2.STATE_PAUSED)
        resumed = self.instances.Resume(instances_pb2.ResumeRequest(instance=self.ref()), timeout=CALL_DEADLINE)
        self.assertEqual(resumed.state, instances_pb2.STATE_RUNNING)
        call = self.read(follow=True)
        seen = b""
        for reply in call:
            seen += reply.data.bytes
            if seen.count(b"tick 1\n") == 2:
                break
        call.cancel()

    def test_start_paused(self):
        instance = self.start("hello.elf", pause=True)
        self.assertEqual((instance.state, instance.started_ns), (instances_pb2.STATE_PAUSED, 0))
        self.assertEqual(self.read_all(), b"")
        self.instances.Resume(instances_pb2.ResumeRequest(instance=self.ref()), timeout=CALL_DEADLINE)
        self.read_until(b"\n")
        self.assertGreater(self.get().started_ns, 0)

    def test_fresh(self):
        names = sorted(self.start("hello.elf", fresh=True).name for _ in range(3))
        self.assertEqual(names, ["run-1", "run-2", "run-3"])

    def test_no_wait(self):
        instance = self.start("hello.elf", no_wait=True)
        self.assertGreater(instance.pid, 0)

    def test_many_at_once(self):
        """Eight starts in parallel are eight instances, each with its own end."""
        results = {}

        def run(number):
            name = f"p{number}"
            self.start("exit.elf", name, firmware_args=[str(number)])
            results[number] = self.wait_end(name).code

        threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(CALL_DEADLINE)
        self.assertEqual(results, {number: number for number in range(8)})

    def test_stop_while_starting(self):
        call = self.instances.Start.future(self.request("hello.elf"), timeout=CALL_DEADLINE)
        wait_for(self.list, "the instance to be there")
        try:
            self.stop()
        except grpc.RpcError as error:
            self.assertIn(error.code(), (Code.FAILED_PRECONDITION, Code.NOT_FOUND))
        try:
            call.result()
        except grpc.RpcError as error:
            self.assertEqual(error.code(), Code.ABORTED, error.details())
        wait_for(lambda: not self.list(False), "nothing to run")
        self.assert_nothing_runs()

    def test_cancelled_start(self):
        """A client that goes away during its start leaves an instance as any other."""
        call = self.instances.Start.future(self.request("hello.elf"), timeout=CALL_DEADLINE)
        wait_for(self.list, "the instance to be there")
        call.cancel()
        wait_for(lambda: [row.state for row in self.list()] == [instances_pb2.STATE_RUNNING], "it to run")

    def test_frozen_emulator(self):
        """One that somebody has stopped ends as any other."""
        instance = self.start("hello.elf")
        os.kill(instance.pid, signal.SIGSTOP)
        end = self.stop(grace_ms=600000).end
        self.assertEqual((end.cause, end.signal), (instances_pb2.END_CAUSE_STOPPED, 0))
        self.assertFalse(is_alive(instance.pid))

    def test_stubborn_emulator(self):
        """One that does not react to SIGTERM is killed when the grace is over."""
        instance = self.start_stubborn()
        end = self.stop(grace_ms=100).end
        self.assertEqual((end.cause, end.signal), (instances_pb2.END_CAUSE_STOPPED, signal.SIGKILL))
        self.assertFalse(is_alive(instance.pid))

    def test_impatience(self):
        """A second stop with less grace shortens that of the first."""
        self.start_stubborn()
        request = instances_pb2.StopRequest(instance=self.ref(), grace_ms=600000)
        first = self.instances.Stop.future(request, timeout=CALL_DEADLINE)
        wait_for(lambda: self.get().state == instances_pb2.STATE_STOPPING, "the stop to begin")
        self.assertEqual(self.stop(grace_ms=1).state, instances_pb2.STATE_ENDED)
        self.assertEqual(first.result().state, instances_pb2.STATE_ENDED)


class Watching(Case):
    def test_watch(self):
        self.start("slow.elf")
        call = self.instances.Watch(instances_pb2.WatchRequest(instance=self.ref(), snapshots=True), timeout=CALL_DEADLINE)
        states = [next(call).snapshot.state]
        self.instances.Pause(instances_pb2.PauseRequest(instance=self.ref()), timeout=CALL_DEADLINE)
        states.append(next(call).snapshot.state)
        self.stop()
        states += [event.snapshot.state for event in call]
        self.assertEqual(states[:2], [instances_pb2.STATE_RUNNING, instances_pb2.STATE_PAUSED])
        self.assertEqual(states[-1], instances_pb2.STATE_ENDED)
        self.assertEqual(call.code(), Code.OK)

    def test_watch_ended(self):
        self.start("exit.elf", firmware_args=["1"])
        self.wait_until_over()
        call = self.instances.Watch(instances_pb2.WatchRequest(instance=self.ref(), snapshots=True), timeout=CALL_DEADLINE)
        self.assertEqual([event.snapshot.end.code for event in call], [1])

    def test_stop_on_disconnect(self):
        self.configure({"lease-grace": "10ms"})
        channel = self.daemon.channel()
        stub = instances_pb2_grpc.InstancesStub(channel)
        stub.Start(self.request("hello.elf", "kept"), timeout=CALL_DEADLINE)
        instance = stub.Start(self.request("hello.elf", "tied", stop_on_disconnect=True), timeout=CALL_DEADLINE)
        self.assertTrue(is_alive(instance.pid))
        channel.close()
        last = self.wait_until_over("tied")
        self.assertEqual(last.end.cause, instances_pb2.END_CAUSE_STOPPED)
        self.assertFalse(is_alive(instance.pid))
        self.assertEqual(self.get("kept").state, instances_pb2.STATE_RUNNING)

    def test_disconnect_while_starting(self):
        self.configure({"lease-grace": "10ms"})
        channel = self.daemon.channel()
        stub = instances_pb2_grpc.InstancesStub(channel)
        call = stub.Start.future(self.request("hello.elf", stop_on_disconnect=True), timeout=CALL_DEADLINE)
        wait_for(self.list, "the instance to be there")
        channel.close()
        self.assertTrue(call.done())
        wait_for(lambda: not self.list(False), "it to be stopped")
        self.assert_nothing_runs()


class Removing(Case):
    def remove(self, name="default", force=False):
        self.instances.Remove(instances_pb2.RemoveRequest(instance=self.ref(name), force=force), timeout=CALL_DEADLINE)

    def test_remove(self):
        log = self.log_path(self.start("hello.elf"))
        self.assert_fails(Code.FAILED_PRECONDITION, "already-running", self.remove)
        self.stop()
        self.assertTrue(os.path.exists(log))
        self.remove()
        self.assertEqual(self.list(), [])
        self.assertFalse(os.path.exists(os.path.dirname(log)))
        self.assert_fails(Code.NOT_FOUND, "no-instance", self.get)

    def test_remove_running(self):
        instance = self.start("hello.elf")
        self.remove(force=True)
        wait_for(lambda: not self.list(), "it to be forgotten")
        self.assertFalse(is_alive(instance.pid))
        self.assertFalse(os.path.exists(os.path.dirname(self.log_path(instance))))

    def test_remove_under_a_reader(self):
        """A reader that still has much to get ends; the daemon does not mind."""
        self.start("seq.elf")
        wait_for(lambda: self.offset() > 1000000, "a megabyte of output")
        call = self.read(follow=True)
        first = next(call)
        self.assertEqual(first.data.offset, 0)
        self.stop()
        self.remove()
        try:
            for _ in call:
                pass
        except grpc.RpcError as error:
            self.assertIn(error.code(), (Code.ABORTED, Code.NOT_FOUND, Code.DATA_LOSS))
        self.assertEqual(self.list(), [])
        self.assert_served()


class Refusals(Case):
    def assert_refused(self, code, reason, text, **fields):
        image = fields.pop("image", "hello.elf")
        error = self.assert_fails(code, reason, self.start, image, text=text, **fields)
        self.assertEqual(self.list(), [], "it never ran, so there is none")
        self.assert_nothing_runs()
        return error

    def target(self, **qemu):
        target = self.targets.Get(targets_pb2.GetTargetRequest(name=BOARD), timeout=CALL_DEADLINE)
        for key, value in qemu.items():
            setattr(target.qemu, key, value)
        return target

    def test_already_running(self):
        first = self.start("hello.elf")
        self.assert_fails(Code.ALREADY_EXISTS, "already-running", self.start, "hello.elf", text="pwemu stop -i default")
        self.assertEqual(self.get().pid, first.pid)

    def test_not_running(self):
        self.start("exit.elf", semihosting=True)
        self.wait_until_over()
        requests = {
            self.instances.Stop: instances_pb2.StopRequest,
            self.instances.Pause: instances_pb2.PauseRequest,
            self.instances.Resume: instances_pb2.ResumeRequest,
            self.instances.Reset: instances_pb2.ResetRequest,
        }
        for method, kind in requests.items():
            self.assert_fails(Code.FAILED_PRECONDITION, "not-running", method, kind(instance=self.ref()), timeout=CALL_DEADLINE, text="default")

    def test_no_instance(self):
        self.assert_fails(Code.NOT_FOUND, "no-instance", self.get, "nobody", text="nobody")
        self.assert_fails(Code.NOT_FOUND, "no-instance", self.get, "", text="pwemu start")
        self.start("hello.elf", "board1")
        self.assert_fails(Code.NOT_FOUND, "no-instance", self.get, "baord1", text='did you mean "board1"')
        self.assertEqual(self.get("").name, "board1")

    def test_ambiguous(self):
        self.start("hello.elf", "one")
        self.start("hello.elf", "two")
        self.assert_fails(Code.INVALID_ARGUMENT, "ambiguous-instance", self.get, "", text="one, two")

    def test_unknown_target(self):
        self.assert_refused(Code.NOT_FOUND, "invalid-target", BOARD, board="qemu-lm3s6965evp")
        self.assert_fails(Code.NOT_FOUND, "invalid-target", self.instances.Start, instances_pb2.StartRequest(), timeout=CALL_DEADLINE)

    def test_bad_target(self):
        target = self.target()
        target.channels[1].id = target.channels[0].id
        self.assert_refused(Code.INVALID_ARGUMENT, "invalid-target", "serial0", target_config=target)
        self.assert_refused(Code.INVALID_ARGUMENT, "invalid-target", "", target_config=targets_pb2.Target(name="x"))

    def test_unknown_runner(self):
        self.assert_refused(Code.NOT_FOUND, "invalid-emulator", "qemu", runner="bochs")

    def test_bad_name(self):
        self.assert_refused(Code.INVALID_ARGUMENT, "invalid-name", "../x", name="../x")

    def test_missing_emulator(self):
        self.assert_refused(Code.NOT_FOUND, "emulator-not-found", "/nowhere", environment=self.environment(path="/nowhere"))
        self.assert_refused(Code.NOT_FOUND, "emulator-not-found", "qemu-none", target_config=self.target(executable="qemu-none"))
        self.assert_refused(Code.NOT_FOUND, "emulator-not-found", "/no/qemu", target_config=self.target(executable="/no/qemu"))

    def test_emulator_that_is_no_program(self):
        path = os.path.join(self.dir, "qemu-system-arm")
        with open(path, "w", encoding="ascii"):
            pass
        os.chmod(path, 0o644)
        self.assert_refused(Code.PERMISSION_DENIED, "emulator-not-executable", path, target_config=self.target(executable=path))
        self.assert_refused(
            Code.PERMISSION_DENIED, "emulator-not-executable", "qemu-system-arm", environment=self.environment(path=self.dir)
        )
        os.chmod(path, 0o755)  # now it is executable, but no program
        with open(path, "w", encoding="ascii") as file:
            file.write("\x7fELF nonsense")
        error = self.assert_fails(Code.FAILED_PRECONDITION, "emulator-refused", self.start, "hello.elf", target_config=self.target(executable=path))
        self.assertIn("could not be executed", error.details())
        self.assert_nothing_runs()

    def test_bad_option(self):
        error = self.assert_fails(Code.FAILED_PRECONDITION, "emulator-refused", self.start, "hello.elf", args=["-nosuch"])
        self.assertIn("-nosuch: invalid option", error.details())
        instance = self.get()
        self.assertEqual((instance.state, instance.end.cause), (instances_pb2.STATE_FAILED, instances_pb2.END_CAUSE_BAD_CONFIG))
        self.assertEqual(instance.end.code, 1)
        self.assertIn(b"-nosuch", self.read_all("emulator"))
        self.assert_nothing_runs()

    def test_bad_machine(self):
        target = self.target(machine="nosuchmachine")
        self.assert_fails(Code.FAILED_PRECONDITION, "emulator-refused", self.start, "hello.elf", target_config=target, text="unsupported machine type")
        self.assert_nothing_runs()

    def test_images(self):
        bad = {
            "truncated.elf": "is truncated",
            "object.o": "object file",
            "wrong-arch.elf": "arm",
            "elsewhere.elf": "0x60000000",
            "text.elf": "",
            "notes.txt": "",
            "empty.bin": "empty",
        }
        for name, text in bad.items():
            with self.subTest(name):
                path = firmware(name, "bad")
                error = self.assert_refused(Code.INVALID_ARGUMENT, "invalid-image", "", image=path)
                self.assertIn(path, error.details())
                self.assertIn(text, error.details())

    def test_missing_image(self):
        self.assert_refused(Code.NOT_FOUND, "invalid-image", "/no/such.elf", image="/no/such.elf")
        self.assert_refused(Code.INVALID_ARGUMENT, "invalid-image", "", image=self.dir + "/state")

    def test_image_the_client_saw_otherwise(self):
        found = os.stat(firmware("hello.elf"))
        image = instances_pb2.Image(path=firmware("hello.elf"), device=found.st_dev, inode=found.st_ino, size=found.st_size)
        self.start(images=[image])
        self.stop()
        image.size += 1
        self.assert_fails(Code.FAILED_PRECONDITION, "image-mismatch", self.start, images=[image])
        self.assert_nothing_runs()

    def test_too_many_images(self):
        images = [instances_pb2.Image(path=firmware("hello.elf"))] * 17
        self.assert_refused(Code.INVALID_ARGUMENT, "", "17 images", image=None, images=images)

    def test_working_dir(self):
        blocker = os.path.join(self.dir, "file")
        with open(blocker, "w", encoding="ascii"):
            pass
        self.assert_refused(Code.NOT_FOUND, "", "working directory", working_dir=blocker + "/below")

    def test_fails_again_and_again(self):
        """A failed start costs nothing: no descriptor, no process, no directory."""
        def fds():
            return len(os.listdir(f"/proc/{self.daemon.pid}/fd"))

        self.assert_fails(Code.NOT_FOUND, "invalid-image", self.start, "/no/such.elf")
        before = wait_for(fds, "descriptors")
        for _ in range(20):
            self.assert_fails(Code.NOT_FOUND, "invalid-image", self.start, "/no/such.elf")
            self.assert_fails(Code.NOT_FOUND, "emulator-not-found", self.start, "hello.elf", environment=self.environment(path="/nowhere"))
        wait_for(lambda: fds() <= before, "the descriptors to be closed", 10)
        self.assert_nothing_runs()
        data = os.path.join(self.daemon.state_dir, "data")
        wait_for(lambda: not os.listdir(data), "the directories to go")


class Environment(Case):
    """The daemon has no environment and is in /: all that counts is the client's."""

    daemon_environment = {}
    daemon_cwd = "/"

    def test_clients_environment(self):
        bin_dir = os.path.join(self.dir, "bin")
        cwd = os.path.join(self.dir, "client's place")
        wdir = os.path.join(self.dir, "wdir")
        os.mkdir(bin_dir)
        os.mkdir(cwd)
        script = os.path.join(bin_dir, "qemu-only-here")
        with open(script, "w", encoding="ascii") as file:
            file.write('#!/bin/sh\n{ pwd; umask; echo "$MY_WORD"; echo "$HOME"; } > seen\nexec qemu-system-arm "$@"\n')
        os.chmod(script, 0o755)
        target = self.targets.Get(targets_pb2.GetTargetRequest(name=BOARD), timeout=CALL_DEADLINE)
        target.qemu.executable = "qemu-only-here"
        environment = self.environment("MY_WORD=two words", path=f"/nowhere:{bin_dir}:{PATH}", cwd=cwd, umask=0o027)
        instance = self.start("hello.elf", target_config=target, environment=environment, working_dir=wdir)
        with open(os.path.join(cwd, "seen"), encoding="ascii") as file:
            self.assertEqual(file.read().splitlines(), [cwd, "0027", "two words", ""])
        self.assertEqual(stat.S_IMODE(os.stat(os.path.join(cwd, "seen")).st_mode), 0o640)
        self.assertEqual(instance.argv[0], script)
        variables = read_proc(instance.pid, "environ").decode().split("\0")
        self.assertIn("MY_WORD=two words", variables)
        self.assertTrue(any(word.startswith(f"PWEMU_INSTANCE={instance.id}:1:") for word in variables))
        self.assertEqual(os.path.realpath(os.path.join(wdir, "qemu.log")), self.log_path(instance, "emulator"))
        self.assertEqual(stat.S_IMODE(os.stat(wdir).st_mode), 0o700)

    def test_relative_path(self):
        """An entry of PATH that is relative begins at the client's directory."""
        bin_dir = os.path.join(self.dir, "bin")
        os.mkdir(bin_dir)
        os.symlink("/usr/bin/qemu-system-arm", os.path.join(bin_dir, "qemu-system-arm"))
        instance = self.start("hello.elf", environment=self.environment(path="bin", cwd=self.dir))
        self.assertEqual(os.path.normpath(instance.argv[0]), os.path.join(bin_dir, "qemu-system-arm"))

    def test_no_environment(self):
        """A client that sends none gets what the daemon has; a usual PATH where that is nothing."""
        request = self.request("hello.elf", environment=None)
        request.ClearField("environment")
        instance = self.instances.Start(request, timeout=CALL_DEADLINE)
        self.assertEqual(instance.state, instances_pb2.STATE_RUNNING)
        self.assertEqual(os.readlink(f"/proc/{instance.pid}/cwd"), instance.working_dir)

    def test_missing_cwd(self):
        environment = self.environment(cwd="/no/such/place")
        error = self.assert_fails(Code.FAILED_PRECONDITION, "emulator-refused", self.start, "hello.elf", environment=environment)
        self.assertIn("chdir", error.details())
        self.assert_nothing_runs()

    def test_emulator_inherits_nothing(self):
        """Its descriptors are the ones of the plan: nothing of the daemon's, nothing of the client's."""
        instance = self.start("hello.elf")
        links = [os.readlink(f"/proc/{instance.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{instance.pid}/fd")]
        for link in links:
            self.assertNotIn(self.daemon.state_dir + "/data", link)
            self.assertNotIn("daemon.lock", link)
            self.assertNotIn("inotify", link)
        self.assertTrue(processes_with(instance.id))


if __name__ == "__main__":
    unittest.main()
