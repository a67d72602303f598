# SPDX-License-Identifier: Apache-2.0
"""The queue: what may not run at once waits, in order, and no verdict suffers from it."""

import json
import os
import signal
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import grpc
from pwemu_cli import PWEMU, CliCase
from pwemu_fixture import (
    BOARD, CALL_DEADLINE, IS_SANITIZED, PWEMUD, Case, firmware, instances_pb2, instances_pb2_grpc, targets_pb2, wait_for,
)  # fmt: skip

Code = grpc.StatusCode
State = instances_pb2
RUNS = 40 if IS_SANITIZED else 200


class Queue(Case):
    def setUp(self):
        self.configure_before = {"max-running": 2, "lease-grace": "10ms"}
        super().setUp()

    def start_daemon(self, **options):
        self.configure(self.configure_before)
        return super().start_daemon(**options)

    def queue(self, name, **fields):
        return self.start("hello.elf", name, answer_queued=True, **fields)

    def states(self):
        return {row.name: row.state for row in self.list(False)}

    def places(self):
        """Who waits, in the order of the queue."""
        rows = [row for row in self.list(False) if row.state == State.STATE_QUEUED]
        rows.sort(key=lambda row: row.queue_position)
        self.assertEqual([row.queue_position for row in rows], list(range(1, len(rows) + 1)))
        return [row.name for row in rows]

    def wait_running(self, name):
        wait_for(lambda: self.states().get(name) == State.STATE_RUNNING, f"{name} to run")

    def fill(self):
        for name in ("r1", "r2"):
            self.assertEqual(self.queue(name).state, State.STATE_RUNNING)

    def test_order(self):
        self.fill()
        for name in ("a", "b", "c", "d"):
            instance = self.queue(name)
            self.assertEqual((instance.state, instance.pid, instance.boot), (State.STATE_QUEUED, 0, 0))
        self.assertEqual(self.places(), ["a", "b", "c", "d"])
        run = os.path.join(self.daemon.state_dir, "run")
        self.assertEqual(len(os.listdir(run)), 2, "one that waits holds nothing")
        self.stop("b")
        self.assertEqual(self.places(), ["a", "c", "d"])
        self.assertNotIn("b", [row.name for row in self.list()])
        self.stop("r1")
        self.wait_running("a")
        self.assertEqual(self.places(), ["c", "d"])
        self.assertEqual(self.states()["r2"], State.STATE_RUNNING)

    def test_start_waits(self):
        """Who does not ask for an answer before gets it when the guest runs."""
        self.fill()
        call = self.instances.Start.future(self.request("hello.elf", "late"), timeout=CALL_DEADLINE)
        wait_for(lambda: self.places() == ["late"], "it to wait")
        self.assertFalse(call.done())
        self.stop("r1")
        self.assertEqual(call.result().state, State.STATE_RUNNING)

    def test_timeout(self):
        self.fill()
        self.assert_fails(Code.DEADLINE_EXCEEDED, "queue-timeout", self.start, "hello.elf", "late", queue_timeout_ms=200)
        self.assertNotIn("late", [row.name for row in self.list()])
        self.queue("later", queue_timeout_ms=200)
        last = self.wait_until_over("later")
        self.assertEqual((last.state, last.refusal), (State.STATE_FAILED, "queue-timeout"))
        self.assertNotIn("later", [row.name for row in self.list()])

    def test_timeout_of_one_that_has_run(self):
        """What it left before stays."""
        self.queue("old")
        wait_for(lambda: b"hello" in self.read_all(name="old").lower(), "its text")
        self.stop("old")
        self.fill()
        again = self.queue("old", queue_timeout_ms=200)
        self.assertEqual((again.state, again.started_ns), (State.STATE_QUEUED, 0))
        self.assertEqual(self.wait_until_over("old").state, State.STATE_FAILED)
        self.assertIn(b"hello", self.read_all(name="old").lower())

    def test_daemon_restart(self):
        """The queue and its order are kept, the time of waiting goes on."""
        self.fill()
        for name in ("c", "a", "b"):
            self.queue(name)
        self.queue("late", queue_timeout_ms=300)
        self.restart_daemon()
        wait_for(lambda: "late" not in self.states(), "its time to be over")
        self.assertEqual(self.places(), ["c", "a", "b"])
        self.queue("d")
        self.assertEqual(self.places(), ["c", "a", "b", "d"])
        self.stop("r2")
        self.wait_running("c")
        self.assertEqual(self.places(), ["a", "b", "d"])

    def test_reload(self):
        self.fill()
        for name in ("a", "b", "c"):
            self.queue(name)
        self.configure({"max-running": 4})
        self.wait_running("a")
        self.wait_running("b")
        self.assertEqual(self.places(), ["c"])
        self.configure({})
        self.wait_running("c")

    def test_client_leaves(self):
        self.fill()
        channel = self.daemon.channel()
        stub = instances_pb2_grpc.InstancesStub(channel)
        stub.Start(self.request("hello.elf", "a", answer_queued=True, stop_on_disconnect=True), timeout=CALL_DEADLINE)
        self.queue("b")
        self.assertEqual(self.places(), ["a", "b"])
        channel.close()
        wait_for(lambda: self.places() == ["b"], "it to leave the queue")

    def test_crash_keeps_its_place(self):
        """Between two boots nobody takes it."""
        policy = targets_pb2.RestartPolicy(mode=targets_pb2.RESTART_MODE_ON_FAILURE, delay_ms=300, stable_ms=1)
        crashing = self.queue("r1", restart=policy)
        self.queue("r2")
        self.queue("a")
        os.kill(crashing.pid, signal.SIGSEGV)
        wait_for(lambda: self.get("r1").boot == 2 and self.states()["r1"] == State.STATE_RUNNING, "the next boot")
        self.assertEqual(self.places(), ["a"])
        events = self.instances.Watch(instances_pb2.WatchRequest(instance=self.ref("a"), from_seq=1, no_follow=True), timeout=CALL_DEADLINE)
        self.assertEqual([event.state for event in events], [State.STATE_QUEUED])

    def test_refused_at_its_turn(self):
        self.fill()
        target = self.targets.Get(targets_pb2.GetTargetRequest(name=BOARD), timeout=CALL_DEADLINE)
        target.qemu.executable = "no-such-emulator"
        self.queue("bad", target_config=target)
        watch = self.instances.Watch(instances_pb2.WatchRequest(instance=self.ref("bad"), snapshots=True), timeout=CALL_DEADLINE)
        self.assertEqual(next(watch).snapshot.state, State.STATE_QUEUED)
        self.queue("good")
        self.stop("r1")
        self.assertEqual([event for event in watch][-1].snapshot.refusal, "emulator-not-found")
        self.wait_running("good")


