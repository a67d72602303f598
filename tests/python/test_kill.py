# SPDX-License-Identifier: Apache-2.0
"""The daemon is killed again and again, at random moments of its life and of its adoption, under guests that print numbered lines
without pause. The clients that are attached start the next daemon, as users' clients do. No byte is lost, doubled or torn, neither in
the logs nor at any client, and the emulators are the same from the first daemon to the last.

KILLS: how many, default 300. KILL_SEED: at which moments (what else happens meanwhile stays random)."""

import json
import os
import random
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from pwemu_fixture import PWEMU, firmware, processes_with, read_proc, wait_for  # noqa: E402
from sequence_client import PATIENCE_S, Client, Sequence  # noqa: E402

KILLS = int(os.environ.get("KILLS", "300"))
SEED = int(os.environ.get("KILL_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)
LATEST_S = (0.06, 0.015)  # after a new daemon was seen: at work, and in its adoption
DEADLINE_S = 120 + KILLS


class Kills(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="pwemu-kill-")
        self.environment = dict(
            os.environ, XDG_RUNTIME_DIR=self.dir, XDG_STATE_HOME=self.dir, XDG_CONFIG_HOME=self.dir, HOME=self.dir, PWEMU_TEST_DIR=self.dir
        )
        self.clients = []
        self.last_pid = 0
        self.addCleanup(self.clean_up)

    def clean_up(self):
        self.pwemu("-q", "daemon", "stop", "--with-instances", check=False)
        for client in self.clients:
            client.close()
        for pid in processes_with(self.dir):
            os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.dir, ignore_errors=True)

    def pwemu(self, *words, check=True):
        done = subprocess.run(
            [PWEMU, *words], env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE_S, check=False
        )
        if check and done.returncode != 0:
            raise AssertionError(f"pwemu {' '.join(words)}: {done.returncode} {done.stderr.decode(errors='replace')}")
        return done.stdout

    def client(self, *words):
        self.clients.append(Client(self, *words))
        return self.clients[-1]

    def status(self, name):
        return json.loads(self.pwemu("-q", "-i", name, "status", "-o", "json"))

    def test_kills(self):
        chance = random.Random(SEED)
        self.client("-i", "riscv", "run", "qemu-riscv32-virt", firmware("seq.elf", "riscv32-virt"))
        self.pwemu("-q", "-i", "arm", "start", "qemu-lm3s6965evb", "-f", firmware("seq.elf"))
        wait_for(lambda: self.clients[0].sequence.offset > 0, "the RISC-V guest", PATIENCE_S)
        for name in ("arm", "riscv"):
            self.client("-i", name, "term", "--from", "0", "--read-only")
            self.client("-i", name, "logs", "-f", "--from", "0")
        wait_for(lambda: all(client.sequence.offset > 0 for client in self.clients), "all clients to see something", PATIENCE_S)
        emulators = {name: self.identity(name) for name in ("arm", "riscv")}
        end = time.monotonic() + DEADLINE_S
        before = self.times_served()
        for number in range(KILLS):
            self.kill_daemon(chance.uniform(0, LATEST_S[number % 2]))
            self.check_clients(number)
            self.assertLess(time.monotonic(), end, f"{number} kills took too long")
        served = self.times_served() - before
        print(f"{KILLS} daemons killed, {KILLS - served} of them before they served, seed {SEED}", file=sys.stderr)
        self.assertEqual({name: self.identity(name) for name in emulators}, emulators, "the emulators are the same")
        self.check_end()

    def identity(self, name):
        pid = self.status(name)["pid"]
        return pid, read_proc(pid, "stat").rsplit(b")", 1)[1].split()[19]

    def times_served(self):
        with open(os.path.join(self.dir, "pwemu/pwemud.log"), "rb") as file:
            return file.read().count(b" serves ")

    def new_daemon(self):
        """The pid of a daemon that was not there before, from its lock file; 0 if there is none."""
        words = b""
        try:
            with open(os.path.join(self.dir, "pwemu/daemon.lock"), "rb") as file:
                words = file.read().split()
        except FileNotFoundError:
            pass
        pid = int(words[1].rstrip(b",")) if len(words) > 1 else 0
        return pid if pid != self.last_pid and b"pwemud" in read_proc(pid, "cmdline") else 0

    def kill_daemon(self, delay):
        deadline = time.monotonic() + PATIENCE_S
        while (pid := self.new_daemon()) == 0:
            self.assertLess(time.monotonic(), deadline, f"no client starts a daemon: {self.client_words()}")
            select.select([], [], [], 0.001)
        select.select([], [], [], delay)  # the random moment
        descriptor = os.pidfd_open(pid)
        try:
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            self.assertTrue(select.select([descriptor], [], [], PATIENCE_S)[0])
        finally:
            os.close(descriptor)
        self.last_pid = pid

    def client_words(self):
        return "\n".join(f"{client.name} ({client.process.poll()}): {client.words()}" for client in self.clients)

    def check_clients(self, number):
        for client in self.clients:
            self.assertIsNone(client.sequence.problem, f"{client.name} after {number} kills, seed {SEED}")
            self.assertIsNone(client.process.poll(), f"{client.name} left after {number} kills, seed {SEED}: {client.words()}")

    def check_end(self):
        logs = {}
        for name in ("arm", "riscv"):
            row = next(row for row in self.status(name)["channels"] if row["name"] == "serial0")
            self.pwemu("-q", "-i", name, "stop")
            logs[name] = self.check_log(row["log"])
        for client in self.clients:
            client.finish()
            self.assertIsNone(client.sequence.problem, f"{client.name}, seed {SEED}")
            name = client.name.split()[1]
            self.assertEqual(client.sequence.offset, logs[name], f"{client.name} has all of the log, seed {SEED}: {client.words()}")
        for client in self.clients:
            print(f"{client.name:60.60} {client.sequence.offset:12d} bytes, complete and in order", file=sys.stderr)
        self.assertEqual([pid for pid in processes_with(self.dir) if b"pwemud" not in read_proc(pid, "cmdline")], [])

    def check_log(self, path):
        """The size; what is kept of it is right."""
        with open(path, "rb") as file:
            sequence = Sequence(os.lseek(file.fileno(), 0, os.SEEK_DATA))
            os.lseek(file.fileno(), sequence.offset, os.SEEK_SET)
            while data := file.read(1 << 20):
                sequence.take(data)
        self.assertIsNone(sequence.problem, f"{path}, seed {SEED}")
        print(f"{path:60.60} {sequence.offset:12d} bytes, complete and in order", file=sys.stderr)
        return sequence.offset


if __name__ == "__main__":
    unittest.main()
