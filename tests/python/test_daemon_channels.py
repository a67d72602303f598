# SPDX-License-Identifier: Apache-2.0
"""Channels of the real daemon: Read and Attach on what real firmware prints, slow readers, many readers, one writer."""

import os
import socket
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import grpc  # noqa: E402
from pwemu_fixture import (  # noqa: E402
    CALL_DEADLINE, Attachment, Case, Raw, channels_pb2, channels_pb2_grpc, common_pb2, instances_pb2, sequence, wait_for,
)  # fmt: skip

Code = grpc.StatusCode
MIB = 1024 * 1024


def position(**fields):
    return {"from": common_pb2.Position(**fields)}


class Reading(Case):
    def test_from_the_first_byte(self):
        self.start("uarts.elf")
        for number in range(3):
            self.assertEqual(self.read_until(b"\n", f"serial{number}"), b"uart%d\n" % number)

    def test_follow_ends_with_the_instance(self):
        self.start("seqn.elf", semihosting=True)
        replies = self.read(follow=True)
        text = b"".join(reply.data.bytes for reply in replies)
        self.assertEqual(text, sequence(0, 20000 * 9))
        self.assertEqual(replies.code(), Code.OK)

    def test_without_follow(self):
        self.start("seqn.elf", semihosting=True)
        self.wait_until_over()
        self.assertEqual(self.read_all(), sequence(0, 20000 * 9))

    def test_positions(self):
        self.start("seqn.elf", semihosting=True)
        self.wait_until_over()
        size = 20000 * 9
        self.assertEqual(self.read_all(**position(offset=12345)), sequence(12345, size - 12345))
        self.assertEqual(self.read_all(**position(tail=100)), sequence(size - 100, 100))
        self.assertEqual(self.read_all(**position(tail=size + 1)), sequence(0, size))
        self.assertEqual(self.read_all(**position(now=True)), b"")
        self.assertEqual(self.read_all(**position(offset=size)), b"")
        self.assert_fails(Code.OUT_OF_RANGE, "", self.read, **position(offset=size + 1))
        self.start("hello.elf")
        hello = self.read_until(b"\n")
        self.assertEqual(self.read_all(**position(boot=True)), hello)
        self.assertEqual(self.read_all(**position(start=True)), hello)
        self.assertEqual(self.read_all(**position(boot_number=2)), hello)
        self.assertEqual(self.read_all(one_boot=True, **position(boot_number=-1)), sequence(0, size))
        self.assertEqual(self.read_all(one_boot=True, **position(offset=5)), sequence(5, size - 5))
        self.assertEqual(self.read_all(**position(offset=0)), sequence(0, size) + hello)
        self.assert_fails(Code.NOT_FOUND, "", self.read, **position(boot_number=3))

    def test_times(self):
        before = time.time_ns()
        self.start("hello.elf")
        self.read_until(b"\n")
        self.stop()
        self.start("hello.elf")
        self.read_until(b"\n")
        replies = [reply.data for reply in self.read(times=True, **position(offset=0))]
        self.assertEqual({data.boot for data in replies}, {1, 2})
        last = before - 20_000_000  # the resolution is 10 ms
        for data in replies:
            self.assertGreaterEqual(data.time_ns, last)
            self.assertLessEqual(data.boot_time_ns - 20_000_000, data.time_ns)
            last = data.time_ns
        self.assertLessEqual(last, time.time_ns())

    def test_refusals(self):
        self.start("hello.elf")
        self.assert_fails(Code.NOT_FOUND, "invalid-channel", self.read, "serial9", text="serial0, serial1, serial2, emulator")
        self.assert_fails(Code.FAILED_PRECONDITION, "invalid-channel-type", self.read, "gdb", text="pwemu pipe gdb")
        self.assert_fails(Code.NOT_FOUND, "no-instance", self.read, name="nobody")

    def test_semihosting_console(self):
        """Both ways to it in one order."""
        self.start("semi.elf", firmware_args=["one", "t,wo"])
        self.wait_until_over()
        rounds = b"".join(b"%03d %s\n" % (n, b"write0" if n % 2 else b"tt") for n in range(50))
        self.assertEqual(self.read_all("semihosting"), rounds + b"arg 000 semi.elf\narg 001 one\narg 002 t,wo\n")

    def test_deadline(self):
        self.start("hello.elf")
        start = time.monotonic()
        self.assert_fails(Code.DEADLINE_EXCEEDED, "", self.read, follow=True, timeout=0.5)
        self.assertLess(time.monotonic() - start, 20)
        wait_for(lambda: self.get().channels[0].readers == 0, "the daemon to forget the reader")

    def test_cancel(self):
        self.start("hello.elf")
        call = self.read(follow=True)
        next(call)
        self.assertEqual(self.get().channels[0].readers, 1)
        call.cancel()
        wait_for(lambda: self.get().channels[0].readers == 0, "the daemon to forget the reader")

    def test_many_streams(self):
        """More than one connection may have: the client's library makes the others wait, and they are served."""
        self.start("seqn.elf", semihosting=True)
        self.wait_until_over()
        calls = [self.read() for _ in range(300)]
        for call in calls:
            self.assertEqual(sum(len(reply.data.bytes) for reply in call), 20000 * 9)

    def test_many_following_streams(self):
        """All at once, from several connections, live."""
        self.start("hello.elf", pause=True)
        stubs = [channels_pb2_grpc.ChannelsStub(self.daemon.channel()) for _ in range(4)]
        request = channels_pb2.ReadRequest(instance=self.ref(), follow=True)
        calls = [stub.Read(request, timeout=CALL_DEADLINE) for stub in stubs for _ in range(60)]
        wait_for(lambda: self.get().channels[0].readers == 240, "all of them")
        self.instances.Resume(instances_pb2.ResumeRequest(instance=self.ref()), timeout=CALL_DEADLINE)
        first = [next(call).data.bytes for call in calls]
        self.assertEqual(len({text[:1] for text in first}), 1)
        for call in calls:
            call.cancel()


