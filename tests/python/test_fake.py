# SPDX-License-Identifier: Apache-2.0
"""The fake emulator does what its words say, and the daemon what it must with such an emulator."""

import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import grpc  # noqa: E402
from pwemu_fixture import CALL_DEADLINE, Attachment, Case, instances_pb2, processes_with, read_proc, sequence, wait_for  # noqa: E402

Code = grpc.StatusCode


def cpu_ticks(pid):
    fields = read_proc(pid, "stat").rsplit(b")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


class Fake(Case):
    def test_life(self):
        """Start, pause, resume, reset, stop, as a real one."""
        instance = self.start_fake(pause=True)
        self.assertEqual(instance.state, instances_pb2.STATE_PAUSED)
        self.assertEqual(self.offset(), 0)
        self.instances.Resume(instances_pb2.ResumeRequest(instance=self.ref()), timeout=CALL_DEADLINE)
        self.read_until(b"ready\n")
        self.instances.Pause(instances_pb2.PauseRequest(instance=self.ref()), timeout=CALL_DEADLINE)
        wait_for(lambda: self.get().state == instances_pb2.STATE_PAUSED, "the pause")
        self.instances.Resume(instances_pb2.ResumeRequest(instance=self.ref()), timeout=CALL_DEADLINE)
        self.instances.Reset(instances_pb2.ResetRequest(instance=self.ref()), timeout=CALL_DEADLINE)
        self.read_until(b"ready\nready\n")
        self.assertEqual(self.stop().end.cause, instances_pb2.END_CAUSE_STOPPED)

    def test_output(self):
        self.start_fake("output=burst:300000", "burst")
        self.assert_sequence(self.read("", "burst", follow=True), 300000)
        self.start_fake("output=flood", "flood")
        self.assert_sequence(self.read("", "flood", follow=True), 3000000)
        self.start_fake("output=slow:20ms;silent-after=2s", "slow")
        self.assert_sequence(self.read("", "slow", follow=True), 20)
        self.start_fake("output=echo", "echo")
        attachment = Attachment(self, name="echo", write=True)
        attachment.send(b"hello")
        attachment.wait_output(b"hello")
        attachment.close()

    def test_idle(self):
        """It waits and nothing else."""
        pid = self.start_fake().pid
        self.read_until(b"ready\n")
        wait_for(lambda: read_proc(pid, "stat").rsplit(b")", 1)[1].split()[0] == b"S", "it to sleep")
        self.assertLess(cpu_ticks(pid), 20)

    def test_crashes(self):
        for words, signal, code in (("crash=at-start", 11, -1), ("crash=before-greeting;signal=ABRT", 6, -1), ("crash=at-start;exit=3", 0, 3)):
            with self.subTest(words):
                self.start_fake(words, no_wait=True)
                end = self.wait_end()
                self.assertEqual((end.signal, end.code), (signal, code), end)
        self.start_fake("crash=after:300ms;exit=7;shutdown=guest-shutdown")
        self.assertEqual(self.wait_end().code, 7)
        self.start_fake("crash=on-cont;signal=BUS", pause=True)
        with self.assertRaises(grpc.RpcError):
            self.instances.Resume(instances_pb2.ResumeRequest(instance=self.ref()), timeout=CALL_DEADLINE)
        self.assertEqual(self.wait_end().signal, 7)

    def test_faulty_boots(self):
        """Wrong the first two times, right from then on."""
        boots = os.path.join(self.dir, "boots")
        for number in (1, 2, 3):
            self.start_fake(f"boots={boots};faulty=2;crash=at-start;exit=4", no_wait=True)
            if number < 3:
                self.assertEqual(self.wait_end().code, 4)
        self.read_until(b"ready\n")
        self.assertEqual(os.path.getsize(boots), 3)

    def test_greetings(self):
        self.start_fake("greeting=slow:300ms", "slow")
        self.assertEqual(self.get("slow").state, instances_pb2.STATE_RUNNING)
        for greeting in ("none", "wrong"):
            self.start_fake(f"greeting={greeting}", greeting, no_wait=True)
            self.read_until(b"ready\n", name=greeting)
            self.stop(greeting, 100)

    def test_hangs_up(self):
        """The link is made again: in a start, and when it is up, where only what was asked just then is lost."""
        self.start_fake("hang-up=2", "start")
        self.assertEqual(self.get("start").state, instances_pb2.STATE_RUNNING)
        up = self.start_fake("hang-up=3", "up")
        pause = instances_pb2.PauseRequest(instance=self.ref("up"))
        with self.assertRaises(grpc.RpcError):
            self.instances.Pause(pause, timeout=CALL_DEADLINE)
        wait_for(lambda: f"({up.id}): the emulator has hung up" in self.daemon.log_text(), "the next connection")
        self.instances.Pause(pause, timeout=CALL_DEADLINE)
        wait_for(lambda: self.get("up").state == instances_pb2.STATE_PAUSED, "the pause")

    def test_deaf(self):
        """Not a word from it, SIGTERM does nothing."""
        for words in ("hang-after=0", "ignore-term", "no-answer-after=0;ignore-term"):
            with self.subTest(words):
                self.start_fake(words, no_wait=True)
                wait_for(lambda: self.get().pid, "its process")
                self.assertEqual(self.stop(grace_ms=50).end.cause, instances_pb2.END_CAUSE_STOPPED)

    def test_trees(self):
        self.start_fake("helpers=3")
        wait_for(lambda: len(processes_with("FAKE_EMULATOR=helpers")) == 7, "helpers")
        self.stop(grace_ms=200)
        self.assert_nothing_runs()
        self.start_fake("fork-bomb=200")
        wait_for(lambda: len(processes_with("FAKE_EMULATOR=fork-bomb")) > 30, "the bomb")
        self.stop(grace_ms=200)
        self.assert_nothing_runs()

    def test_bad_script(self):
        error = self.assert_fails(Code.FAILED_PRECONDITION, "emulator-refused", self.start_fake, "crash=perhaps")
        self.assertIn("is not understood", error.details())


if __name__ == "__main__":
    unittest.main()
