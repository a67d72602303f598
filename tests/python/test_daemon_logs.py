# SPDX-License-Identifier: Apache-2.0
"""Bounded logs: what a guest that never stops printing leaves on the disk, and what one can read of it."""

import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import grpc  # noqa: E402
from pwemu_fixture import (  # noqa: E402
    BOARD, CALL_DEADLINE, TEST_DEADLINE, Case, channels_pb2, channels_pb2_grpc, common_pb2, sequence, targets_pb2, wait_for,
)  # fmt: skip

Code = grpc.StatusCode
MIB = 1024 * 1024
LIMIT = MIB // 4
SLACK = 64 * 1024 + 256 * 1024  # a step of dropping, and what is moved at once


def position(**fields):
    return {"from": common_pb2.Position(**fields)}


class Bounded(Case):
    def start_bounded(self, image="seq.elf", **fields):
        target = self.targets.Get(targets_pb2.GetTargetRequest(name=BOARD), timeout=CALL_DEADLINE)
        target.log.limit_bytes = LIMIT
        return self.start(image, target_config=target, **fields)

    def row(self, name="default"):
        return next(row for row in self.get(name).channels if row.name == "serial0")

    def wait_offset(self, offset):
        wait_for(lambda: self.row().offset > offset, f"the log to pass offset {offset}", TEST_DEADLINE)

    def disk_bytes(self):
        return os.stat(self.log).st_blocks * 512

    def assert_bounded(self):
        self.assertLessEqual(self.disk_bytes(), LIMIT + SLACK)
        self.assertLessEqual(os.stat(self.log.removesuffix(".log") + ".idx").st_blocks * 512, 256 * 1024)

    def assert_reads_what_is_left(self):
        """From 0: begins at the first byte that is left, goes on without a hole, every byte right."""
        first = self.row().first_offset
        self.assertGreater(first, 0)
        replies = self.read(**position(offset=0))
        begin = next(replies).data
        self.assertGreaterEqual(begin.offset, first)
        self.assertEqual(begin.bytes, sequence(begin.offset, len(begin.bytes)))
        end = begin.offset + len(begin.bytes)
        for reply in replies:
            self.assertGreaterEqual(reply.data.offset, end)  # the head may pass a reader: then the offset says so
            self.assertEqual(reply.data.bytes, sequence(reply.data.offset, len(reply.data.bytes)))
            end = reply.data.offset + len(reply.data.bytes)
        self.assertGreaterEqual(end, first + LIMIT)

    def test_disk_stays_bounded_while_offsets_grow(self):
        self.log = self.log_path(self.start_bounded())
        for times in range(2, 12, 2):
            self.wait_offset(times * LIMIT)
            self.assert_bounded()
        self.assert_reads_what_is_left()
        self.assertGreater(os.stat(self.log).st_size, 10 * LIMIT)

    def test_after_a_crash_of_the_daemon(self):
        self.log = self.log_path(self.start_bounded())
        pid = self.get().pid
        for _ in range(5):
            before = self.row()
            self.wait_offset(before.offset + 2 * LIMIT)
            self.restart_daemon()
            after = self.row()
            self.assertGreater(after.first_offset, before.first_offset)
            self.assertGreater(after.offset, before.offset + 2 * LIMIT)
            self.assert_reads_what_is_left()
            self.assert_bounded()
        self.assertEqual(self.get().pid, pid)
        self.stop()
        ended = self.row()
        self.restart_daemon()  # of an ended instance too
        self.assertEqual(self.row().first_offset, ended.first_offset)
        self.assert_reads_what_is_left()
        self.assertEqual(self.row(), ended)

    def test_a_lagging_reader_is_told_by_the_offset(self):
        self.start_bounded()
        self.wait_offset(0)
        narrow = self.daemon.channel(("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 65536))
        request = channels_pb2.ReadRequest(instance=self.ref(), follow=True, **position(offset=0))
        replies = channels_pb2_grpc.ChannelsStub(narrow).Read(request, timeout=TEST_DEADLINE)
        first = next(replies).data
        self.assertEqual(first.bytes, sequence(first.offset, len(first.bytes)))
        self.wait_offset(first.offset + 4 * MIB)  # more than daemon and connection hold for one who does not read
        end, gone = first.offset + len(first.bytes), 0
        for reply in replies:
            gone += reply.data.offset - end
            self.assertEqual(reply.data.bytes, sequence(reply.data.offset, len(reply.data.bytes)))
            end = reply.data.offset + len(reply.data.bytes)
            if gone > 0:
                break
        self.assertGreater(gone, 0)
        replies.cancel()

    def test_boots(self):
        self.log = self.log_path(self.start_bounded())
        self.wait_offset(LIMIT)
        self.stop()
        second = self.row().offset
        self.start_bounded()
        self.wait_offset(second + 3 * LIMIT)
        self.stop()
        third = self.row().offset
        self.start_bounded("hello.elf")
        hello = self.read_until(b"\n")
        self.stop()
        end = self.row()
        self.assert_fails(Code.NOT_FOUND, "", self.read, text="has no boot 1: it has 2 to 3", **position(boot_number=1))
        left = self.read_all(one_boot=True, **position(boot_number=2))
        self.assertEqual(left, sequence(end.first_offset - second, third - end.first_offset))
        self.assertEqual(self.read_all(one_boot=True, **position(offset=0)), left)
        self.assertEqual(self.read_all(**position(boot=True)), hello)
        times = [reply.data for reply in self.read(times=True, **position(offset=0))]
        self.assertEqual({data.boot for data in times}, {2, 3})
        self.assertEqual(len({data.boot_time_ns for data in times}), 2)
        self.assertTrue(all(0 < data.boot_time_ns <= data.time_ns for data in times))


if __name__ == "__main__":
    unittest.main()
