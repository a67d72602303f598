# SPDX-License-Identifier: Apache-2.0
"""The end of a Renode: the kernel drops what is unread in a terminal when its emulator dies, so that a stop pauses, drains and quits, and
any other end says that the last bytes may be missing."""

import contextlib
import json
import os
import re
import select
import signal
import struct
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from renode_case import RenodeCase, only_fake  # noqa: E402
from cases import is_alive, wait_for  # noqa: E402
from pwemu_fixture import sequence  # noqa: E402

MISSING = "may be missing"
RECORD = struct.Struct("=QQIIII")
INDEX_BOOT, INDEX_TAIL_UNKNOWN = 1, 4


class EndCase(RenodeCase):
    def assert_tail(self, is_unknown, cause):
        """In status, its JSON, and the mark of the boot in the log's index."""
        end = self.info()["end"]
        self.assertEqual((end["tail_unknown"], end["cause"]), (is_unknown, cause))
        self.assertEqual(MISSING in self.run_any("status").out, is_unknown)
        self.assertEqual(self.marks()[end["boot"]] & INDEX_TAIL_UNKNOWN != 0, is_unknown)

    def marks(self):
        """Flags of the marks in the console's index, by boot: records of daemon/channel/index.c after a header of the same size."""
        with open(self.channel()["log"].removesuffix(".log") + ".idx", "rb") as file:
            data = file.read()
        records = [RECORD.unpack_from(data, at) for at in range(RECORD.size, len(data), RECORD.size)]
        return {boot: flags for _, _, boot, _, flags, _ in records if flags & INDEX_BOOT}

    def assert_exact(self):
        """The log is the sequence; how much of it there is."""
        size = self.offset()
        self.assertEqual(self.out(), sequence(0, size))
        return size


class Stop(EndCase):
    @only_fake
    def test_every_byte(self):
        """As many as the fake's UART has given to its terminal; that is the guest's last word."""
        end = 0
        for _ in range(3):
            count = self.path("printed")
            with self.knobs(PRINTED=count):
                self.boot("seq.elf")
            self.wait_output(self.board.output)
            self.on("default", "stop")
            with open(count, encoding="ascii") as file:
                printed = json.load(file)["usart2"]
            end += printed
            self.assertEqual(self.offset(), end)
            self.assertEqual(self.out("--boot", str(self.info()["boot"])), sequence(0, printed))
            self.assert_tail(False, "stopped")

    def test_whole(self):
        """Nothing is lost inside; of a real one as well."""
        self.boot("seq.elf")
        self.wait_output(self.board.output)
        self.on("default", "stop")
        self.assert_exact()
        self.assert_tail(False, "stopped")
        self.assert_nothing_left()

    def test_again_at_once(self):
        """What was set for the end of one boot does not end the next."""
        self.boot("hello.elf")
        self.on("default", "stop", "--grace", "3s")
        boot = self.boot("seq.elf")["boot"]
        self.pwemu("wait", "--exit", "--timeout", "2s", code=124)
        self.assertEqual((self.state(), self.info()["boot"]), ("running", boot))
        for _ in range(2):
            self.on("default", "restart")
        self.assert_runs()
        self.assertEqual([end["tail_unknown"] for end in self.info()["ends"]], [False] * (boot + 1))

    def test_paused(self):
        """What it had printed until then is all there is."""
        self.boot("seq.elf")
        self.wait_output(self.board.output)
        self.pwemu("pause")
        self.assert_silent()
        size = self.assert_exact()
        self.on("default", "stop")
        self.assertEqual(self.assert_exact(), size)
        self.assert_tail(False, "stopped")

    def test_quit_of_the_user(self):
        self.boot("seq.elf")
        self.wait_output(self.board.output)
        user = self.popen("-q", "pipe", "monitor", stdin=-1)
        self.read_until(user, b") ")
        self.type_in(user, b"quit\n")
        self.wait_end()
        self.assert_exact()
        self.assert_tail(False, "stopped")
        self.assertEqual(self.info()["end"]["message"], "stopped through the emulator's monitor")

    def test_daemon_stop(self):
        """With its instances: as each by itself."""
        self.boot("seq.elf")
        self.wait_output(self.board.output)
        self.pwemu("daemon", "stop", "--with-instances")
        self.assert_exact()
        self.assert_tail(False, "stopped")

    def test_after_an_adoption(self):
        self.boot("seq.elf")
        self.kill_daemon()
        self.wait_output(self.board.output)
        self.on("default", "stop")
        self.assert_exact()
        self.assert_tail(False, "stopped")