class Flow(Case):
    """The firmware prints without pause."""

    def setUp(self):
        super().setUp()
        self.start("seq.elf")

    def test_complete_and_in_order(self):
        self.assert_sequence(self.read(follow=True), 3 * MIB)

    def test_slow_reader(self):
        """One that takes a little from time to time gets every byte; its slowness costs the daemon no memory."""
        slow = self.read(follow=True)
        at = self.assert_sequence(slow, 1)
        before = self.daemon.rss_kib()
        wait_for(lambda: self.offset() > at + 3 * MIB, "three megabytes that it did not take")
        self.assert_rss_below(before, 4096)
        for piece in range(40):
            at = self.assert_sequence(slow, 1)
            time.sleep(0.01)
        self.assert_sequence(slow, 3 * MIB)

    def test_two_readers_and_one_that_does_not(self):
        """Attached; the third opens and never looks at its stream again."""
        stuck = channels_pb2_grpc.ChannelsStub(self.daemon.channel())
        opening = channels_pb2.AttachRequest(open=channels_pb2.AttachOpen(instance=self.ref()))
        never_read = stuck.Attach(iter([opening]), timeout=CALL_DEADLINE)
        readers = [Attachment(self, stub=channels_pb2_grpc.ChannelsStub(self.daemon.channel())) for _ in range(2)]
        before = self.daemon.rss_kib()
        for reader in readers:
            reader.wait(lambda: len(reader.output) > 3 * MIB, "three megabytes")
        self.assertEqual(self.get().channels[0].readers, 3)
        self.assert_rss_below(before, 8192)
        for reader in readers:
            reader.close()
            self.assertEqual(reader.output, sequence(reader.offset, len(reader.output)))
        never_read.cancel()

    def test_log_file_is_the_stream(self):
        wait_for(lambda: self.offset() > MIB, "a megabyte")
        instance = self.stop()
        with open(self.log_path(instance), "rb") as log:
            text = log.read()
        self.assertEqual(len(text), instance.channels[0].offset)
        self.assertEqual(text, sequence(0, len(text)))
        self.assertEqual(self.read_all(), text)

    def test_late_reader(self):
        wait_for(lambda: self.offset() > MIB, "a megabyte")
        self.assert_sequence(self.read(follow=True), MIB)
        end = self.offset()
        reply = next(self.read(follow=True, **position(tail=5000)))
        self.assertGreaterEqual(reply.data.offset, end - 5000)
        reply = next(self.read(follow=True, **position(now=True)))
        self.assertGreaterEqual(reply.data.offset, end)

    def assert_bounded_and_served(self, raws, before):
        """What was queued for the raw clients has its limit, and does not grow with what the guest prints."""
        self.assert_served()
        self.assert_rss_below(before, len(raws) * 8 * 1024)
        settled = self.daemon.rss_kib()
        end = self.offset()
        self.assert_sequence(self.read(follow=True, **position(offset=end)), 2 * MIB)
        self.assert_served()
        self.assert_rss_below(settled, 2 * 1024)

    def test_zero_window(self):
        wait_for(lambda: self.offset() > MIB, "a megabyte")
        raws = []
        before = self.daemon.rss_kib()
        request = channels_pb2.ReadRequest(instance=self.ref(), follow=True)
        for _ in range(10):
            raw = Raw(self, window=0)
            for _ in range(100):
                raw.request(b"/pwemu.v1.Channels/Read", request)
            raws.append(raw)
        self.assert_bounded_and_served(raws, before)

    def test_never_reading(self):
        wait_for(lambda: self.offset() > MIB, "a megabyte")
        raws = []
        before = self.daemon.rss_kib()
        request = channels_pb2.ReadRequest(instance=self.ref(), follow=True)
        for _ in range(10):
            raw = Raw(self, window=(1 << 31) - 1, rcvbuf=4096)
            for _ in range(20):
                raw.request(b"/pwemu.v1.Channels/Read", request)
            raws.append(raw)
        self.assert_bounded_and_served(raws, before)

    def test_silent_connection(self):
        """Accepted, never a word: others are served."""
        silent = []
        for _ in range(50):
            one = socket.socket(socket.AF_UNIX)
            one.connect(self.daemon.socket)
            silent.append(one)
        self.assert_served()
        self.assert_sequence(self.read(follow=True), MIB)
        for one in silent:
            one.close()


