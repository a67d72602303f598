# SPDX-License-Identifier: Apache-2.0
"""Lives of instances: start, stop, restart, rm, pause, reset, run."""

import os
import select
import signal

from cases import PROMPT, TARGET, DriverCase, wait_for
from pwemu_fixture import is_alive, read_proc


class Life(DriverCase):
    def test_start_and_stop(self):
        instance = self.boot("hello.elf")
        self.assertEqual((instance["name"], instance["target"], instance["emulator"]), ("default", TARGET, self.board.driver))
        self.assertEqual((instance["state"], instance["boot"], instance["console"]), ("running", 1, self.board.console))
        self.assertEqual([row["name"] for row in instance["channels"]], self.board.channels())
        self.assertEqual(instance["images"], [self.board.firmware("hello.elf")])
        self.assertEqual(instance["project"], self.work)
        self.assertGreater(instance["started_ns"], 0)
        self.assertEqual(os.path.basename(instance["argv"][0]), self.board.program)
        self.assertEqual([row["name"] for row in instance["processes"]], [self.board.driver])
        self.assertIn(f"PWEMU_INSTANCE={instance['id']}:".encode(), read_proc(instance["pid"], "environ"))
        self.see("hello from")
        self.assertEqual(self.out(), f"hello from {self.board.firmware_board}\n".encode())
        pids = self.tree()
        self.on("default", "stop")
        ended = self.info()
        self.assertEqual((ended["state"], ended["end"]["cause"], ended["pid"]), ("ended", "stopped", 0))
        self.assertEqual([pid for pid in pids if is_alive(pid)], [])
        self.assertEqual(self.out(), f"hello from {self.board.firmware_board}\n".encode(), "the log stays")
        self.assert_nothing_left()

    def test_configuration_of_pw_emu(self):
        """The keys of its pigweed.json, and no more, are enough."""
        self.configure("pigweed.json")
        self.boot_echo()
        self.assert_echoes()

    def test_start_again(self):
        first = self.boot("hello.elf")
        self.see("hello from")
        self.on("default", "stop")
        again = self.boot("echo.elf")
        self.assertEqual((again["id"], again["boot"], again["end"]), (first["id"], 2, None))
        self.see("ready>")
        self.assert_echoes()

    def test_stop_is_over(self):
        """The grace of a stop that has not taken it all means nothing to the next boot."""
        for _ in range(3):
            self.boot_echo()
            self.assert_echoes()
            self.on("default", "stop", "--grace", "400ms")

    def test_restart(self):
        """As it was started; with a target as one says."""
        first = self.boot_echo()
        self.on("default", "restart")
        second = self.info()
        self.assertEqual((second["id"], second["boot"], second["images"]), (first["id"], 2, first["images"]))
        self.assertNotEqual(second["pid"], first["pid"])
        self.assertFalse(is_alive(first["pid"]))
        self.see("ready>")
        self.assert_echoes("again")
        self.on("default", "restart", TARGET, "-f", self.board.firmware("hello.elf"))
        self.see("hello from")
        self.assertEqual(self.info()["boot"], 3)

    def test_rm(self):
        instance = self.boot("hello.elf")
        self.refused("rm", says="stop it first")
        self.on("default", "stop")
        log = self.channel()["log"]
        self.assertTrue(os.path.exists(log))
        self.pwemu("rm")
        self.assertFalse(os.path.exists(os.path.dirname(log)))
        self.assertEqual(self.pwemu("ls", "-a", "-o", "json").strip(), "[]")
        instance = self.boot("hello.elf", name="forced")
        self.on("forced", "rm", "--force")
        self.assertFalse(is_alive(instance["pid"]))
        self.assert_nothing_left()

    def test_two_at_once(self):
        for name in ("one", "two"):
            self.boot_echo(name=name)
        for name in ("one", "two"):
            self.assert_echoes("I am " + name, name)
        self.assertNotIn(b"two", self.out(name="one"))
        self.on("one", "stop")
        self.assert_echoes("still there", "two")
        self.pwemu("stop", "--all")
        self.assert_nothing_left()

    def test_already_running(self):
        before = self.boot_echo()
        self.refused("start", TARGET, "-f", self.board.firmware("echo.elf"), says="running")
        self.assertEqual(self.info()["pid"], before["pid"])
        self.assert_echoes()


