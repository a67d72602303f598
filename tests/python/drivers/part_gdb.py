# SPDX-License-Identifier: Apache-2.0
"""Debuggers: real gdb, by `pwemu gdb-cmds`, `pwemu gdb`, a pipe and a port; what is left when one goes, whichever way."""

import os
import signal

from cases import DriverCase, wait_for
from gdb_client import HOT, Mi, children


class DebugCase(DriverCase):
    def setUp(self):
        super().setUp()
        self.image = self.board.firmware("seq.elf")

    def mi(self):
        return Mi(self, self.image, dict(self.environment))

    def connected(self):
        """Through a pipe, as no port is needed."""
        mi = self.mi()
        mi.console(f"cd {self.work}")
        mi.console("target extended-remote | pwemu -q pipe gdb")
        return mi

    def broken_in(self):
        """A debugger that stands at a breakpoint."""
        mi = self.connected()
        mi.run(f"-break-insert {HOT}")
        mi.run("-exec-continue")
        mi.stopped("breakpoint-hit")
        return mi

    def wait_free(self):
        wait_for(lambda: not self.writer("gdb"), "the debugger to be gone")

    def pause(self):
        self.pwemu("pause")
        return self.place()

    def place(self):
        """Where a paused guest stands."""
        out = self.pwemu("-q", "gdb-cmds", "-p", "info registers")
        self.assertEqual(self.state(), "paused")
        return out, self.offset()


class Commands(DebugCase):
    def test_cmds(self):
        self.boot("seq.elf")
        out = self.pwemu("-q", "gdb-cmds", "print 6*7", "info line main", "info registers pc")
        self.assertIn("= 42", out)
        self.assertIn("<main>", out)
        self.assertRegex(out, r"pc +0x80000[0-9a-f]{2}")
        self.assert_runs()
        self.assertIn("nonsense", self.refused_cmds("nonsense"))
        self.assertEqual(self.run_any("gdb-cmds", "quit 5").returncode, 5)
        self.assert_runs()

    def refused_cmds(self, *words):
        done = self.run_any("gdb-cmds", *words)
        self.assertNotEqual(done.returncode, 0)
        return done.err

    def test_breakpoint_of_cmds(self):
        self.boot("seq.elf")
        out = self.pwemu("-q", "gdb-cmds", f"break {HOT}", "continue", "print value")
        self.assertIn("Breakpoint 1", out)
        self.assert_runs()

    def test_cmds_leave_it_paused(self):
        self.boot("seq.elf")
        before = self.pause()
        self.pwemu("-q", "gdb-cmds", f"break {HOT}", "info registers")
        self.assertEqual(self.state(), "paused")
        self.assertEqual(self.place(), before)
        self.pwemu("resume")
        self.assert_runs()

    def test_cmds_pause(self):
        self.boot("seq.elf")
        self.pwemu("-q", "gdb-cmds", "--pause", "info registers")
        self.assert_silent()
        before = self.place()
        self.pwemu("-q", "gdb-cmds", "-p", "print 1")
        self.assertEqual(self.place(), before)
        self.pwemu("resume")
        self.assert_runs()

    def test_before_the_first_instruction(self):
        """Who starts it paused is the first; nothing has run."""
        self.boot("seq.elf", "--pause")
        out = self.pwemu("-q", "gdb-cmds", "tbreak main", "continue", "print 1")
        self.assertIn("Temporary breakpoint 1, main", out)
        self.assertEqual(self.state(), "paused")
        self.assertEqual(self.out(), b"")
        self.pwemu("resume")
        self.assert_runs()

    def test_gdb(self):
        self.boot("seq.elf")
        out = self.pwemu("-q", "gdb", "--", "-nx", "-batch", "-ex", "info files", "-ex", "print $sp")
        self.assertIn(self.image, out)
        self.assert_runs()
        self.on("default", "stop")
        for words in (("gdb",), ("gdb-cmds", "print 1")):
            self.assertIn("not running", self.run_any(*words).err)


