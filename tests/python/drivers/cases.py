# SPDX-License-Identifier: Apache-2.0
"""What the tests of all drivers say often. They use the command line as a user does, in a project whose pwemu.json has the board."""

import json
import os
import re
import select
import signal
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "../api"), os.path.join(HERE, "..")]

import api_fixture  # noqa: E402,F401  the package `pwemu` of the client, before the fixture's own
from boards import BOARDS  # noqa: E402
from gdb_client import children  # noqa: E402
from pwemu_cli import CliCase  # noqa: E402
from pwemu_fixture import is_alive, processes_with, read_proc, wait_for  # noqa: E402
from sequence_client import Client  # noqa: E402

TARGET = "board"
PROMPT = b"ready> "


def suites(module, driver):
    """The module's cases for a driver; for the names of a test file."""
    board = BOARDS[driver]()
    reason = board.missing()
    if reason is not None:
        def skip(self):
            self.skipTest(f"optional: {driver}: {reason}")

        name = module.__name__
        return {name: type(name, (unittest.TestCase,), {f"test_{driver}_{name}": skip})}
    cases = {name: case for name, case in vars(module).items() if isinstance(case, type) and case.__module__ == module.__name__}
    return {name: type(name, (case,), {"board": board, "__module__": f"{driver}.{module.__name__}"}) for name, case in cases.items()
            if issubclass(case, DriverCase)}


