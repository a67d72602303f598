# SPDX-License-Identifier: Apache-2.0
"""Ends: what they are called, what follows, what is told, and that nothing is left."""

import json
import os
import signal

from cases import PROMPT, DriverCase, wait_for
from pwemu_fixture import is_alive, read_proc

ON_FAILURE = ("--restart", "on-failure,delay=10ms")


class Ends(DriverCase):
    def test_killed(self):
        self.boot("hello.elf")
        self.see("hello from")
        pids = self.tree()
        os.kill(pids[0], signal.SIGKILL)
        end = self.wait_end()
        self.assertEqual((end["cause"], end["signal"], end["boot"]), ("killed", signal.SIGKILL, 1))
        self.assertTrue(end["message"])
        self.assertEqual([pid for pid in pids if is_alive(pid)], [])
        self.assert_nothing_left()
        self.boot_echo()
        self.assert_echoes()

    def test_killed_behind_its_launcher(self):
        """What the kernel takes when memory is short is the program itself, not the script that has started it."""
        self.boot("hello.elf")
        self.see("hello from")
        os.kill(self.tree()[-1], signal.SIGKILL)
        self.assertEqual(self.wait_end()["cause"], "killed")
        self.assert_nothing_left()

    def test_terminated(self):
        self.boot("hello.elf")
        os.kill(self.info()["pid"], signal.SIGTERM)
        self.assertEqual(self.wait_end()["cause"], "killed")
        self.assert_nothing_left()

    def test_killed_shim(self):
        """The emulator does not outlive it."""
        pid = self.boot("hello.elf")["pid"]
        shim = int(read_proc(pid, "stat").rsplit(b")", 1)[1].split()[1])
        self.assertIn(b"pwemu-shim", read_proc(shim, "cmdline"))
        pids = self.tree()
        os.kill(shim, signal.SIGKILL)
        self.assertEqual(self.wait_end()["cause"], "killed")
        wait_for(lambda: not any(is_alive(pid) for pid in pids), "the emulator to be gone")
        self.assert_nothing_left()

    def test_stop_takes_the_whole_tree(self):
        self.boot("seq.elf")
        pids = self.tree()
        self.on("default", "stop")
        self.assertEqual([pid for pid in pids if is_alive(pid)], [])
        self.assertEqual(self.info()["end"]["cause"], "stopped")
        self.assert_nothing_left()

    def test_stop_of_a_frozen_one(self):
        """It answers nothing; it ends as any other, within the grace."""
        self.boot("seq.elf")
        pids = self.signal_all(signal.SIGSTOP)
        self.on("default", "stop", "--grace", "1s")
        self.assertEqual([pid for pid in pids if is_alive(pid)], [])
        self.assertEqual(self.info()["end"]["cause"], "stopped")
        self.assert_nothing_left()

    def test_rm_of_a_frozen_one(self):
        self.boot("seq.elf")
        self.signal_all(signal.SIGSTOP)
        self.on("default", "rm", "--force")
        self.assert_nothing_left()

    def test_commands_to_a_frozen_one(self):
        """What is asked of it is answered at the latest with its end: it may be thawed for that, and then say yes."""
        self.boot("seq.elf")
        self.signal_all(signal.SIGSTOP)
        number = self.board.number
        asked = [self.popen("pause"), self.popen("prop-get", number.path, number.name)]
        self.assertEqual(self.info()["state"], "running")
        self.on("default", "stop", "--grace", "100ms")
        for process in asked:
            self.assertIn(process.wait(60), (0, 1))
        self.assert_nothing_left()


class Watching(DriverCase):
    def events(self, name="default"):
        return [json.loads(line) for line in self.on(name, "events", "-o", "json").splitlines()]

    def test_wait(self):
        self.boot("seq.elf", "--pause")
        self.pwemu("wait", "--state", "paused", "--timeout", "5s")
        self.pwemu("wait", "--state", "running", "--timeout", "100ms", code=124)
        waiting = self.popen("wait", "--state", "running")
        self.pwemu("resume")
        self.assertEqual(waiting.wait(60), 0)
        waiting = self.popen("wait", "--exit")
        missed = self.popen("wait", "--expect", "never seen")
        self.on("default", "stop")
        self.assertEqual((waiting.wait(60), missed.wait(60)), (0, 1))

    def test_events(self):
        """All that happened, in order; who follows gets it too."""
        self.boot("echo.elf")
        follower = self.popen("-i", "default", "events", "-f", "-o", "json")
        self.pwemu("pause")
        self.pwemu("resume")
        self.kill_daemon()
        self.on("default", "stop")
        self.assertEqual(follower.wait(60), 0)
        events = self.events()
        states = [event["state"] for event in events if event["kind"] == "state"]
        self.assertEqual(states[0], "starting")
        self.assertEqual(states[-1], "ended")
        for state in ("running", "paused"):
            self.assertIn(state, states)
        self.assertEqual([event["end"]["cause"] for event in events if event["kind"] == "end"], ["stopped"])
        followed = [json.loads(line)["seq"] for line in follower.stdout.read().splitlines()]
        seen = [event["seq"] for event in events]
        self.assertEqual(followed, [number for number in seen if number >= followed[0]])

    def test_status_of_an_ended_one(self):
        self.boot("hello.elf")
        self.on("default", "stop")
        self.assertEqual(self.run_any("status").returncode, 3)