class Pausing(DriverCase):
    def test_start_paused(self):
        """Not a byte before the resume, then all of them."""
        instance = self.boot("seq.elf", "--pause")
        self.assertEqual((instance["state"], instance["started_ns"]), ("paused", 0))
        self.assert_silent()
        self.assertEqual(self.out(), b"")
        self.pwemu("resume")
        self.assert_runs()
        self.assertEqual(self.out()[:18], b"00000000\n00000001\n")
        self.assertGreater(self.info()["started_ns"], 0)

    def test_pause_and_resume(self):
        self.boot("seq.elf")
        for _ in range(3):
            self.wait_output(1000)
            self.pwemu("pause")
            self.pwemu("pause")
            self.assert_silent()
            self.pwemu("resume")
            self.assert_runs()

    def test_input_while_paused(self):
        """It waits for the guest."""
        self.boot_echo()
        self.pwemu("pause")
        offset = self.pwemu("send", "-l", "while it is paused").strip()
        self.assert_silent()
        self.pwemu("resume")
        self.see("got: while it is paused", "--from", offset)

    def test_reset(self):
        """Output begins anew in the same boot, with the same process."""
        before = self.boot("seq.elf")
        for times in (2, 3):
            self.wait_output(100)
            self.pwemu("reset")
            self.wait_count(b"00000000\n", times)
        after = self.info()
        self.assertEqual((after["boot"], after["pid"], after["state"]), (1, before["pid"], "running"))
        self.boot_echo(name="echo")
        self.on("echo", "reset")
        self.wait_count(PROMPT, 2, "echo")
        self.assert_echoes("after the reset", "echo")

    def test_reset_while_paused(self):
        """It stays paused, and begins anew at the resume."""
        self.boot("seq.elf")
        self.wait_output(100)
        self.pwemu("pause")
        self.pwemu("reset")
        self.assert_silent()
        self.pwemu("resume")
        self.wait_count(b"00000000\n", 2)

    def test_stop_while_paused(self):
        """Also with output that nobody has read, and one that never ran."""
        self.boot("seq.elf")
        self.wait_output(self.board.output)
        self.pwemu("pause")
        self.boot("seq.elf", "--pause", name="never")
        for name in ("default", "never"):
            self.on(name, "stop")
            self.assertEqual(self.info(name)["end"]["cause"], "stopped")
        self.assert_nothing_left()


class Run(DriverCase):
    """The exit codes of `pwemu run`, and what is left."""

    def run_it(self, program, *words, code=0):
        return self.pwemu("run", TARGET, self.board.firmware(program), *words, code=code)

    def test_expect(self):
        out = self.run_it("hello.elf", "--expect", "hello (from|of)", "--result", "verdict", "--timeout", "60s")
        self.assertEqual(out, f"hello from {self.board.firmware_board}\n")
        self.assertEqual(self.text("verdict").strip(), "passed")
        self.assert_nothing_left()

    def test_fail(self):
        self.run_it("hello.elf", "--expect", "never seen", "--fail", "hello", "--result", "verdict", "--timeout", "60s", code=1)
        self.assertEqual(self.text("verdict").strip(), "failed")
        self.assert_nothing_left()

    def test_timeout(self):
        self.run_it("silent.elf", "--timeout", "300ms", "--result", "verdict", code=124)
        self.assertEqual(self.text("verdict").strip(), "timeout")
        self.run_it("hello.elf", "--expect", "never seen", "--timeout", "500ms", code=124)
        self.assert_nothing_left()

    def test_rm(self):
        self.run_it("hello.elf", "--rm", "--expect", "hello", "--timeout", "60s")
        self.assertEqual(self.pwemu("ls", "-a", "-o", "json").strip(), "[]")

    def test_signals(self):
        """The instance is stopped first, then it is 128+n."""
        for number in (signal.SIGINT, signal.SIGTERM):
            process = self.popen("run", TARGET, self.board.firmware("echo.elf"))
            self.read_until(process, PROMPT)
            process.send_signal(number)
            self.assertEqual(process.wait(60), 128 + number)
            self.assert_nothing_left()

    def test_killed_client(self):
        process = self.popen("run", TARGET, self.board.firmware("echo.elf"))
        self.read_until(process, PROMPT)
        process.kill()
        self.assert_nothing_left()

    def test_interrupted_start(self):
        """At whatever moment of the start the user loses patience: nothing is left."""
        for part in range(5):
            process = self.popen("run", TARGET, self.board.firmware("seq.elf"))
            select.select([], [], [], self.board.start_s * part / 4)  # the moment
            process.send_signal(signal.SIGINT)
            process.stdout.close()
            self.assertNotEqual(process.wait(60), 0)
            self.assert_nothing_left()

    def test_many_at_once(self):
        """Each is an instance of its own."""
        processes = [self.popen("run", TARGET, self.board.firmware("hello.elf"), "--expect", "hello", "--timeout", "60s") for _ in range(3)]
        for process in processes:
            self.assertEqual(process.wait(120), 0)
            self.assertEqual(process.stdout.read(), f"hello from {self.board.firmware_board}\n".encode())
        self.assert_nothing_left()

    def test_emulator_is_killed(self):
        process = self.popen("-i", "victim", "run", TARGET, self.board.firmware("echo.elf"), "--result", "verdict")
        self.read_until(process, PROMPT)
        os.kill(self.info("victim")["pid"], signal.SIGKILL)
        self.assertEqual(process.wait(60), 128 + signal.SIGKILL)
        wait_for(lambda: os.path.exists(self.path("verdict")), "the verdict")
        self.assertEqual(self.text("verdict").strip(), "emulator-crash")
        self.assert_nothing_left()
