# SPDX-License-Identifier: Apache-2.0
"""Life cycle through the Python API: start, stop, state, ends, temporary emulators, who else uses the instance."""

import os
import signal
import subprocess
import sys
import threading
import unittest
from unittest import mock

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from api_fixture import ANSWER, BOARD, ECHO, PACKAGE, PYTHON, ApiCase, firmware, is_alive, pwemu, read_proc, wait_for  # noqa: E402


def children():
    """Processes below this one, zombies too."""
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        fields = read_proc(entry, "stat").rsplit(b")", 1)[-1].split()
        if fields and int(fields[1]) == os.getpid():
            found.append((int(entry), read_proc(entry, "cmdline")))
    return found


class Life(ApiCase):
    def test_start_and_stop(self):
        emu = self.emulator()
        self.assertFalse(emu.running())
        self.assertIsNone(emu.start(BOARD, ECHO))
        self.assertTrue(emu.running())
        self.assertEqual(emu.state, "running")
        self.assertIsNone(emu.end)
        pid = emu.info().pid
        self.assertIsNone(emu.stop())
        self.assertFalse(emu.running())
        self.assertFalse(is_alive(pid))
        self.assertEqual(emu.end.cause, "stopped")

    def test_again_with_the_same_object(self):
        """pw_emu's Emulator can start once only."""
        emu = self.emulator()
        for _ in range(3):
            emu.start(BOARD, ECHO)
            emu.wait(match="ready> ")
            emu.stop()
        emu.start(BOARD, firmware("exit.elf"), semihosting=True)
        self.assertEqual(emu.wait(exit=True).code, 42)
        emu.start(BOARD, ECHO)  # after an end of its own
        emu.stop()

    def test_already_running(self):
        emu = self.emulator()
        emu.start(BOARD, ECHO)
        for other in (emu, self.emulator()):
            with self.assertRaises(pwemu.AlreadyRunning) as caught:
                other.start(BOARD, ECHO)
            self.assertIn("emulator already started", str(caught.exception))
            self.assertEqual(caught.exception.reason, "already-running")
        emu.stop()

    def test_not_running(self):
        emu = self.emulator()
        for call in (
            emu.stop,
            emu.reset,
            emu.cont,
            emu.pause,
            emu.get_channels,
            emu.get_gdb_remote,
            emu.get_gdb_cmd,
            lambda: emu.run_gdb_cmds(["info registers"]),
            lambda: emu.get_channel_type("serial0"),
            lambda: emu.get_channel_stream("serial0"),
            lambda: emu.send("x"),
            lambda: emu.wait(match="x"),
            lambda: emu.wait(state="running"),
        ):
            with self.assertRaises(pwemu.NotRunning) as caught:
                call()
            self.assertIn("emulator not started", str(caught.exception))
        emu.start(BOARD, ECHO)
        emu.stop()
        emu.stop()  # it has seen it run
        with self.assertRaises(pwemu.NotRunning) as caught:
            emu.reset()

    def test_stop_after_a_crash_is_silent(self):
        emu = self.emulator()
        emu.start(BOARD, ECHO)
        os.kill(emu.info().pid, 11)
        end = emu.wait()
        self.assertEqual((end.signal, end.code), (11, -1))
        emu.stop()

    def test_restart_policy(self):
        emu = self.emulator()
        emu.start(BOARD, ECHO, restart="on-failure")
        os.kill(emu.info().pid, 11)
        wait_for(lambda: emu.info().boot == 2, "the next boot")
        self.assertEqual(emu.wait(state="running"), "running")
        self.assertTrue(emu.running())
        self.assertEqual([event.end.signal for event in emu.events() if event.kind == "end"], [11])
        emu.stop()

    def test_pause(self):
        emu = self.emulator()
        emu.start(BOARD, ECHO, pause=True)
        self.assertEqual(emu.state, "paused")
        self.assertEqual(emu.logs(), b"")
        emu.reset()
        self.assertEqual(emu.state, "paused")
        emu.cont()
        emu.wait(match="ready> ")
        emu.pause()
        self.assertEqual(emu.state, "paused")
        emu.cont()
        emu.stop()

    def test_arguments(self):
        """Quoted as in a shell, or words; debug and foreground below."""
        emu = self.emulator()
        for args in ("-name 'two words'", ["-name", "two words"]):
            emu.start(BOARD, ECHO, args=args)
            self.assertIn("two words", emu.info().argv)
            emu.stop()

    def test_slow_daemon(self):
        """One that takes a while to answer a new connection is waited for."""
        self.daemon.process.send_signal(signal.SIGSTOP)
        timer = threading.Timer(0.5, self.daemon.process.send_signal, [signal.SIGCONT])
        timer.start()
        emu = self.emulator()
        emu.start(BOARD, ECHO)
        timer.join()
        emu.stop()

    def test_environment_and_directory(self):
        emu = self.emulator()
        os.mkdir("place")
        os.chdir("place")
        emu.start(BOARD, ECHO, environment={"SOME_NAME": "some value"})
        os.chdir("..")
        pid = emu.info().pid
        self.assertIn(b"SOME_NAME=some value\0", read_proc(pid, "environ"))
        self.assertEqual(os.readlink(f"/proc/{pid}/cwd"), os.path.join(self.dir, "place"))
        self.assertNotIn("SOME_NAME", os.environ)
        emu.stop()

    def test_images(self):
        emu = self.emulator()
        board = "netduinoplus2"
        emu.start("qemu-" + board, [firmware("bootloader.hex", board), firmware("app.bin", board) + "@0x08010000"])
        emu.wait(match="app")
        emu.stop()
        with self.assertRaises(pwemu.Error) as caught:
            emu.start(BOARD, firmware("hello.elf", "riscv32-virt"))
        self.assertIn("RISC-V", str(caught.exception))

    def test_working_directory(self):
        """Made 0700; relative ones too."""
        emu = pwemu.Emulator("some/place")
        emu.start(BOARD, ECHO)
        self.assertEqual(os.stat("some/place").st_mode & 0o777, 0o700)
        self.assertEqual(str(emu._wdir), os.path.join(self.dir, "some/place"))
        self.assertEqual(emu._path("x"), emu._wdir / "x")
        os.chdir("/")
        self.assertTrue(emu.running())
        emu.stop()

    def test_foreground(self):
        """Returns at the end; what the emulator says goes to stdout."""
        program = (
            "import sys, pwemu\nemu = pwemu.Emulator('fg')\n"
            f"emu.start({BOARD!r}, sys.argv[1], semihosting=True, debug=True, args='-no-such' if len(sys.argv) > 2 else None)\n"
            "print(emu.end.code)\n"
        )
        self.assertEqual(self.python(program, firmware("exit.elf")).splitlines()[-1], "42")
        self.assertIn("-no-such", self.python(program, ECHO, "x", code=1) + "-no-such")

    def test_foreground_ends_with_the_caller(self):
        program = f"import pwemu; pwemu.Emulator('fg').start({BOARD!r}, {ECHO!r}, foreground=True)"
        process = subprocess.Popen([PYTHON, "-c", program], env={**os.environ, "PYTHONPATH": PACKAGE}, stdin=subprocess.DEVNULL)
        emu = self.emulator("fg")
        wait_for(emu.running, "the start")
        pid = emu.info().pid
        process.kill()
        process.wait()
        wait_for(lambda: not is_alive(pid), "the emulator to end")

    def test_foreground_ctrl_c(self):
        program = f"import pwemu; pwemu.Emulator('fg').start({BOARD!r}, {ECHO!r}, foreground=True)"
        process = subprocess.Popen(
            [PYTHON, "-c", program], env={**os.environ, "PYTHONPATH": PACKAGE}, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        emu = self.emulator("fg")
        wait_for(lambda: emu.running() and emu.state == "running", "the start")
        process.send_signal(2)
        self.assertIn("KeyboardInterrupt", process.communicate(timeout=30)[1])
        self.assertFalse(emu.running())
        self.assertEqual(emu.end.cause, "stopped")


class Caller(ApiCase):
    """What pw_emu does to the process that calls it."""

    def test_no_fork_no_zombie(self):
        """It forks the caller, whose child runs on in the caller's code when sys.stdin is not a file (pytest), and leaves a zombie."""
        forks = []
        os.register_at_fork(before=lambda: forks.append(1))
        before = children()
        with mock.patch("sys.stdin", new=object()), mock.patch("os.fork", side_effect=AssertionError("a fork")):
            for _ in range(2):
                emu = self.emulator()
                emu.start(BOARD, ECHO)
                emu.send("x\r", expect=ANSWER)
                emu.stop()
        self.assertEqual(forks, [])
        self.assertEqual(children(), before)

    def test_after_a_fork_of_the_callers_own(self):
        """gRPC does not survive a fork: the child is told so, instead of waiting for ever; the parent's connection goes on."""
        emu = self.emulator()
        emu.start(BOARD, ECHO)
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                emu.running()
            except pwemu.Error as error:
                code = 0 if "spawn" in str(error) else 2
            finally:
                os._exit(code)
        ended = wait_for(lambda: os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG), "the child", 30)
        self.assertEqual(ended.si_status, 0)
        self.assertTrue(emu.running())
        emu.stop()

    def test_lost_daemon(self):
        """A daemon that goes under a call: an Error, no traceback of grpc's. The next one is found by itself."""
        emu = self.emulator()
        emu.start(BOARD, ECHO)
        emu.wait(match="ready> ")
        stream = emu.get_channel_stream("serial0", timeout=20, start="now")
        self.daemon.kill()
        with self.assertRaises(pwemu.Error) as caught:
            stream.read(1)
        self.assertIn("the daemon has gone", str(caught.exception))
        with self.assertRaises(pwemu.Error) as caught:
            emu.reset()
        self.assertRegex(str(caught.exception), "no daemon answers|the daemon has gone")
        self.start_daemon()
        self.assertTrue(emu.running())
        self.assertEqual(emu.send("on\r", expect=ANSWER)[1], b"on")
        emu.stop()

    def test_daemon_is_started(self):
        """Where none answers and none was named, the first call starts the user's own."""
        run = os.path.join(self.dir, "run")
        os.mkdir(run, 0o700)
        program = (
            f"import pwemu\nwith pwemu.TemporaryEmulator() as emu:\n emu.start({BOARD!r}, {ECHO!r})\n"
            " print(emu.send('x\\r', expect=r'got: (.*)\\r')[1].decode())"
        )
        places = {"PWEMU_HOST": "", "XDG_RUNTIME_DIR": run, "XDG_STATE_HOME": os.path.join(self.dir, "state2"), "HOME": self.dir}
        self.assertEqual(self.python(program, **places).strip(), "x")
        self.cli("daemon", "stop", "--with-instances", env={**os.environ, **places})


