# SPDX-License-Identifier: Apache-2.0
"""A network between client and daemon that is cut: every byte comes once, nothing is started twice, and who waits too long is told."""

import json
import os
import random
import re
import signal
import subprocess
import threading
import time
import sys
import unittest


sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from cutter import Cutter
from pwemu_cli import CliCase
from pwemu_fixture import CALL_DEADLINE, firmware, sequence, wait_for

BOARD = "qemu-lm3s6965evb"
SEED = int(os.environ.get("PWEMU_TEST_SEED", random.randrange(1 << 32)))


class CutCase(CliCase):
    def setUp(self):
        super().setUp()
        self.pwemu("ls")
        self.socket = json.loads(self.pwemu("daemon", "info", "-o", "json"))["socket"]
        self.network = Cutter(os.path.join(self.dir, "network.sock"), lambda: self.socket)
        self.addCleanup(self.network.close)
        self.host = f"unix:{self.network.path}?remote"
        self.random = random.Random(SEED)

    def far(self, *words, **options):
        """What local commands start is of another machine for those from afar: they name it."""
        name = [] if words[0] in ("run", "start", "events") else ["-i", "default"]
        return self.popen("-H", self.host, *name, *words, **options)

    def start(self, image, *words):
        self.pwemu("start", BOARD, "-f", firmware(image), *words)
        return json.loads(self.pwemu("status", "-o", "json"))

    @staticmethod
    def read(stream, enough, process):
        """Until enough(bytes) holds."""
        seen = b""
        while not enough(seen):
            data = stream.read1(65536)
            if not data:
                raise AssertionError(f"it ended: {process.stderr.read()!r} after {seen[-200:]!r}")
            seen += data
        return seen

    def await_again(self, process, times=1):
        said = b""
        while said.count(b"pwemu: connected to ") < times:
            line = process.stderr.readline()
            self.assertTrue(line, said)
            said += line
        return said

    def end(self, process, code=None):
        process.send_signal(signal.SIGTERM)
        self.assertIn(process.wait(CALL_DEADLINE), [code if code is not None else 128 + signal.SIGTERM, -signal.SIGTERM])