class Writing(Case):
    def setUp(self):
        super().setUp()
        self.start("echo.elf")

    def test_echo(self):
        client = Attachment(self, write=True)
        self.assertTrue(client.opened.writer)
        self.assertEqual((client.opened.instance, client.opened.channel, client.opened.eol), ("default", "serial0", "cr"))
        self.assertEqual(client.opened.instance_id, self.get().id)
        client.wait_output(b"ready> ")
        client.send(b"hello\r")
        client.wait_output(b"got: hello\r\nready> ")
        client.wait(lambda: client.taken == 6, "the receipt")
        client.close()

    def test_half_close(self):
        """A client that has said all still hears everything."""
        client = Attachment(self, write=True)
        client.send(b"last words\r")
        client.half_close()
        client.wait_output(b"got: last words\r\nready> ")
        self.stop()
        client.wait(lambda: client.is_over, "the stream to end with the instance")
        self.assertIsNone(client.error)
        client.close()

    def test_much_input(self):
        """More than any pipe takes: held up, never lost."""
        client = Attachment(self, write=True)
        client.wait_output(b"ready> ")
        lines = [b"line %05d\r" % number for number in range(2000)]
        for at in range(0, len(lines), 100):
            client.send(b"".join(lines[at : at + 100]))
        total = sum(len(line) for line in lines)
        client.wait(lambda: client.taken == total, "all of it to be taken")
        client.wait_output(b"got: line 01999\r\nready> ")
        answers = [line[5:] for line in client.output.split(b"\r\n") if line.startswith(b"got: ")]
        self.assertEqual(answers, [line[:-1] for line in lines])
        client.close()

    def test_one_writer(self):
        first = Attachment(self, write=True)
        second = Attachment(self, write=True)
        reader = Attachment(self)
        self.assertFalse(second.opened.writer)
        self.assertIn("has the writer role", second.opened.reason)
        self.assertFalse(reader.opened.writer)
        self.assertEqual(reader.opened.reason, "")
        reader.wait_output(b"ready> ")  # a UART that is being set up forgets what it has
        second.send(b"unheard\r")
        first.send(b"heard\r")
        for client in (first, second, reader):
            client.wait_output(b"got: heard\r\n")
            self.assertNotIn(b"unheard", client.output)
        first.close()
        second.wait(lambda: second.writer_changes, "the role to come")
        self.assertTrue(second.writer_changes[-1][0])
        second.send(b"now\r")
        reader.wait_output(b"got: now\r\n")
        second.close()
        reader.close()

    def test_steal(self):
        first = Attachment(self, write=True)
        thief = Attachment(self, write=True, steal=True)
        self.assertTrue(thief.opened.writer)
        first.wait(lambda: first.writer_changes, "the role to go")
        self.assertFalse(first.writer_changes[-1][0])
        self.assertIn(f"process {os.getpid()}", first.writer_changes[-1][1])
        thief.send(b"mine\r")
        first.wait_output(b"got: mine\r\n")
        first.close()
        thief.close()

    def test_not_opened_for_writing(self):
        client = Attachment(self)
        client.send(b"x")
        client.wait(lambda: client.error, "the refusal")
        self.assertEqual(client.error.code(), Code.PERMISSION_DENIED)

    def test_read_only_channel(self):
        """It can be attached to, without the writer role; input to it is refused."""
        client = Attachment(self, "emulator", write=True)
        client.wait(lambda: client.opened, "the stream to open")
        self.assertFalse(client.opened.writer)
        self.assertIn("read-only", client.opened.reason)
        client.send(b"x")
        client.wait(lambda: client.error, "the refusal")
        self.assertEqual(client.error.code(), Code.PERMISSION_DENIED)

    def test_first_message(self):
        for requests in ([], [channels_pb2.AttachRequest(input=b"x")], [channels_pb2.AttachRequest()]):
            self.assert_fails(Code.INVALID_ARGUMENT, "", self.channels.Attach, iter(requests), timeout=CALL_DEADLINE)

    def test_oversize_input(self):
        client = Attachment(self, write=True)
        client.send(bytes(300 * 1024))
        client.wait(lambda: client.error, "the refusal")
        self.assertEqual(client.error.code(), Code.RESOURCE_EXHAUSTED)
        self.assert_served()

    def test_attached_over_a_restart(self):
        """What is attached without a boot goes on with the next one."""
        client = Attachment(self, write=True)
        client.wait_output(b"ready> ")
        self.stop()
        client.wait(lambda: client.is_over, "the stream to end with the instance")
        self.start("echo.elf")
        again = Attachment(self, write=True)
        self.assertEqual(again.opened.offset, len(client.output))
        again.wait_output(b"ready> ")  # a UART that is being set up forgets what it has
        again.send(b"x\r")
        again.wait_output(b"got: x\r\n")
        again.close()


if __name__ == "__main__":
    unittest.main()