class Leaving(DebugCase):
    """Every way a debugger goes."""

    def test_detach(self):
        self.boot("seq.elf")
        mi = self.broken_in()
        self.assertEqual(self.state(), "paused")
        self.assertTrue(self.writer("gdb"))
        mi.run("-target-detach")
        self.assert_runs()
        mi.exit()
        self.assert_runs()

    def test_disconnect_and_exit(self):
        self.boot("seq.elf")
        for how in ("-target-disconnect", "-gdb-exit"):
            mi = self.broken_in()
            mi.run(how, wanted=None)
            self.wait_free()
            self.assert_runs()

    def test_leaves_it_paused(self):
        """It was paused; the debugger has done nothing."""
        self.boot("seq.elf")
        before = self.pause()
        for how in ("-target-detach", "-target-disconnect", "-gdb-exit", ""):
            mi = self.connected()
            mi.run(f"-break-insert {HOT}")
            if how:
                mi.run(how, wanted=None)
            mi.end()
            self.wait_free()
            self.assertEqual(self.place(), before, how)
        self.pwemu("resume")
        self.assert_runs()

    def test_killed_at_a_breakpoint(self):
        self.boot("seq.elf")
        for _ in range(2):
            mi = self.broken_in()
            mi.process.kill()
            self.wait_free()
            self.assert_runs()

    def test_killed_while_running(self):
        self.boot("seq.elf")
        mi = self.connected()
        mi.run("-break-insert main")
        mi.run("-exec-continue")
        self.assert_runs()
        mi.process.kill()
        self.wait_free()
        self.assert_passes_main()

    def assert_passes_main(self):
        """A breakpoint that was left there would be met now."""
        self.assert_runs()
        self.pwemu("reset")
        self.wait_count(b"00000000\n", 2)
        self.assert_runs()

    def test_interrupt(self):
        """Ctrl-C, then the end of the connection: no CPU stands still."""
        self.boot("seq.elf")
        for how in ("-target-detach", "-target-disconnect", ""):
            mi = self.connected()
            mi.run("-exec-continue")
            self.assert_runs()
            mi.run("-exec-interrupt")
            mi.stopped("SIGINT")
            self.assertEqual(self.state(), "paused")
            if how:
                mi.run(how, wanted=None)
            mi.end()
            self.wait_free()
            self.assert_runs()

    def test_pipe_is_killed(self):
        self.boot("seq.elf")
        mi = self.broken_in()
        pipe = next(pid for pid, text in children(mi.process.pid) if text.startswith(b"pwemu\0"))
        os.kill(pipe, signal.SIGKILL)
        self.wait_free()
        self.assert_runs()

    def test_daemon_is_killed(self):
        self.boot("seq.elf")
        for how in ("at the breakpoint", "running"):
            mi = self.broken_in()
            if how == "running":
                mi.run("-break-delete")
                mi.run("-break-insert main")
                mi.run("-exec-continue")
            self.kill_daemon()
            self.assert_runs()
            mi.end()
        self.assert_passes_main()

    def test_daemon_is_killed_paused(self):
        self.boot("seq.elf")
        before = self.pause()
        mi = self.connected()
        mi.run(f"-break-insert {HOT}")
        self.kill_daemon()
        mi.end()
        self.wait_free()
        self.assertEqual(self.place(), before)
        self.pwemu("resume")
        self.assert_runs()

    def test_emulator_dies(self):
        self.boot("seq.elf")
        mi = self.broken_in()
        os.kill(self.info()["pid"], signal.SIGKILL)
        self.assertEqual(self.wait_end()["cause"], "killed")
        mi.end()
        self.assert_nothing_left()

    def test_stop_under_a_debugger(self):
        self.boot("seq.elf")
        mi = self.broken_in()
        self.on("default", "stop")
        self.assertEqual(self.info()["end"]["cause"], "stopped")
        mi.end()
        self.assert_nothing_left()