class Policies(DriverCase):
    def test_on_failure(self):
        """It comes back, with a new process, in the same log; clients go on."""
        first = self.boot_echo(*ON_FAILURE)
        term = self.attach("term")
        self.read_until(term, PROMPT)
        os.kill(first["pid"], signal.SIGKILL)
        second = self.wait_boot(2)
        self.assertNotEqual(second["pid"], first["pid"])
        self.assertEqual((second["id"], second["restarts"], second["end"]), (first["id"], 1, None))
        self.assertEqual([(end["cause"], end["signal"], end["boot"]) for end in second["ends"]], [("killed", signal.SIGKILL, 1)])
        self.read_until(term, PROMPT)
        self.type_in(term, b"still here\r")
        self.read_until(term, b"got: still here")
        self.assertEqual(self.out("--boot", "1"), PROMPT)
        self.assertTrue(self.out("--boot", "2").startswith(PROMPT + b"still here"))
        self.on("default", "stop")
        self.assertEqual(self.info()["boot"], 2)
        self.assert_nothing_left()

    def test_bytes_over_restarts(self):
        """Each boot begins with its first byte; what was seen is what the log has."""
        self.boot("seq.elf", *ON_FAILURE)
        process = self.popen("-q", "logs", "-f")
        seen = b""
        for boot in (2, 3):
            self.wait_output(self.board.output // 5)
            os.kill(self.info()["pid"], signal.SIGKILL)
            self.wait_boot(boot)
        self.wait_output(self.board.output // 5)
        self.on("default", "stop")
        while data := os.read(process.stdout.fileno(), 1 << 16):
            seen += data
        self.assertEqual(seen, self.out())
        self.assertEqual(seen.count(b"00000000\n00000001\n"), 3)
        for boot in ("1", "2", "3"):
            self.assertTrue(self.out("--boot", boot).startswith(b"00000000\n"), boot)

    def test_paused_comes_back_paused(self):
        first = self.boot("seq.elf", "--pause", *ON_FAILURE)
        os.kill(first["pid"], signal.SIGKILL)
        self.assertEqual(self.wait_boot(2)["state"], "paused")
        self.assertEqual(self.out(), b"")
        self.pwemu("resume")
        self.assert_runs()

    def test_killed_behind_its_launcher(self):
        self.boot_echo(*ON_FAILURE)
        os.kill(self.tree()[-1], signal.SIGKILL)
        self.wait_boot(2)
        self.wait_count(PROMPT, 2)
        self.assert_echoes()

    def test_stopped_and_no(self):
        """A stop is no failure; nor does it come back without a policy."""
        self.boot("hello.elf", *ON_FAILURE)
        self.on("default", "stop")
        self.boot("hello.elf", name="no")
        os.kill(self.info("no")["pid"], signal.SIGKILL)
        self.assertEqual(self.wait_end("no")["cause"], "killed")
        self.assertEqual([self.info(name)["boot"] for name in ("default", "no")], [1, 1])
        self.assert_nothing_left()

    def test_killed_while_no_daemon(self):
        pid = self.boot_echo(*ON_FAILURE)["pid"]
        self.kill_daemon()
        os.kill(pid, signal.SIGKILL)
        self.assertEqual(self.wait_boot(2)["ends"][0]["cause"], "killed")
        self.wait_count(PROMPT, 2)
        self.assert_echoes()

    def test_hang(self):
        """It does not answer any more: told, killed and started again."""
        self.configure(target={"hang": {"answer": f"{self.board.answer_ms}ms", "action": "restart"}})
        self.boot_echo()
        pids = self.signal_all(signal.SIGSTOP)
        again = self.wait_boot(2)
        self.assertEqual(again["ends"][0]["cause"], "hung")
        self.assertEqual([pid for pid in pids if is_alive(pid)], [])
        self.wait_count(PROMPT, 2)
        self.assert_echoes()
        kinds = [json.loads(line)["kind"] for line in self.on("default", "events", "-o", "json").splitlines()]
        self.assertIn("hang", kinds)

    def test_no_hang(self):
        """Busy, paused or adopted is not hung."""
        self.configure(target={"hang": {"answer": f"{self.board.answer_ms}ms", "action": "stop"}})
        self.boot("seq.elf")
        self.wait_output(3 * self.board.output)
        self.pwemu("pause")
        self.kill_daemon()
        self.pwemu("wait", "--exit", "--timeout", f"{3 * self.board.answer_ms}ms", code=124)
        self.assert_silent()
        self.pwemu("resume")
        self.assert_runs()