class Output(CutCase):
    """Against what the daemon has kept."""

    def test_logs_of_megabytes(self):
        """Cut after every number of bytes that comes to mind."""
        self.start("seq.elf")
        total = 3 << 20
        cuts = [1, 9, 24, 100, 1000, 33000, 65536, 70000] + [self.random.randrange(200, 400000) for _ in range(12)]
        process = self.far("logs", "-f", "--from", "0")
        drain = threading.Thread(target=process.stderr.read)
        drain.start()
        seen = self.read(process.stdout, len, process)
        self.network.cut_after = list(cuts)
        self.network.cut()
        seen += self.read(process.stdout, lambda data: len(data) >= total and not self.network.cut_after, process)
        self.assertEqual(len(seen), len(sequence(0, len(seen))))
        self.assertTrue(seen == sequence(0, len(seen)), f"seed {SEED}")
        self.assertGreaterEqual(self.network.connections, len(cuts))
        self.end(process)
        drain.join(CALL_DEADLINE)

    def test_cut_at_random_moments(self):
        self.start("seq.elf")
        process = self.far("logs", "-f", "--from", "0")
        drain = threading.Thread(target=process.stderr.read)
        drain.start()
        seen = b""
        for _ in range(15):
            more = self.random.randrange(1, 100000)
            seen += self.read(process.stdout, lambda data, more=more: len(data) >= more, process)
            self.network.cut()
        seen += self.read(process.stdout, lambda data: len(data) >= 300000, process)
        self.assertTrue(seen == sequence(0, len(seen)), f"seed {SEED}")
        self.end(process)
        drain.join(CALL_DEADLINE)

    def test_term(self):
        self.start("echo.elf")
        process = self.far("term", "--from", "0", stdin=subprocess.PIPE)
        self.read(process.stdout, lambda data: b"ready> " in data, process)
        for n in range(5):
            process.stdin.write(b"line %d\r" % n)
            process.stdin.flush()
            self.read(process.stdout, lambda data, n=n: data.count(b"line %d" % n) >= 1 and data.endswith(b"> "), process)
            self.network.cut()
            self.await_again(process)
            wait_for(lambda: json.loads(self.pwemu("status", "-o", "json"))["channels"][0]["has_writer"], "the writer role")
        self.end(process)
        log = self.logs().decode()
        self.assertEqual(re.findall(r"line \d", log), [f"line {n}" for n in range(5) for _ in range(log.count("line 0"))])

    def test_wait(self):
        self.start("echo.elf")
        process = self.far("wait", "--expect", "now", "--timeout", "50s")
        wait_for(lambda: self.network.connections == 1 and self.network.down_bytes > 500, "the wait to begin")
        self.network.cut()
        self.await_again(process)
        self.network.cut()
        self.await_again(process)
        self.pwemu("send", "-l", "now")
        self.assertEqual(process.wait(CALL_DEADLINE), 0)

    def test_events(self):
        self.start("echo.elf")
        process = self.far("events", "-f", "-o", "json", "--from", "1")
        seen = self.read(process.stdout, lambda data: b"running" in data, process)
        for what in ("pause", "resume", "pause", "resume"):
            self.network.cut()
            self.pwemu(what)
        self.pwemu("stop")
        seen += self.read(process.stdout, lambda data: b'"cause": "stopped"' in data or b"stopped" in data, process)
        numbers = [int(number) for number in re.findall(rb'"seq": "?(\d+)', seen)]
        self.assertEqual(numbers, list(range(1, len(numbers) + 1)))
        self.end(process)

    def test_pipe_tells_what_it_lost(self):
        """More than the guest takes: what is on its way at a cut is not sent again, and said so."""
        self.start("gulp.elf", "--pause")
        process = self.far("pipe", "serial0", stdin=subprocess.PIPE)
        feeder = threading.Thread(target=self.feed, args=(process.stdin, b"x" * (1 << 20)))
        feeder.start()
        last = [0]

        def is_stuck():
            before, last[0] = last[0], self.network.up_bytes
            return before == last[0] and before > 4096

        wait_for(lambda: time.sleep(0.1) or is_stuck(), "the pipe to be full")
        self.network.cut()
        said = self.await_again(process)
        said += process.stderr.readline()
        self.assertIsNone(process.poll(), process.poll())
        self.assertRegex(said.decode(), r"of the input \d+ bytes were on their way .* not sent again")
        self.end(process)
        feeder.join(CALL_DEADLINE)

    @staticmethod
    def feed(stream, data):
        try:
            stream.write(data)
            stream.flush()
        except BrokenPipeError:
            pass