class Temporary(ApiCase):
    def test_block(self):
        self.assertNotIn("PW_EMU_WDIR", os.environ)
        with pwemu.TemporaryEmulator() as emu:
            self.assertEqual(os.environ["PW_EMU_WDIR"], str(emu._wdir))
            self.assertTrue(emu._wdir.name.startswith("pw_emu_"))
            emu.start(BOARD, ECHO)
        self.assertNotIn("PW_EMU_WDIR", os.environ)
        self.assertFalse(emu._wdir.exists())
        self.assertFalse(emu.running())
        self.assertEqual(self.list(), [])

    def test_exception_is_kept(self):
        """pw_emu's __exit__ replaces it by its own NotRunning, and leaves the variable and the directory."""
        os.environ["PW_EMU_WDIR"] = "/before"
        for start in (False, True):
            with self.assertRaisesRegex(KeyError, "mine"):
                with pwemu.TemporaryEmulator() as emu:
                    if start:
                        emu.start(BOARD, ECHO)
                        os.kill(emu.info().pid, 9)
                    raise KeyError("mine")
            self.assertEqual(os.environ["PW_EMU_WDIR"], "/before")
            self.assertFalse(emu._wdir.exists())
        self.assertEqual(self.list(), [])

    def test_exception_is_kept_without_daemon(self):
        with self.assertWarnsRegex(UserWarning, "could not be stopped"), self.assertRaisesRegex(KeyError, "mine"):
            with pwemu.TemporaryEmulator() as emu:
                emu.start(BOARD, ECHO)
                self.daemon.kill()
                raise KeyError("mine")
        self.assertNotIn("PW_EMU_WDIR", os.environ)
        self.assertFalse(emu._wdir.exists())
        self.start_daemon()

    def test_nothing_started(self):
        with pwemu.TemporaryEmulator():
            pass

    def test_no_cleanup(self):
        with pwemu.TemporaryEmulator(cleanup=False) as emu:
            emu.start(BOARD, ECHO)
            emu.wait(match="ready> ")
        wdir = emu._wdir
        self.assertFalse(emu.running())
        self.assertIn(b"ready> ", emu.logs())
        del emu
        self.assertTrue(wdir.exists())

    def test_used_again(self):
        emu = pwemu.TemporaryEmulator()
        for _ in range(2):
            with emu:
                emu.start(BOARD, ECHO)
                emu.wait(match="ready> ")

    def test_cli_below_joins(self):
        """SEED-0108, "Python APIs": start with the command line, use by the API, and the other way round."""
        with pwemu.TemporaryEmulator() as emu:
            self.cli("start", BOARD, "-f", ECHO)
            self.assertTrue(emu.running())
            emu.wait(match="ready> ")  # a read gives what is there
            with emu.get_channel_stream("serial0", timeout=20) as stream:
                self.assertEqual(stream.read(7), b"ready> ")
            self.assertIn("running", self.cli("status"))
            self.cli("stop")
            self.assertFalse(emu.running())
            emu.start(BOARD, ECHO)
            self.cli("wait", "--expect", "ready> ", "--timeout", "20s")

    def test_joins_one_of_the_cli(self):
        place = os.path.join(self.dir, "cli")
        self.cli("-C", place, "start", BOARD, "-f", ECHO)
        emu = pwemu.Emulator(place)
        self.assertEqual(emu.send("hi\r", expect=ANSWER)[1], b"hi")
        emu.stop()
        self.cli("-C", place, "status", code=3)


if __name__ == "__main__":
    unittest.main()