class DriverCase(CliCase):
    board = None  # suites() says which

    def setUp(self):
        super().setUp()
        self.configure()

    def clean_up(self):
        log = os.path.join(self.environment["XDG_STATE_HOME"], "pwemu/pwemud.log")
        text = ""
        if os.path.exists(log):
            with open(log, errors="replace") as file:
                text = file.read()
        result = self._outcome.result
        if any(test is self for test, _ in result.failures + result.errors):
            print(f"---- log of the daemon\n{text[-6000:]}----", file=sys.stderr)
        super().clean_up()

    # ---------------------------------------------------------------- the project

    def configure(self, form="pwemu.json", types=None, target=None, **changes):
        """Writes the project's configuration, in place of the one that was there."""
        for name in ("pwemu.json", "pigweed.json"):
            if os.path.exists(self.path(name)):
                os.unlink(self.path(name))
        if form == "pwemu.json":
            content = {"targets": {TARGET: dict(self.board.target(types, **changes), **(target or {}))}}
        else:
            content = {"pw": {"pw_emu": {"targets": {TARGET: self.board.pigweed_target(types, **changes)}}}}
        with open(self.path(form), "w", encoding="utf-8") as file:
            json.dump(content, file, indent=2)

    def path(self, name):
        return os.path.join(self.work, name)

    def text(self, name):
        with open(self.path(name), encoding="utf-8") as file:
            return file.read()

    # ---------------------------------------------------------------- instances

    def boot(self, program, *words, name="default"):
        """Starts the board with an image, no restarts unless told; what status shows of it."""
        restart = () if "--restart" in words else ("--restart", "no")
        self.pwemu("-q", "-i", name, "start", TARGET, "-f", self.board.firmware(program), *restart, *words)
        return self.info(name)

    def boot_echo(self, *words, name="default", program="echo.elf"):
        instance = self.boot(program, *words, name=name)
        self.see("ready>", name=name)
        return instance

    def on(self, name, *words, **options):
        return self.pwemu("-q", "-i", name, *words, **options)

    def info(self, name="default"):
        """What status shows, of an ended one too."""
        done = self.run_any("-q", "-i", name, "status", "-o", "json")
        self.assertIn(done.returncode, (0, 3), done.err)
        return json.loads(done.out)

    def state(self, name="default"):
        return self.info(name)["state"]

    def wait_state(self, state, name="default"):
        self.on(name, "wait", "--state", state, "--timeout", "60s")

    def wait_boot(self, boot, name="default"):
        """That one, or a later one: a boot that a daemon has died over does not count."""
        def seen():
            info = self.info(name)
            return info if info["boot"] >= boot and info["state"] in ("running", "paused") else None

        return wait_for(seen, f"boot {boot} to run")

    def wait_end(self, name="default"):
        """How it ended for good."""
        self.on(name, "wait", "--exit", "--timeout", "60s")
        info = self.info(name)
        self.assertEqual(info["state"], "ended", info["reason"])
        return info["end"]

    def channel(self, channel=None, name="default"):
        return next(row for row in self.info(name)["channels"] if row["name"] == (channel or self.board.console))

    def offset(self, name="default"):
        return self.channel(name=name)["offset"]

    # ---------------------------------------------------------------- output

    def out(self, *words, name="default"):
        """The log of the console, as bytes."""
        return self.run_any("-q", "-i", name, "logs", *words).stdout

    def see(self, text, *words, name="default"):
        self.on(name, "wait", "--expect", re.escape(text), "--timeout", "60s", *words)

    def wait_count(self, text, count, name="default"):
        wait_for(lambda: self.out(name=name).count(text) >= count, f"{count} times {text!r}: {self.out(name=name)[-200:]!r}")

    def wait_output(self, more, name="default"):
        """Until so many bytes have come, counted from now."""
        begin = self.offset(name)
        wait_for(lambda: self.offset(name) >= begin + more, f"{more} bytes of output after {begin}")

    def assert_echoes(self, word="ping", name="default"):
        self.on(name, "send", "-l", word, "--expect", "got: " + word, "--timeout", "60s")

    def assert_runs(self, name="default"):
        """seq.elf goes on: nothing stops it, no breakpoint is in its way."""
        wait_for(lambda: self.state(name) == "running", "it to run")
        self.wait_output(9000, name)
        self.assertEqual(self.state(name), "running")

    def assert_silent(self, name="default"):
        """Paused, and not a byte comes."""
        self.assertEqual(self.state(name), "paused")
        begin = self.offset(name)
        select.select([], [], [], 0.3)  # not a wait: the time in which a byte would show
        self.assertEqual(self.offset(name), begin)

    @staticmethod
    def read_until(process, text, seen=b""):
        """From a command's stdout; what was seen."""
        while text not in seen:
            ready = select.select([process.stdout], [], [], 60)[0]
            data = os.read(process.stdout.fileno(), 65536) if ready else b""
            if not data:
                raise AssertionError(f"no {text!r} in {seen[-300:]!r}")
            seen += data
        return seen

    @staticmethod
    def type_in(process, data):
        process.stdin.write(data)
        process.stdin.flush()

    def writer(self, channel=None, name="default"):
        return self.channel(channel, name)["writer"]

    def attach(self, *words, channel=None, name="default"):
        """A command that has the writer role of a channel."""
        process = self.popen("-q", "-i", name, *words, stdin=-1)
        wait_for(lambda: self.writer(channel, name) or process.poll() is not None, "it to have the role")
        self.assertIsNone(process.poll(), words)
        return process

    def client(self, *words, offset=0):
        """A command whose stdout must be seq.elf's from that offset on."""
        client = Client(self, *words, offset=offset)
        self.addCleanup(client.close)
        return client

    def wait_client(self, client, offset):
        wait_for(lambda: client.sequence.problem or client.sequence.offset >= offset, f"{client.name} to have {offset} bytes")
        self.assertIsNone(client.sequence.problem, client.name)

    # ---------------------------------------------------------------- processes

    def daemon_pid(self):
        self.pwemu("ls")  # starts one where there is none
        return super().daemon_pid()

    def kill_daemon(self, pid=0):
        """As a crash would; the next command starts another."""
        pid = pid or self.daemon_pid()
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not is_alive(pid), "the daemon to be gone")

    def tree(self, name="default"):
        """The emulator and all below it: launchers do not exec."""
        pid = self.info(name)["pid"]
        return [pid] + [child for child, _ in children(pid)]

    def signal_all(self, number, name="default"):
        pids = self.tree(name)
        for pid in pids:
            os.kill(pid, number)
        return pids

    def identity(self, name="default"):
        """Of the emulator's process; a number that was given again is another one."""
        pid = self.info(name)["pid"]
        return pid, read_proc(pid, "stat").rsplit(b")", 1)[1].split()[19]

    def assert_nothing_left(self):
        """Neither a process nor a run directory: only the daemon."""
        daemon = {self.daemon_pid()}
        wait_for(lambda: set(processes_with(self.dir)) <= daemon, "everything but the daemon to end", 20)
        run = os.path.join(self.environment["XDG_STATE_HOME"], "pwemu/run")
        wait_for(lambda: not os.path.exists(run) or not os.listdir(run), "its run directory to go", 20)
        self.assertEqual(json.loads(self.pwemu("ls", "-o", "json")), [])