class Runs(CutCase):
    def test_run(self):
        """It lives on, its output is whole, and its verdict right."""
        process = self.far("run", BOARD, firmware("seqn.elf"), "--semihosting")
        drain = threading.Thread(target=process.stderr.read)
        seen = self.read(process.stdout, lambda data: len(data) > 1000, process)
        self.network.cut()
        drain.start()
        seen += process.stdout.read()
        self.assertEqual(process.wait(CALL_DEADLINE), 0)
        drain.join(CALL_DEADLINE)
        self.assertTrue(seen == sequence(0, len(seen)))
        self.assertEqual(seen, self.logs("-i", "run-1"))

    def test_start_is_not_repeated(self):
        """Cut at every stage of the start; there is one instance and one boot."""
        for n, down in enumerate((1, 20, 60, 120, 200, 300, 500, 800)):
            name = f"i{n}"
            self.network.cut_after = [down]
            process = self.far("start", "-i", name, BOARD, "-f", firmware("echo.elf"), "-C", os.path.join(self.work, name))
            _, err = process.communicate(timeout=CALL_DEADLINE)
            self.assertEqual(process.returncode, 0, err)
        rows = json.loads(self.pwemu("ls", "-a", "-o", "json"))
        self.assertEqual(sorted(row["name"] for row in rows), [f"i{n}" for n in range(8)])
        self.assertEqual([row["boot"] for row in rows], [1] * 8)

    def test_run_cut_in_its_start(self):
        for up in (100, 300, 700, 1500, 3000):
            self.network.cut_up_after = [up]
            process = self.far("run", BOARD, firmware("exit.elf"), "--semihosting")
            out, err = process.communicate(timeout=CALL_DEADLINE)
            self.assertEqual(process.returncode, 42, err)
            self.assertIn(b"exit on", out)
        rows = json.loads(self.pwemu("ls", "-a", "-o", "json"))
        self.assertEqual([row["boot"] for row in rows], [1] * 5)

    def test_upload(self):
        path = os.path.join(self.work, "large.elf")
        with open(firmware("exit.elf"), "rb") as file:
            data = file.read()
        with open(path, "wb") as file:
            file.write(data + os.urandom(2 << 20))
        self.network.cut_up_after = [50, 400, 30000, 500000, 1000000]
        process = self.far("run", BOARD, path, "--semihosting")
        out, err = process.communicate(timeout=CALL_DEADLINE)
        self.assertEqual(process.returncode, 42, err)
        self.assertIn(b"exit on", out)
        self.assertEqual(self.network.cut_up_after, [])
        store = os.path.join(self.environment["XDG_STATE_HOME"], "pwemu/images", str(os.getuid()))
        self.assertEqual(len(os.listdir(store)), 1)


class Patience(CutCase):
    def setUp(self):
        super().setUp()
        self.environment["PWEMU_RECONNECT"] = "500ms"

    def cut_for_good(self):
        self.network.unlisten()
        self.network.cut()

    def test_logs(self):
        self.start("echo.elf")
        process = self.far("logs", "-f")
        self.read(process.stdout, lambda data: b"ready> " in data, process)
        begin = time.monotonic()
        self.cut_for_good()
        _, err = process.communicate(timeout=CALL_DEADLINE)
        self.assertEqual(process.returncode, 1)
        self.assertIn(b"was lost and could not be made again within 0.", err)
        self.assertGreaterEqual(time.monotonic() - begin, 0.5)

    def test_run(self):
        process = self.far("run", BOARD, firmware("echo.elf"))
        self.read(process.stdout, lambda data: b"ready> " in data, process)
        self.cut_for_good()
        _, err = process.communicate(timeout=CALL_DEADLINE)
        self.assertEqual(process.returncode, 125)
        self.assertRegex(err.decode(), r"run-1 may still run: the connection to .* was lost and could not be made again")

    def test_signal_while_it_waits(self):
        self.environment["PWEMU_RECONNECT"] = "10m"
        self.start("echo.elf")
        process = self.far("term", "--from", "0")
        self.read(process.stdout, lambda data: b"ready> " in data, process)
        self.cut_for_good()
        process.stderr.readline()
        self.end(process)

    def test_timeout_while_it_waits(self):
        self.environment["PWEMU_RECONNECT"] = "10m"
        self.start("echo.elf")
        process = self.far("wait", "--expect", "never", "--timeout", "1s")
        wait_for(lambda: self.network.down_bytes > 500, "the wait to begin")
        self.cut_for_good()
        self.assertEqual(process.wait(CALL_DEADLINE), 124)

    def test_daemon_that_begins_again(self):
        self.environment["PWEMU_RECONNECT"] = "20s"
        self.start("echo.elf")
        process = self.far("logs", "-f")
        self.read(process.stdout, lambda data: b"ready> " in data, process)
        self.pwemu("daemon", "restart")
        self.await_again(process)
        self.pwemu("send", "-l", "hello")
        self.read(process.stdout, lambda data: b"hello" in data, process)
        self.end(process)


if __name__ == "__main__":
    unittest.main()
