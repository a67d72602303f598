# SPDX-License-Identifier: Apache-2.0
"""Pre-start and post-start commands: programs beside the emulator for the life of the instance; and what its working directory shows."""

import json
import os
import signal
import stat
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import grpc  # noqa: E402
from pwemu_fixture import (  # noqa: E402
    BOARD, CALL_DEADLINE, PATH, Case, instances_pb2, is_alive, processes_with, read_proc, targets_pb2, wait_for,
)  # fmt: skip

Code = grpc.StatusCode
State = instances_pb2
FOREVER = ["sleep", "100000"]


def command(name, *argv, required=False):
    return targets_pb2.HelperCommand(name=name, argv=argv or FOREVER, required=required)


def shell(name, script, required=False):
    return command(name, "sh", "-c", script, required=required)


class Commands(Case):
    """Short ways to start an instance with commands."""

    def setUp(self):
        super().setUp()
        self.wdir = os.path.join(self.dir, "wdir")

    def target(self, pre=(), post=(), channels=None, args=()):
        target = self.targets.Get(targets_pb2.GetTargetRequest(name=BOARD), timeout=CALL_DEADLINE)
        target.pre_start.extend(pre)
        target.post_start.extend(post)
        target.qemu.args.extend(args)
        for name, kind in (channels or {}).items():
            next(row for row in target.channels if row.name == name).type = kind
        return target

    def begin(self, pre=(), post=(), image="slow.elf", channels=None, args=(), emulator_args=(), **fields):
        """Starts it in its own working directory."""
        fields.setdefault("working_dir", self.wdir)
        target = self.target(pre, post, channels, emulator_args)
        return self.start(image, target_config=target, args=args, **fields)

    def fails(self, code, reason, text, **parts):
        target = self.target(**parts)
        request = self.request("slow.elf", target_config=target, working_dir=self.wdir)
        return self.assert_fails(code, reason, self.instances.Start, request, timeout=CALL_DEADLINE, text=text)

    def process(self, name):
        return next(row for row in self.get().processes if row.name == name)

    def pid(self, name):
        return self.process(name).pid

    def path(self, name):
        return os.path.join(self.wdir, name)

    def text(self, name):
        with open(self.path(name), encoding="utf-8") as file:
            return file.read()

    def handles(self):
        return json.loads(self.text("handles.json"))

    def wait_text(self, name, text):
        wait_for(lambda: os.path.exists(self.path(name)) and text in self.text(name), f"{text!r} in {name}")

    def events(self, kind=State.EVENT_KIND_PROCESS):
        request = instances_pb2.WatchRequest(from_seq=1, no_follow=True)
        return [event for event in self.instances.Watch(request, timeout=CALL_DEADLINE) if event.kind == kind]

    def wait_event(self):
        return wait_for(self.events, "an event")[0]


class Life(Commands):
    def test_begin_and_end(self):
        """In order, in the background, in the caller's place; their whole trees go with the instance."""
        instance = self.begin(
            pre=[shell("one", "echo first; pwd; umask; exec sleep 100000"), command("two")],
            post=[shell("three", 'echo "$GREETING" >&2; cat; exec sleep 100000')],
            environment=self.environment("GREETING=hello", cwd=self.dir, umask=0o27),
        )
        self.assertEqual([row.name for row in instance.processes], ["one", "two", "qemu", "three"])
        pids = [row.pid for row in instance.processes]
        self.assertTrue(all(is_alive(pid) for pid in pids), pids)
        began = [int(read_proc(pid, "stat").rsplit(b")", 1)[1].split()[19]) for pid in pids]
        self.assertEqual(began, sorted(began))
        self.assertEqual(instance.pid, pids[2])
        self.wait_text("one.log", f"first\n{self.dir}\n0027\n")
        self.wait_text("three.log", "hello\n")
        for row in instance.processes:
            self.assertEqual(self.text(row.name + ".pid"), str(row.pid))
            self.assertEqual(os.path.realpath(self.path(row.name + ".log")), row.log)
        self.stop()
        self.assertEqual([pid for pid in pids if is_alive(pid)], [])
        self.assertEqual(sorted(os.listdir(self.wdir)), ["one.log", "qemu.log", "three.log", "two.log"])
        self.assertEqual(self.events(), [])
        self.assert_nothing_runs()

    def test_again(self):
        """A log begins anew with each explicit start."""
        self.begin(post=[shell("one", "echo word; exec sleep 100000")])
        self.wait_text("one.log", "word\n")
        self.stop()
        self.assertEqual(self.text("one.log"), "word\n")
        self.begin(post=[shell("one", "echo other; exec sleep 100000")])
        self.wait_text("one.log", "other\n")
        self.assertEqual(self.text("one.log"), "other\n")


if __name__ == "__main__":
    unittest.main()