class Runs(CliCase):
    def result(self, name):
        with open(os.path.join(self.dir, name), encoding="utf-8") as file:
            return json.load(file)

    def run_in_queue(self, *words, board=BOARD):
        return self.popen("run", board, *words)

    def wait_queued(self, count=1):
        def queued():
            return sum(row["state"] == "queued" for row in json.loads(self.pwemu("ls", "-o", "json"))) == count

        wait_for(queued, "runs to wait")

    def test_one_after_the_other(self):
        """--timeout begins with the guest; what the guest says is there from its first byte."""
        self.settings({"max-running": 1})
        self.pwemu("start", BOARD, "-i", "first", "-f", firmware("hello.elf"))
        path = os.path.join(self.dir, "result.json")
        logs = os.path.join(self.dir, "logs")
        run = self.run_in_queue("--timeout", "5s", "--result", path, "--log-dir", logs, firmware("exit.elf"), "--", "7")
        self.wait_queued()
        table = self.pwemu("ls")
        self.assertIn("queued", table)
        self.assertIn("number 1 in the queue", table)
        self.assertIn("queue:        number 1", self.pwemu("status", "-i", "run-1", code=0))
        self.kill_daemon()
        self.wait_queued()
        self.pwemu("stop", "-i", "first")
        out, err = run.communicate(timeout=CALL_DEADLINE)
        self.assertEqual((run.returncode, self.result("result.json")["verdict"]), (7, "failed"), err)
        self.assertIn(b"exit on", out)
        self.assertIn(b"queued, number 1", err)
        self.assertRegex(self.result("logs/result.json")["versions"]["emulator"], r"^[0-9]+\.[0-9]+\.[0-9]+")

    def test_ends_of_waiting(self):
        self.settings({"max-running": 1})
        self.pwemu("start", BOARD, "-i", "first", "-f", firmware("hello.elf"))
        image, path = firmware("exit.elf"), os.path.join(self.dir, "result.json")
        done = self.run_any("run", BOARD, "--queue-timeout", "200ms", "--result", path, image, "--", "7")
        self.assertEqual((done.returncode, done.out), (125, ""), done.err)
        verdict = self.result("result.json")
        self.assertEqual((verdict["verdict"], verdict["reason"]), ("pwemu-error", "queue-timeout"))
        done = self.run_any("start", BOARD, "-i", "second", "--queue-timeout", "200ms", "-f", image)
        self.assertEqual(done.returncode, 1)
        self.assertIn("waited in the queue", done.err)
        for end, code in ((lambda run: run.send_signal(signal.SIGTERM), 143), (lambda run: self.pwemu("stop", "-i", "run-%d" % number), 143)):
            run = self.run_in_queue(image, "--", "7")
            self.wait_queued()
            number = int(json.loads(self.pwemu("ls", "-o", "json"))[-1]["name"][4:])
            end(run)
            self.assertEqual(run.wait(CALL_DEADLINE), code, run.stderr.read())
        run = self.run_in_queue(image, "--", "7")
        self.wait_queued()
        run.kill()
        self.wait_queued(0)
        self.assertEqual([row["name"] for row in json.loads(self.pwemu("ls", "-a", "-o", "json"))], ["first"])

    def many(self, limit, count):
        self.settings({"max-running": limit})
        runs = []
        for number in range(count):
            path = os.path.join(self.dir, f"{number}.json")
            with open(os.path.join(self.dir, f"{number}.out"), "wb") as out:
                runs.append(subprocess.Popen([PWEMU, "run", BOARD, firmware("exit.elf"), "--result", path, "--", str(number % 120)],
                                             env=self.environment, cwd=self.work, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT))
        self.processes += runs
        wrong = {}
        for number, run in enumerate(runs):
            code = run.wait(200)
            verdict = self.result(f"{number}.json")
            with open(os.path.join(self.dir, f"{number}.out"), encoding="utf-8", errors="replace") as file:
                text = file.read()
            want = (number % 120, "passed" if number % 120 == 0 else "failed")
            if (code, verdict["verdict"]) != want or text.count("exit on") != 1 or text.count("leaving\n") != 1:
                wrong[number] = (code, verdict, text)
        self.assertEqual(wrong, {})
        self.assertEqual(len(json.loads(self.pwemu("ls", "-a", "-o", "json"))), count)

    def test_many_in_the_queue(self):
        self.many(3, RUNS)

    def test_many_at_once(self):
        self.many(0, RUNS)


class Users(unittest.TestCase):
    def test_setting_s_name(self):
        """One spelling."""
        done = subprocess.run([PWEMUD, "--help"], capture_output=True, text=True, timeout=CALL_DEADLINE, check=True)
        self.assertRegex(done.stdout, r"\n  max-running +0 ")


if __name__ == "__main__":
    unittest.main()
