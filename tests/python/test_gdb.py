# SPDX-License-Identifier: Apache-2.0
"""The debugger's channel and the monitors: real gdb, real QEMU; what is left when a debugger goes, whichever way."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from gdb_client import GDB, HOT, Mi, Stub, children, children_text, packet  # noqa: E402
from pwemu_fixture import (  # noqa: E402
    BUILD,
    PATH,
    Attachment,
    Case,
    channels_pb2,
    firmware,
    grpc,
    instances_pb2,
    targets_pb2,
    wait_for,
)

PWEMU = os.path.join(BUILD, "bin/pwemu")
Code = grpc.StatusCode
RUNNING, PAUSED = instances_pb2.STATE_RUNNING, instances_pb2.STATE_PAUSED
BOARDS = (("qemu-lm3s6965evb", "lm3s6965evb"), ("qemu-mps2-an385", "mps2-an385"), ("qemu-riscv32-virt", "riscv32-virt"))


class DebugCase(Case):
    def setUp(self):
        super().setUp()
        self.attachments = []
        self.addCleanup(lambda: [attachment.close() for attachment in self.attachments])

    # ---- the instance

    def start_debugged(self, image="seq.elf", board=BOARDS[0], **fields):
        fields.setdefault("endpoints", [targets_pb2.Endpoint(channel="gdb", type="tcp")])
        name, directory = board
        self.image = firmware(image, directory)
        return self.start(self.image, board=name, **fields)

    def port(self, channel="gdb"):
        return next(row.port for row in self.get().channels if row.name == channel)

    def act(self, what):
        request = getattr(instances_pb2, what + "Request")(instance=self.ref())
        return getattr(self.instances, what)(request, timeout=30)

    def wait_state(self, state):
        wait_for(lambda: self.get().state == state, f"state {state}")

    def holder(self, channel="gdb"):
        return next(row.writer for row in self.get().channels if row.name == channel)

    def wait_free(self):
        wait_for(lambda: not self.holder(), "the debugger to be gone")

    def qmp(self, command, **arguments):
        """As Python's QMP clients do: without waiting for the greeting."""
        attachment = Attachment(self, "qmp", write=True)
        self.assertTrue(attachment.opened, attachment.error)
        attachment.send(b'{"execute": "qmp_capabilities"}\n')
        attachment.send(json.dumps({"execute": command, "arguments": arguments, "id": "x"}).encode() + b"\n")
        attachment.wait_output(b'"id": "x"')
        attachment.close()
        wait_for(lambda: not self.holder("qmp"), "the monitor to be free")
        line = next(line for line in attachment.output.splitlines() if b'"id": "x"' in line)
        return json.loads(line)["return"]

    def registers(self):
        return self.qmp("human-monitor-command", **{"command-line": "info registers"})

    def assert_runs(self):
        """No breakpoint is in its way."""
        self.wait_state(RUNNING)
        begin = self.offset()
        wait_for(lambda: self.offset() > begin + 9000, "the guest to go on")
        self.assertEqual(self.get().state, RUNNING)

    def assert_same(self, registers, offset):
        """Not one instruction was executed."""
        self.assertEqual(self.get().state, PAUSED)
        self.assertEqual(self.registers(), registers)
        self.assertEqual(self.offset(), offset)

    def pause(self):
        self.act("Pause")
        self.wait_state(PAUSED)
        seen = [-1]

        def is_still():
            """What was printed last may still be on its way to the log."""
            seen.append(self.offset())
            return seen[-1] == seen[-2]

        wait_for(is_still, "its output")
        return self.registers(), self.offset()

    # ---- clients

    def environment_of_client(self):
        return dict(os.environ, HOME=self.dir, XDG_CONFIG_HOME=self.dir, PATH=f"{BUILD}/bin:{PATH}", PWEMU_TEST_DIR=self.dir)

    def pwemu(self, *arguments, **options):
        options.setdefault("env", self.environment_of_client())
        return subprocess.run(
            [PWEMU, "-H", "unix:" + self.daemon.socket, *arguments], stdin=subprocess.DEVNULL, capture_output=True, timeout=60, **options
        )

    def popen(self, *arguments, **options):
        process = subprocess.Popen(
            [PWEMU, "-H", "unix:" + self.daemon.socket, *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=self.environment_of_client(), **options,
        )

        def end():
            if process.poll() is None:
                process.kill()
            process.communicate()

        self.addCleanup(end)
        return process

    def mi(self, image=None):
        return Mi(self, image or self.image)

    def connected(self, how="extended-remote"):
        mi = self.mi()
        mi.run(f"-target-select {how} 127.0.0.1:{self.port()}")
        return mi


class Leaving(DebugCase):
    """Every way a debugger goes, from a guest that ran and from one that was paused."""

    def broken_in(self):
        """A debugger that stands at a breakpoint."""
        mi = self.connected()
        mi.run(f"-break-insert {HOT}")
        mi.run("-exec-continue")
        mi.stopped("breakpoint-hit")
        return mi

    def test_detach_from_running(self):
        self.start_debugged()
        mi = self.broken_in()
        self.assertEqual(self.get().state, PAUSED)
        self.assertIn("tcp client of uid", self.holder())
        mi.run("-target-detach")
        self.assert_runs()
        mi.exit()
        self.assert_runs()

    def test_detach_from_paused(self):
        self.start_debugged()
        before = self.pause()
        mi = self.connected()
        mi.run(f"-break-insert {HOT}")
        mi.run("-target-detach")
        self.assert_same(*before)
        mi.exit()
        self.wait_free()
        self.assert_same(*before)
        self.act("Resume")
        self.assert_runs()

    def test_exit_from_paused(self):
        self.start_debugged()
        before = self.pause()
        self.connected("remote").exit()
        self.wait_free()
        self.assert_same(*before)

    def test_disconnect(self):
        self.start_debugged()
        mi = self.broken_in()
        mi.run("-target-disconnect")
        self.wait_free()
        self.assert_runs()

    def test_kill_is_a_detach(self):
        self.start_debugged()
        instance = self.get()
        for how in ("extended-remote", "remote"):
            mi = self.connected(how)
            mi.run(f"-break-insert {HOT}")
            mi.run("-exec-continue")
            mi.stopped("breakpoint-hit")
            mi.console("kill")
            self.assert_runs()
            self.assertEqual(self.get().pid, instance.pid)
            mi.exit()
            self.wait_free()

    def test_kill_from_paused(self):
        self.start_debugged()
        before = self.pause()
        mi = self.connected()
        mi.console("kill")
        mi.exit()
        self.wait_free()
        self.assert_same(*before)

    def test_old_kill_packet(self):
        self.start_debugged()
        stub = Stub(self.port())
        self.assertTrue(stub.ask("?").startswith("T05"))
        stub.send("k")
        with self.assertRaises(EOFError):
            stub.receive()
        stub.close()
        self.assert_runs()

    def test_attach_again_on_the_same_connection(self):
        self.start_debugged()
        mi = self.connected()
        mi.run("-target-detach")
        self.assert_runs()
        mi.run("-target-attach 1")
        self.wait_state(PAUSED)
        mi.run(f"-break-insert {HOT}")
        mi.run("-exec-continue")
        mi.stopped("breakpoint-hit")
        mi.run("-target-detach")
        self.assert_runs()

    def test_killed_while_stopped(self):
        self.start_debugged()
        for _ in range(3):
            mi = self.broken_in()
            mi.process.kill()
            self.assert_runs()

    def test_killed_while_running(self):
        self.start_debugged("silent.elf")
        mi = self.connected()
        mi.run("-break-insert main")
        mi.run("-exec-continue")
        self.wait_state(RUNNING)
        mi.process.kill()
        self.wait_free()
        self.wait_state(RUNNING)

    def test_killed_after_paused(self):
        """It has run under the debugger; it was paused before and is again."""
        self.start_debugged()
        self.pause()
        mi = self.connected()
        mi.run("-exec-continue")
        self.assert_runs()
        mi.process.kill()
        self.wait_state(PAUSED)
        self.wait_free()
        self.assertEqual(self.get().state, PAUSED)
        self.act("Resume")
        self.assert_runs()

    def test_pipe_is_killed(self):
        self.start_debugged(endpoints=[])
        for victim in ("gdb", "pipe"):
            gdb = self.popen("gdb", "--", "-nx", "-batch", "-ex", f"break {HOT}", "-ex", "continue", "-ex", "shell exec sleep 60")
            wait_for(lambda: self.get().state == PAUSED and self.holder(), "the debugger to stop it")
            wait_for(lambda: b"sleep" in children_text(gdb.pid), "the breakpoint to be hit")
            pid = gdb.pid if victim == "gdb" else next(pid for pid, text in children(gdb.pid) if b"pipe" in text)
            os.kill(pid, signal.SIGKILL)
            self.assert_runs()
            for child, _ in children(gdb.pid):
                os.kill(child, signal.SIGKILL)
            gdb.kill()
            gdb.wait()

    def test_daemon_is_killed(self):
        self.start_debugged()
        for how in ("at the breakpoint", "running"):
            mi = self.broken_in()
            if how == "running":
                mi.run("-break-delete")
                mi.run("-break-insert start")
                mi.run("-exec-continue")
            self.restart_daemon()
            self.assert_runs()
            mi.end()

    def test_daemon_is_killed_paused(self):
        self.start_debugged()
        before = self.pause()
        mi = self.connected()
        mi.run(f"-break-insert {HOT}")
        self.restart_daemon()
        self.wait_free()
        mi.end()
        mi = self.connected()  # comes after the clean-up
        mi.end()
        self.wait_free()
        self.assert_same(*before)
        self.act("Resume")
        self.assert_runs()

    def test_daemon_is_killed_and_killed_again(self):
        self.start_debugged()
        self.broken_in()
        for _ in range(5):
            self.daemon.kill()
            self.start_daemon(wait=False)
        self.assert_runs()

    def test_emulator_dies(self):
        instance = self.start_debugged()
        mi = self.connected()
        os.kill(instance.pid, signal.SIGKILL)
        self.wait_until_over()
        mi.exit()

    def test_reset_does_not_count(self):
        """Who had it running gets it running, whatever was done."""
        self.start_debugged()
        mi = self.connected()
        mi.console("monitor reset halt")
        mi.exit()
        self.assert_runs()


class Users(DebugCase):
    """Those who pause and resume it while there is a debugger."""

    def test_pause_moves_it(self):
        self.start_debugged()
        mi = self.connected()
        self.act("Pause")
        mi.exit()
        self.wait_free()
        self.assertEqual(self.get().state, PAUSED)

    def test_resume_moves_it(self):
        self.start_debugged()
        self.pause()
        mi = self.connected()
        self.assertEqual(self.act("Resume").state, RUNNING)
        mi.exit()
        self.assert_runs()

    def test_pause_stops_a_debugged_guest(self):
        self.start_debugged("silent.elf")
        mi = self.connected()
        mi.run("-exec-continue")
        self.wait_state(RUNNING)
        self.act("Pause")
        mi.stopped()

    def test_resume_behind_its_back(self):
        """The debugger goes on asking, and its continue ends at the breakpoint that was hit meanwhile."""
        self.start_debugged()
        mi = self.connected()
        mi.run("-gdb-set breakpoint always-inserted on")
        mi.run(f"-break-insert {HOT}")
        self.act("Resume")
        self.wait_state(PAUSED)  # at the breakpoint
        mi.run("-exec-continue")
        mi.stopped()
        mi.run("-break-delete")
        for _ in range(20):
            self.act("Resume")
            mi.run("-data-read-memory-bytes 0x20000000 16")
        self.assert_runs()
        mi.run("-exec-continue")
        mi.run("-exec-interrupt")
        mi.stopped("SIGINT")

    def test_interrupt_at_any_time(self):
        self.start_debugged()
        mi = self.connected()
        for _ in range(30):
            mi.run("-exec-continue")
            mi.run("-exec-interrupt")
            mi.stopped("SIGINT")


class Second(DebugCase):
    def test_second_debugger(self):
        self.start_debugged()
        mi = self.connected()
        begin = time.monotonic()
        result = subprocess.run(
            [GDB, "-nx", "-batch", "-ex", f"target remote 127.0.0.1:{self.port()}"], capture_output=True, timeout=30, stdin=subprocess.DEVNULL
        )
        self.assertLess(time.monotonic() - begin, 10)
        self.assertIn(b"has it", result.stderr)
        self.assertNotEqual(result.returncode, 0)
        result = self.pwemu("gdb-cmds", "info registers")
        self.assertNotEqual(result.returncode, 0)
        self.assertRegex(result.stderr, rb'\Apwemu: instance "default" has a debugger: tcp client of uid .*; one at a time, so end that one first\n\Z')
        self.assertEqual(self.pwemu("gdb", "--", "-nx", "-batch").stderr, result.stderr)  # and nothing of gdb's own
        refused = Attachment(self, "gdb", write=True)
        self.assertEqual(refused.error.code(), Code.FAILED_PRECONDITION)
        self.assertIn(("pwemu-reason", "busy"), [tuple(pair) for pair in refused.error.trailing_metadata()])
        mi.run("-data-list-register-values x 1")  # the first one has not noticed
        mi.exit()
        self.wait_free()
        self.assertEqual(self.pwemu("gdb-cmds", "info registers").returncode, 0)

    def test_next_comes_at_once(self):
        """While what the one before has left is cleaned up."""
        self.start_debugged()
        for _ in range(20):
            stub = Stub(self.port())
            self.assertTrue(stub.ask("?").startswith("T05"))
            stub.close()
            second = Stub(self.port())
            try:
                self.assertIn("PacketSize", second.ask("qSupported:multiprocess+"))
            except EOFError:
                pass  # the first one's close was not seen yet: refused
            second.close()
        self.wait_free()
        self.assert_runs()

    def test_monitors_take_one(self):
        self.start_debugged(endpoints=[targets_pb2.Endpoint(channel=name, type="tcp") for name in ("monitor", "qmp")])
        for name, greeting in (("monitor", b"(qemu)"), ("qmp", b'"QMP"')):
            with socket.create_connection(("127.0.0.1", self.port(name))) as first:
                first.settimeout(30)
                text = b""
                while greeting not in text:
                    text += first.recv(4096)
                with socket.create_connection(("127.0.0.1", self.port(name))) as second:
                    second.settimeout(30)
                    self.assertEqual(second.recv(100), b"")
                refused = Attachment(self, name, write=True)
                self.assertEqual(refused.error.code(), Code.FAILED_PRECONDITION)
                self.assertIn("tcp client of uid", refused.error.details())
            wait_for(lambda channel=name: not self.holder(channel), "it to be free")
        self.assertEqual(self.qmp("query-status")["status"], "running")


class Channels(DebugCase):
    def test_listed(self):
        self.start_debugged(endpoints=[])
        rows = {row.name: row for row in self.get().channels}
        for name in ("gdb", "monitor", "qmp"):
            self.assertEqual(rows[name].kind, name)
            self.assertTrue(rows[name].writable)
            self.assertEqual(rows[name].log, "")

    def test_attach(self):
        self.start_debugged(endpoints=[])
        attachment = Attachment(self, "monitor", write=True)
        self.assertEqual((attachment.opened.offset, attachment.opened.writer), (0, True))
        attachment.wait_output(b"(qemu) ")
        attachment.send(b"info status\n")
        attachment.wait_output(b"VM status: running")
        attachment.close()
        attachment = Attachment(self, "gdb", write=True)
        attachment.send(b"+" + packet("?"))
        attachment.wait_output(b"#")
        self.assertIn(b"$T05", attachment.output)
        self.assertIn("client of ", self.holder())
        attachment.close()
        self.assert_runs()

    def test_read_only(self):
        self.start_debugged(endpoints=[])
        attachment = Attachment(self, "qmp")
        attachment.wait_output(b"QMP")
        attachment.send(b"x")
        attachment.wait(lambda: attachment.is_over, "the refusal")
        self.assertEqual(attachment.error.code(), Code.PERMISSION_DENIED)

    def test_ends_with_the_instance(self):
        self.start_debugged(endpoints=[])
        attachments = [Attachment(self, name, write=True) for name in ("gdb", "monitor", "qmp")]
        self.stop()
        for attachment in attachments:
            attachment.wait(lambda each=attachment: each.is_over, "the end")
            self.assertIsNone(attachment.error)
        refused = Attachment(self, "gdb", write=True)
        self.assertEqual(refused.error.code(), Code.FAILED_PRECONDITION)

    def test_of_the_target(self):
        """What a configuration says: types and fixed ports of control channels and serials."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            free = probe.getsockname()[1]
        target = self.targets.Get(targets_pb2.GetTargetRequest(name=BOARDS[0][0]), timeout=30)
        target.controls.add(channel="gdb", type="tcp", port=free)
        target.controls.add(channel="monitor", type="pty")
        target.controls.add(channel="qmp", type="tcp")
        target.channels[0].type = "tcp"
        self.start("seq.elf", target_config=target)
        rows = {row.name: row for row in self.get().channels}
        self.assertEqual(rows["gdb"].port, free)
        self.assertEqual([rows[name].type for name in ("gdb", "monitor", "qmp", "serial0")], ["tcp", "pty", "tcp", "tcp"])
        stub = Stub(free)
        self.assertTrue(stub.ask("?").startswith("T05"))
        stub.close()
        terminal = os.open(rows["monitor"].path, os.O_RDWR | os.O_NOCTTY)
        os.write(terminal, b"info status\n")
        text = b""
        while b"VM status" not in text:
            text += os.read(terminal, 4096)
        os.close(terminal)
        wait_for(lambda: not self.holder("monitor"), "the terminal to be closed")

    def test_pty_of_gdb(self):
        self.start_debugged(endpoints=[targets_pb2.Endpoint(channel="gdb", type="pty")])
        path = next(row.path for row in self.get().channels if row.name == "gdb")
        for _ in range(2):
            mi = self.mi()
            mi.run(f"-target-select remote {path}")
            mi.run(f"-break-insert {HOT}")
            mi.run("-exec-continue")
            mi.stopped("breakpoint-hit")
            mi.process.kill()
            self.assert_runs()
        self.restart_daemon()
        mi = self.mi()
        mi.run(f"-target-select remote {path}")
        self.wait_state(PAUSED)
        self.restart_daemon()
        mi.end()
        self.wait_free()
        self.assert_runs()


class Ide(DebugCase):
    """The sequences of cortex-debug ("servertype": "external") and cpptools, session after session on one instance."""

    def cortex_debug(self, reset):
        mi = self.connected()
        mi.console("monitor reset halt")
        mi.run("-target-download")
        mi.console("monitor reset halt")
        mi.run("-break-insert -t --function main")
        mi.run("-exec-continue")
        mi.stopped("main")
        mi.run(f"-break-insert {HOT}")
        mi.run("-exec-continue")
        mi.stopped("breakpoint-hit")
        mi.run("-stack-list-frames")
        mi.run("-exec-next")
        mi.stopped("end-stepping-range")
        mi.run("-break-delete")
        mi.run("-exec-continue")
        mi.run("-exec-interrupt")
        mi.stopped("SIGINT")
        if reset:  # its restart button
            mi.console("monitor reset halt")
            mi.run("-break-insert -t --function main")
            mi.run("-exec-continue")
            mi.stopped("main")
        return mi

    def test_cortex_debug(self):
        for board in BOARDS:
            self.start_debugged(board=board)
            for number in range(2):
                mi = self.cortex_debug(number == 1)
                mi.run(f"-break-insert {HOT}")
                mi.run("-target-disconnect")
                mi.exit()
                self.wait_free()
                self.assert_runs()
            self.stop()

    def test_cortex_debug_attach(self):
        self.start_debugged()
        mi = self.connected()
        mi.console("monitor halt")
        mi.run("-target-detach")
        self.assert_runs()
        mi.exit()

    def test_cpptools(self):
        for board in BOARDS:
            self.start_debugged(board=board)
            for _ in range(2):
                mi = self.mi()
                mi.run("-gdb-set target-async on", wanted=None)
                mi.run(f"-target-select remote 127.0.0.1:{self.port()}")
                mi.console("monitor reset")
                mi.run("-target-download")
                mi.console("monitor reset halt")
                mi.run("-break-insert -f main")
                mi.run("-exec-continue")
                mi.stopped("main")
                mi.console("kill")  # its Stop button
                mi.exit()
                self.wait_free()
                self.assert_runs()
            self.stop()

    def test_reset_halt_is_at_the_reset_vector(self):
        for board in BOARDS:
            self.start_debugged(board=board)
            mi = self.connected()
            wait_for(lambda: self.offset() > 0, "output")
            mi.console("monitor reset halt")
            mi.console("maintenance flush register-cache")
            value = mi.number_of("$pc")
            self.assertIn(value, (mi.number_of("&start") & ~1, 0x1000))  # riscv: its boot ROM
            mi.console("monitor gdb_sync")
            mi.run("-exec-step-instruction")
            mi.stopped()
            if "riscv" not in board[0]:  # there gdb steps once more where it has not moved
                self.assertEqual(mi.number_of("$pc"), value)
            self.assertEqual(self.get().state, PAUSED)
            mi.exit()
            self.stop()

    def test_reset_runs(self):
        self.start_debugged()
        stub = Stub(self.port())
        self.assertTrue(stub.ask("?").startswith("T05"))
        self.assertEqual(stub.monitor("reset halt"), "")
        self.assertEqual(self.get().state, PAUSED)
        self.assertEqual(stub.monitor("resume"), "")
        self.assert_runs()
        self.assertEqual(stub.monitor("halt"), "")
        self.wait_state(PAUSED)
        self.assertEqual(stub.monitor("reset"), "")
        self.assert_runs()
        self.assertEqual(len(stub.ask("m0,4")), 8)  # is answered, and it runs on
        self.assert_runs()
        self.assertIn("VM status", stub.monitor("info status"))
        stub.send("vCont;c")
        stub.socket.sendall(b"\x03")
        self.assertTrue(stub.receive().startswith("T02"))
        self.wait_state(PAUSED)
        self.assertEqual(stub.ask("D"), "OK")
        self.assertEqual(self.get().state, RUNNING)
        stub.close()

    def test_no_ack_mode(self):
        self.start_debugged()
        mi = self.mi()
        mi.console("set remote noack-packet on")
        mi.run(f"-target-select remote 127.0.0.1:{self.port()}")
        mi.run(f"-break-insert {HOT}")
        mi.run("-exec-continue")
        mi.stopped("breakpoint-hit")
        mi.run("-target-detach")
        self.assert_runs()

    def test_watchpoint(self):
        self.start_debugged("echo.elf")
        self.read_until(b"ready> ")
        writer = Attachment(self, write=True)
        mi = self.connected()
        mi.run("-break-watch main::line[0]")
        mi.run("-exec-continue")
        writer.send(b"x")
        mi.stopped("watchpoint-trigger")
        mi.process.kill()
        writer.send(b"\ry\rzzz")  # further writes to the same place
        self.read_until(b"zzz")
        writer.close()


class Commands(DebugCase):
    def test_gdb(self):
        self.start_debugged(endpoints=[])
        result = self.pwemu("gdb", "--", "-nx", "-batch", "-ex", "info files", "-ex", "print $pc")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn(self.image.encode(), result.stdout)
        self.assert_runs()
        other = firmware("hello.elf")
        result = self.pwemu("gdb", "-e", other, "--", "-nx", "-batch", "-ex", "info files")
        self.assertIn(other.encode(), result.stdout)
        result = self.pwemu("gdb", "-e", "/nowhere.elf")
        self.assertEqual(result.returncode, 1)
        self.assertIn(b"/nowhere.elf", result.stderr)

    def test_exit_code(self):
        self.start_debugged(endpoints=[])
        self.assertEqual(self.pwemu("gdb", "--", "-nx", "-batch", "-ex", "quit 7").returncode, 7)
        result = self.pwemu("gdb-cmds", "echo one\\n", "nonsense", "echo two\\n")
        self.assertNotEqual(result.returncode, 0)
        self.assertIn(b"one", result.stdout)
        self.assertNotIn(b"two", result.stdout)
        self.assertRegex(
            result.stderr, rb'\AUndefined command: "nonsense".*\npwemu: gdb-cmds: "nonsense" failed; what follows was not run\n\Z'
        )
        result = self.pwemu("gdb-cmds", "it's \"so\"")
        self.assertIn(b"pwemu: gdb-cmds: \"it's \"so\"\" failed\n", result.stderr)
        result = self.pwemu("gdb-cmds", "if 1", "print 7", "end")
        self.assertEqual(result.returncode, 0)
        self.assertIn(b"= 7", result.stdout)
        self.assertNotIn(b"Quit anyway", result.stdout)
        result = self.pwemu("gdb-cmds", "python", "for n in (1, 2):", " print(n * 21)", "end", "python print(5)", "nonsense")
        self.assertIn(b"21\n42\n5\n", result.stdout)
        self.assertIn(b'"nonsense" failed\n', result.stderr)
        result = self.pwemu("gdb-cmds", "print 6*7")
        self.assertEqual(result.returncode, 0)
        self.assertIn(b"= 42", result.stdout)
        self.assertEqual(self.pwemu("gdb-cmds", "quit 5").returncode, 5)
        self.assert_runs()

    def test_cmds_leave_it_as_it_was(self):
        self.start_debugged(endpoints=[])
        before = self.pause()
        self.assertEqual(self.pwemu("gdb-cmds", f"break {HOT}", "info registers").returncode, 0)
        self.assert_same(*before)
        self.act("Resume")
        self.assertEqual(self.pwemu("gdb-cmds", f"break {HOT}", "continue").returncode, 0)
        self.assert_runs()

    def test_cmds_pause(self):
        self.start_debugged(endpoints=[])
        self.assertEqual(self.pwemu("gdb-cmds", "-p", "info registers").returncode, 0)
        self.assertEqual(self.get().state, PAUSED)
        before = self.registers(), self.offset()
        self.assertEqual(self.pwemu("gdb-cmds", "-p", "print 1").returncode, 0)
        self.assert_same(*before)

    def test_which_gdb(self):
        target = self.targets.Get(targets_pb2.GetTargetRequest(name=BOARDS[0][0]), timeout=30)
        target.gdb[:] = []
        self.start_debugged(endpoints=[], target_config=target)
        tools = os.path.join(self.dir, "tools")
        os.mkdir(tools)

        def tool(name):
            with open(os.path.join(tools, name), "w", encoding="ascii") as file:
                file.write(f"#!/bin/sh\necho {name} \"$@\"\nexit 9\n")
            os.chmod(os.path.join(tools, name), 0o755)

        environment = dict(self.environment_of_client(), PATH=tools)
        result = self.pwemu("gdb", env=environment)
        self.assertEqual(result.returncode, 127)
        self.assertIn(b"install the package gdb-multiarch", result.stderr)
        self.assertEqual(self.pwemu("gdb-cmds", "-p", "x", env=environment).returncode, 127)
        self.assertEqual(self.get().state, RUNNING)
        environment["PATH"] = f"{tools}:/bin"
        tool("gdb-multiarch")
        result = self.pwemu("gdb", env=environment)
        self.assertEqual((result.returncode, result.stdout.split()[0]), (9, b"gdb-multiarch"))
        tool("arm-none-eabi-gdb")
        result = self.pwemu("gdb", env=environment)
        self.assertEqual(result.stdout.split()[0], b"arm-none-eabi-gdb")
        self.assertEqual(result.stdout.split()[-1].decode(), self.image)

    def test_gdb_of_the_target(self):
        target = self.targets.Get(targets_pb2.GetTargetRequest(name=BOARDS[0][0]), timeout=30)
        target.gdb[:] = []
        target.gdb.extend([GDB, "-nx", "-ex", "echo mine\\n"])
        self.start("seq.elf", target_config=target)
        self.assertIn(b"mine", self.pwemu("gdb", "--", "-batch").stdout)

    def test_not_running(self):
        self.start_debugged(endpoints=[])
        self.stop()
        for words in (("gdb",), ("gdb-cmds", "print 1")):
            result = self.pwemu(*words)
            self.assertEqual(result.returncode, 1)
            self.assertIn(b"is not running", result.stderr)

    def test_daemon_dies_under_gdb(self):
        self.start_debugged(endpoints=[])
        go = os.path.join(self.dir, "go")
        gdb = self.popen("gdb", "--", "-nx", "-batch", "-ex", f"break {HOT}", "-ex", "continue", "-ex",
                         f"shell until [ -e {go} ]; do sleep 0.05; done", "-ex", "stepi")
        wait_for(lambda: b"until" in children_text(gdb.pid), "the breakpoint to be hit")
        self.restart_daemon()
        self.assert_runs()
        with open(go, "wb"):
            pass
        _, errors = gdb.communicate(timeout=60)
        self.assertNotEqual(gdb.returncode, 0)
        self.assertTrue(errors)


class Pipe(DebugCase):
    def test_qmp(self):
        self.start_debugged(endpoints=[])
        process = self.popen("pipe", "qmp")
        output, errors = process.communicate(b'{"execute":"qmp_capabilities"}\n{"execute":"query-status"}\n', timeout=30)
        self.assertEqual(process.returncode, 0, errors)
        self.assertIn(b'"status": "running"', output)

    def test_serial_is_8_bit_clean(self):
        self.start_debugged("echo.elf", endpoints=[])
        self.read_until(b"ready> ")
        process = self.popen("pipe", "serial0")
        wait_for(lambda: self.holder("serial0"), "the writer role")
        everything = bytes(byte for byte in range(256) if byte != 13)
        process.stdin.write(everything)
        process.stdin.flush()
        output = b""
        while len(output) < len(everything):
            output += os.read(process.stdout.fileno(), 4096)
        self.assertEqual(output, everything)
        process.stdin.close()
        process.stdin = None
        self.assertEqual(self.holder("serial0") != "", True)  # the end of the input is not that of the output
        self.stop()
        process.communicate(timeout=30)
        self.assertEqual(process.returncode, 0)

    def test_writer_role(self):
        self.start_debugged("echo.elf", endpoints=[])
        writer = Attachment(self, write=True)
        result = self.pwemu("pipe", "serial0")
        self.assertEqual(result.returncode, 1)
        self.assertIn(b"cannot be written: client of ", result.stderr)
        process = self.popen("pipe", "serial0", "--read-only", "--from", "0")
        self.assertTrue(os.read(process.stdout.fileno(), 7))
        writer.close()

    def test_over_a_restart_of_the_daemon(self):
        self.start_debugged("echo.elf", endpoints=[])
        self.read_until(b"ready> ")
        process = self.popen("pipe", "serial0")
        for number in range(3):
            wait_for(lambda: self.holder("serial0"), "the writer role")
            text = b"<%d>" % number
            process.stdin.write(text)
            process.stdin.flush()
            output = b""
            while len(output) < 3:
                output += os.read(process.stdout.fileno(), 100)
            self.assertEqual(output, text)
            self.restart_daemon()

    def test_conversations_end_with_the_daemon(self):
        self.start_debugged(endpoints=[])
        process = self.popen("pipe", "monitor")
        self.assertIn(b"QEMU", os.read(process.stdout.fileno(), 100))
        self.restart_daemon()
        _, errors = process.communicate(timeout=30)
        self.assertEqual(process.returncode, 1)
        self.assertTrue(errors)

    def test_two_boards(self):
        """serial1 of one is joined with the console of another: what the one prints the other echoes."""
        self.start("uarts.elf", "a")
        self.start("echo.elf", "b")
        self.read_until(b"ready> ", "serial0", "b")
        pipe = f"{PWEMU} -q -H {self.daemon.socket} -i %s pipe %s"
        socat = subprocess.Popen(
            ["socat", "EXEC:" + (pipe % ("a", "serial1")), "EXEC:" + (pipe % ("b", "serial0"))],
            env=self.environment_of_client(), stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        self.addCleanup(socat.communicate)
        self.addCleanup(socat.kill)

        def holders():
            return [next(r.writer for r in self.get(name).channels if r.name == channel) for name, channel in (("a", "serial1"), ("b", "serial0"))]

        wait_for(lambda: all(holders()), "both ends")
        self.instances.Reset(instances_pb2.ResetRequest(instance=self.ref("a")), timeout=30)  # it prints anew
        wait_for(lambda: len(self.read_all("serial0", "b")) > len(b"ready> "), "bytes of the other board")


class Ports(DebugCase):
    def test_taken(self):
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            port = other.getsockname()[1]
            request = self.request("hello.elf", endpoints=[targets_pb2.Endpoint(channel="gdb", type="tcp", port=port)])
            error = self.assert_fails(Code.ALREADY_EXISTS, "port-taken", self.instances.Start, request, timeout=30, text=str(port))
            self.assertIn(str(os.getpid()), error.details())

    def test_taken_by_ours(self):
        self.start("hello.elf", "first", endpoints=[targets_pb2.Endpoint(channel="gdb", type="tcp")])
        port = next(row.port for row in self.get("first").channels if row.name == "gdb")
        request = self.request("hello.elf", "second", endpoints=[targets_pb2.Endpoint(channel="gdb", type="tcp", port=port)])
        error = self.assert_fails(Code.ALREADY_EXISTS, "port-taken", self.instances.Start, request, timeout=30, text=str(port))
        self.assertIn('"gdb"', error.details())
        self.assertIn("first", error.details())


if __name__ == "__main__":
    unittest.main()