class Otherwise(EndCase):
    def test_killed(self):
        self.boot("seq.elf")
        self.wait_output(self.board.output)
        for pid in self.tree():
            with contextlib.suppress(ProcessLookupError):  # one may take the other along
                os.kill(pid, signal.SIGKILL)
        self.wait_end()
        self.assert_exact()
        self.assert_tail(True, "killed")

    def test_killed_while_nobody_was_there(self):
        self.boot("seq.elf")
        self.wait_output(self.board.output)
        pids = self.tree()
        self.kill_daemon()
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):  # one may take the other along
                os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not any(is_alive(pid) for pid in pids), "it to be gone")
        self.wait_end()
        self.assert_exact()
        self.assert_tail(True, "killed")

    def test_stop_of_a_frozen_one(self):
        self.boot("seq.elf")
        self.wait_output(self.board.output)
        self.signal_all(signal.SIGSTOP)
        self.on("default", "stop", "--grace", "600ms")
        self.assert_exact()
        self.assert_tail(True, "stopped")

    @only_fake
    def test_stop_of_one_that_does_not_answer(self):
        with self.knobs(HANG="pause"):
            self.boot("seq.elf")
        self.on("default", "stop", "--grace", "600ms")
        self.assert_exact()
        self.assert_tail(True, "stopped")

    @only_fake
    def test_quit_that_does_not(self):
        """It rests, and all is taken: the tail is known, whatever becomes of the quit."""
        with self.knobs(HANG="quit"):
            self.boot("seq.elf")
        self.wait_output(self.board.output)
        self.on("default", "stop", "--grace", "600ms")
        self.assert_exact()
        self.assert_tail(False, "stopped")
        self.assert_nothing_left()

    def test_terminated(self):
        """The program behind the launcher."""
        self.boot("seq.elf")
        self.wait_output(self.board.output)
        os.kill((self.tree() * 2)[1], signal.SIGTERM)
        self.wait_end()
        self.assert_exact()
        self.assertTrue(self.info()["end"]["tail_unknown"])


class Nobody(EndCase):
    def test_no_daemon(self):
        """A guest that prints while there is none freezes, with all that it has printed; the next daemon lets it go on."""
        self.boot("seq.elf")
        self.wait_output(self.board.output)
        identity, offset = self.identity(), self.offset()
        pids = self.tree()
        self.kill_daemon()

        def work():
            """Of all its processes, in ticks."""
            total = 0
            for pid in pids:
                with open(f"/proc/{pid}/stat", "rb") as file:
                    fields = file.read().rsplit(b")", 1)[1].split()
                total += int(fields[11]) + int(fields[12])
            return total

        at = [work()]

        def rests():
            select.select([], [], [], 0.3)
            at.append(work())
            return at[-1] - at[-2] <= 2

        wait_for(rests, "the guest to freeze")
        self.assertEqual(self.identity(), identity)
        self.wait_output(self.board.output)
        self.assertGreater(self.offset(), offset)
        self.assert_runs()
        self.on("default", "stop")
        self.assert_exact()
        self.assert_tail(False, "stopped")


class Words(EndCase):
    """Renode's own log: the channel `emulator`."""

    def test_log(self):
        """What Renode has to say of a guest, as it says it."""
        self.boot("lockup.elf")
        wait_for(lambda: b"[ERROR]" in self.out("emulator"), "Renode to complain")
        self.assertRegex(self.out("emulator"), rb"(?m)^\d\d:\d\d:\d\d\.\d+ \[ERROR\] ")

    def test_survives(self):
        """Daemon after daemon is killed while it logs; each line is there, once, in order."""
        self.boot("hello.elf")
        lines = 0
        for _ in range(5):
            user = self.popen("-q", "pipe", "monitor", stdin=-1)
            self.read_until(user, b") ")
            for _ in range(20):
                self.type_in(user, b'sysbus.usart2 InfoLog "line-%04d"\n' % lines)
                self.read_until(user, b"(board) ")
                lines += 1
            self.kill_daemon()
            user.wait(60)
        last = b"line-%04d" % (lines - 1)
        wait_for(lambda: last in self.out("emulator"), "the last line")
        found = re.findall(rb"(?m)^\d\d:\d\d:\d\d\.\d+ \[INFO\] .*usart2: (line-\d{4})$", self.out("emulator"))
        self.assertEqual(found, [b"line-%04d" % number for number in range(lines)])


if __name__ == "__main__":
    unittest.main()
