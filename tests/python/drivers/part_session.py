# SPDX-License-Identifier: Apache-2.0
"""Sessions of debuggers: one at a time, one after the other, as IDEs have them, and beside others who use the instance."""

import os
import signal
import subprocess

from cases import wait_for
from gdb_client import GDB, HOT, children, children_text
from part_gdb import DebugCase


class Sessions(DebugCase):
    def test_second_is_refused(self):
        self.boot("seq.elf")
        mi = self.broken_in()
        done = self.run_any("gdb-cmds", "info registers")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("client of", done.err)
        self.refused("pipe", "gdb", says="client of")
        mi.run("-data-list-register-values x 1")  # the first one has not noticed
        mi.exit()
        self.wait_free()
        self.pwemu("-q", "gdb-cmds", "info registers")
        self.assert_runs()

    def test_port(self):
        """Session after session at one port."""
        self.boot("seq.elf", "--tcp", "gdb")
        port = self.channel("gdb")["port"]
        for _ in range(2):
            mi = self.mi()
            mi.run(f"-target-select extended-remote 127.0.0.1:{port}")
            mi.run(f"-break-insert {HOT}")
            mi.run("-exec-continue")
            mi.stopped("breakpoint-hit")
            done = subprocess.run([GDB, "-nx", "-batch", "-ex", f"target remote 127.0.0.1:{port}"], capture_output=True, timeout=60,
                                  stdin=subprocess.DEVNULL, env=self.environment, check=False)
            self.assertNotEqual(done.returncode, 0)
            mi.process.kill()
            self.wait_free()
            self.assert_runs()

    def test_session_of_an_ide(self):
        """Reset, load, run to main, step, look, break in, reset again; then its stop button."""
        self.boot("seq.elf")
        for _ in range(2):
            mi = self.connected()
            mi.console("monitor reset halt")
            mi.run("-target-download")
            mi.console("monitor reset halt")
            mi.console("maintenance flush register-cache")
            self.assertEqual(mi.number_of("$pc"), mi.number_of("&start") & ~1)
            mi.run("-break-insert -t --function main")
            mi.run("-exec-continue")
            mi.stopped("main")
            mi.run(f"-break-insert {HOT}")
            mi.run("-exec-continue")
            mi.stopped("breakpoint-hit")
            mi.run("-exec-next")
            mi.stopped("end-stepping-range")
            mi.run("-break-delete")
            mi.run("-exec-continue")
            mi.run("-exec-interrupt")
            mi.stopped("SIGINT")
            mi.console("monitor reset")
            mi.run("-target-disconnect")
            mi.exit()
            self.wait_free()
            self.assert_runs()

    def test_commands_of_pwemu_meanwhile(self):
        """Pause and resume by others; what they say last holds."""
        self.boot("seq.elf")
        mi = self.connected()
        self.pwemu("pause")
        mi.exit()
        self.wait_free()
        self.assert_silent()
        mi = self.connected()
        self.pwemu("resume")
        mi.exit()
        self.assert_runs()

    def test_gdb_of_pwemu_is_killed(self):
        """`pwemu gdb` dies while its guest stands at a breakpoint."""
        self.boot("seq.elf")
        gdb = self.popen("gdb", "--", "-nx", "-batch", "-ex", f"break {HOT}", "-ex", "continue", "-ex", "shell exec sleep 60")
        wait_for(lambda: b"sleep" in children_text(gdb.pid), "the breakpoint to be hit")
        below = [pid for pid, _ in children(gdb.pid)]
        gdb.kill()
        self.assert_runs()
        for pid in below:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
