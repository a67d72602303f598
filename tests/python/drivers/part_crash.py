# SPDX-License-Identifier: Apache-2.0
"""The daemon dies, and comes again: emulators, bytes and what they do are where they were."""

import json
import os
import select
import signal

from cases import TARGET, DriverCase, wait_for
from pwemu_fixture import is_alive, read_proc, sequence

KILLS = 6


class DaemonDies(DriverCase):
    def test_bytes(self):
        """Again and again, under a guest that prints without pause: one emulator, and no byte lost, doubled or torn for anybody."""
        self.boot("seq.elf")
        before = self.identity()
        clients = [self.client("-q", "logs", "-f"), self.client("-q", "term", "--read-only", "--from", "0")]
        for _ in range(KILLS):
            self.wait_output(self.board.output // 4)
            self.kill_daemon()
            self.assertEqual(self.identity(), before)
        self.wait_output(self.board.output // 4)
        self.on("default", "stop")
        size = self.offset()
        for client in clients:
            client.finish()
            self.assertIsNone(client.sequence.problem, client.name)
            self.assertEqual(client.sequence.offset, size, f"{client.name}: {client.words()}")
        self.assertEqual(self.out(), sequence(0, size))
        self.assertEqual(self.info()["boot"], 1)
        self.assert_nothing_left()

    def test_nobody_for_a_while(self):
        """What the guest prints meanwhile is there, or it has waited."""
        self.boot("seq.elf")
        self.wait_output(1000)
        self.kill_daemon()
        select.select([], [], [], 0.5)  # the while
        self.wait_output(self.board.output)
        self.on("default", "stop")
        size = self.offset()
        self.assertEqual(self.out(), sequence(0, size))


class Adoption(DriverCase):
    def test_running(self):
        self.boot_echo()
        before = self.identity()
        for word in ("one", "two"):
            self.kill_daemon()
            self.assertEqual((self.identity(), self.info()["boot"]), (before, 1))
            wait_for(lambda: self.state() == "running", "it to be known as running")
            self.assert_echoes(word)
        self.assertEqual(self.out().count(b"got: one"), 1)

    def test_paused(self):
        self.boot("seq.elf", "--pause")
        before = self.identity()
        self.kill_daemon()
        self.assertEqual(self.identity(), before)
        self.assert_silent()
        self.assertEqual(self.out(), b"")
        self.pwemu("resume")
        self.assert_runs()
        self.pwemu("pause")
        self.kill_daemon()
        self.assert_silent()
        self.pwemu("resume")  # at once
        self.assert_runs()
        self.on("default", "stop")
        size = self.offset()
        self.assertEqual(self.out(), sequence(0, size))

    def test_control(self):
        """All that one can ask an emulator works after an adoption."""
        self.boot("seq.elf")
        self.wait_output(100)
        number = self.board.number
        before = self.pwemu("prop-get", number.path, number.name)
        self.kill_daemon()
        self.assertEqual(self.pwemu("prop-get", number.path, number.name), before)
        self.kill_daemon()
        self.pwemu("reset")
        self.wait_count(b"00000000\n", 2)
        self.kill_daemon()
        self.pwemu("pause")
        self.assert_silent()
        self.kill_daemon()
        self.pwemu("load", self.board.firmware("echo.elf"))
        self.see("ready>")
        self.kill_daemon()
        self.assert_echoes()
        self.kill_daemon()
        self.on("default", "stop")
        self.assert_nothing_left()

    def test_stopped_by_the_user(self):
        """The daemon ends, the instance runs on."""
        self.boot_echo()
        before = self.identity()
        self.pwemu("-q", "daemon", "stop")
        self.assertTrue(is_alive(before[0]))
        self.assertEqual(self.identity(), before)
        self.assert_echoes()
        self.pwemu("-q", "daemon", "restart")
        self.assertEqual(self.identity(), before)
        self.assert_echoes("again")

    def test_emulator_dies_meanwhile(self):
        """How it ended is known afterwards."""
        pid = self.boot("hello.elf")["pid"]
        self.see("hello from")
        self.kill_daemon()
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not is_alive(pid), "the emulator to end")
        end = self.wait_end()
        self.assertEqual((end["cause"], end["signal"]), ("killed", signal.SIGKILL))
        self.assertIn(b"hello from", self.out())
        self.assert_nothing_left()

    def test_killed_during_starts(self):
        """At whatever moment: it runs under the next daemon, or it is over and nothing is left of it."""
        running = []
        for part in range(6):
            name = f"n{part}"
            pid = self.daemon_pid()
            process = self.popen("-q", "-i", name, "start", TARGET, "-f", self.board.firmware("echo.elf"))
            select.select([], [], [], self.board.start_s * part / 5)  # the moment
            self.kill_daemon(pid)
            process.wait(60)
        for row in wait_for(self.settled, "all instances to be running or over"):
            if row["state"] == "running":
                self.assertIn(f"PWEMU_INSTANCE={row['id']}:".encode(), read_proc(row["pid"], "environ"))
                running.append(row["name"])
        for name in running:
            self.see("ready>", name=name)
            self.assert_echoes(name=name)
            self.on(name, "stop")
        self.assert_nothing_left()
        self.boot_echo(name="n0")
        self.assert_echoes(name="n0")

    def settled(self):
        rows = json.loads(self.pwemu("ls", "-a", "-o", "json"))
        return None if any(row["state"] in ("starting", "stopping") for row in rows) else rows or [{"state": "ended"}]
