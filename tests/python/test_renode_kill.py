# SPDX-License-Identifier: Apache-2.0
"""The daemon is killed at random moments of what it does with a Renode: each command of the set-up, output, input, pause, reset, a debugger
that comes or goes, stop. Under the next daemon the instance is what it should be, no byte is lost or doubled, and nothing is left.

KILLS: how many rounds of each, default 1. KILL_SEED: at which moments (what else happens meanwhile stays random)."""

import contextlib
import json
import os
import random
import select
import signal
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from renode_case import REAL, SET_UP, RenodeCase, read_proc  # noqa: E402
from cases import TARGET, is_alive, wait_for  # noqa: E402
from pwemu_fixture import sequence  # noqa: E402

ROUNDS = int(os.environ.get("KILLS", "1"))
SEED = int(os.environ.get("KILL_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)
DELAY_MS = 250  # of a command that is to be met


class KillCase(RenodeCase):
    def setUp(self):
        super().setUp()
        self.chance = random.Random(f"{SEED} {self.id()}")
        print(f"KILL_SEED={SEED}", file=sys.stderr)

    def kill_at_random(self, latest_s, pid=0):
        """The daemon, within that time."""
        pid = pid or self.daemon_pid()
        select.select([], [], [], self.chance.uniform(0, latest_s))  # not a wait: the random moment
        self.kill_daemon(pid)

    def assert_exact(self, name="default"):
        size = self.offset(name)
        self.assertEqual(self.out(name=name), sequence(0, size))
        return size


class SetUp(KillCase):
    def kill_in(self, command, pause, round_number):
        """Returns whether the instance came to be."""
        name = f"i{round_number}"
        self.pwemu("ls")  # a daemon
        daemon = self.daemon_pid()
        words = ("--pause",) if pause else ()
        delays = contextlib.nullcontext() if REAL else self.knobs(DELAY=f"{command}:{DELAY_MS}")
        with delays:
            start = self.popen("-q", "-i", name, "start", TARGET, "-f", self.board.firmware("seq.elf"), "--restart", "no", *words)
            # it takes about so long until the command is reached, and while it waits; later it runs
            self.kill_at_random((5 if REAL else 0.4 + DELAY_MS / 1000), daemon)
            self.pwemu("ls")  # the next daemon
            code = start.wait(60)
            there = any(row["name"] == name for row in json.loads(self.pwemu("ls", "-a", "-o", "json")))
            if not there:
                self.assertNotEqual(code, 0, "a start that was well, and nothing is there")
                return False
            wanted = "paused" if pause else "running"
            wait_for(lambda: self.state(name) not in ("starting", "booting"), "it to be started")
        self.assertEqual(self.state(name), wanted, self.info(name)["reason"])
        if pause:
            self.assertEqual(self.offset(name), 0)
            self.on(name, "resume")
        self.wait_output(2000, name)
        self.on(name, "stop")
        self.assertGreater(self.assert_exact(name), 2000)
        self.assertFalse(self.info(name)["end"]["tail_unknown"])
        return True

    def test_set_up(self):
        came = 0
        for number in range(ROUNDS * len(SET_UP)):
            command = SET_UP[number % len(SET_UP)]
            pause = self.chance.random() < 0.4
            with self.subTest(command=command, pause=pause, seed=SEED, number=number):
                came += self.kill_in(command, pause, number)
                self.assert_nothing_left()
        self.assertGreater(came, 0)


class AtWork(KillCase):
    def begin(self, image="seq.elf", *words):
        self.boot(image, *words)
        return self.identity()

    def test_output(self):
        """At clients, in the log; also while nobody brings a daemon back for a moment."""
        identity = self.begin()
        client = self.client("-q", "logs", "-f", "--from", "0")
        for _ in range(8 * ROUNDS):
            self.wait_output(self.board.output // 4)
            self.kill_at_random(0.1)
        self.wait_output(self.board.output // 4)
        self.assertEqual(self.identity(), identity)
        self.on("default", "stop")
        size = self.assert_exact()
        client.finish()
        self.assertIsNone(client.sequence.problem, f"seed {SEED}: {client.words()}")
        self.assertEqual(client.sequence.offset, size)
        self.assertFalse(self.info()["end"]["tail_unknown"])
        self.assert_nothing_left()

    def test_input(self):
        """What a command said was taken reaches the guest, once."""
        identity = self.begin("echo.elf")
        self.see("ready>")
        for number in range(4 * ROUNDS):
            self.pwemu("-q", "send", "-l", f"word-{number:03}")
            self.kill_at_random(0.05)
            self.see(f"got: word-{number:03}", "--from", "boot")
        self.assertEqual(self.identity(), identity)
        out = self.out()
        for number in range(4 * ROUNDS):
            self.assertEqual(out.count(b"got: word-%03d" % number), 1, out)

    def test_pause_resume_reset(self):
        """Either it was done or it was not; the state that is shown is what the guest does."""
        identity = self.begin()
        for number in range(6 * ROUNDS):
            command = self.chance.choice(("pause", "resume", "reset"))
            daemon = self.daemon_pid()
            process = self.popen("-q", command)
            self.kill_at_random(0.03, daemon)
            code = process.wait(60)
            state = wait_for(lambda: self.state() in ("running", "paused") and self.state(), "it to be adopted")
            if code == 0 and command != "reset":
                self.assertEqual(state, {"pause": "paused", "resume": "running"}[command], f"round {number}, seed {SEED}")
            if state == "paused":
                self.assert_silent()
                self.pwemu("resume")
            self.assert_runs()
        self.assertEqual(self.identity(), identity)
        self.on("default", "stop")
        self.assertFalse(self.info()["end"]["tail_unknown"])
        for piece in self.out().split(b"00000000\n")[1:]:
            self.assertEqual((b"00000000\n" + piece)[:-9], sequence(0, len(piece) + 9)[:-9])

    def test_debugger(self):
        """That comes, is there, goes."""
        identity = self.begin()
        for number in range(5 * ROUNDS):
            daemon = self.daemon_pid()
            gdb = self.popen("-q", "gdb-cmds", "break print_hex" if number % 2 else "info registers", "info registers")
            self.kill_at_random(0.6, daemon)
            gdb.wait(60)
            wait_for(lambda: not self.writer("gdb"), "the debugger to be gone")
            self.assert_runs()
        self.assertEqual(self.identity(), identity)
        self.pwemu("-q", "gdb-cmds", "info registers")
        self.assert_runs()
        self.on("default", "stop")
        self.assert_exact()

    def test_stop(self):
        """Once it was asked for it comes to be; without a hole in what was printed."""
        for _ in range(5 * ROUNDS):
            self.begin()
            self.wait_output(2000)
            pids = self.tree()
            daemon = self.daemon_pid()
            process = self.popen("-q", "stop")
            self.kill_at_random(0.05, daemon)
            process.wait(60)
            self.pwemu("ls")
            if self.info()["state"] in ("running", "paused"):  # the daemon has not heard of it
                self.assert_runs()
                self.on("default", "stop")
            self.assertEqual(self.wait_end()["cause"], "stopped")
            self.assertEqual([pid for pid in pids if is_alive(pid)], [])
            out = self.out("--boot", str(self.info()["boot"]))
            self.assertEqual(out, sequence(0, len(out)))
            self.assert_nothing_left()

    def test_emulator_too(self):
        """Both die; the policy brings the next boot, from its first byte on."""
        self.begin("seq.elf", "--restart", "always,delay=10ms")
        for _ in range(1 + min(ROUNDS, 3)):  # a few quick deaths more, and it would be given up
            pids, daemon, before = self.tree(), self.daemon_pid(), self.info()["boot"]
            os.kill(pids[0], signal.SIGKILL)
            self.kill_at_random(0.3, daemon)
            boot = self.wait_boot(before + 1)["boot"]
            self.assertEqual(read_proc(pids[0], "stat"), b"")
            self.wait_output(2000)
            self.assertTrue(self.out("--boot", str(boot)).startswith(sequence(0, 2000)))


if __name__ == "__main__":
    unittest.main()
