# SPDX-License-Identifier: Apache-2.0
"""Control groups: where the administrator has delegated a place emulators run in groups of their own below it, of each user one."""

import json
import os
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from pwemu_fixture import BOARD, firmware, read_proc, wait_for  # noqa: E402
from users_fixture import SystemCase  # noqa: E402


def place():
    """A new group of the host's; None: there is no cgroup v2 that we may write to."""
    with open("/proc/self/mountinfo", encoding="ascii") as file:
        for line in file:
            before, after = line.split(" - ")
            if after.split()[0] == "cgroup2" and os.access(before.split()[4], os.W_OK):
                try:
                    return tempfile.mkdtemp(prefix="pwemu-test-", dir=before.split()[4])
                except OSError:
                    continue
    return None


def group_of(pid):
    return read_proc(pid, "cgroup").decode().split("0::", 1)[1].split("\n")[0]


class Groups(SystemCase):
    def setUp(self):
        super().setUp()
        self.place = place()
        if self.place is None:
            self.skipTest("optional: cgroup: no control groups (v2) may be made here")
        self.addCleanup(self.remove)
        self.configure()

    def remove(self):
        for at, names, _ in os.walk(self.place, topdown=False):
            for name in names:
                os.rmdir(os.path.join(at, name))
        os.rmdir(self.place)

    def configure(self, **settings):
        self.settings = {"cgroup": self.place, **settings}  # also those of the next daemon
        self.write_settings(**self.settings)
        self.pwemu("daemon", "reload")

    def groups(self):
        return sorted(os.path.relpath(at, self.place) for at, _, _ in os.walk(self.place) if at != self.place)

    def controllers(self):
        with open(os.path.join(self.place, "cgroup.controllers"), encoding="ascii") as file:
            return file.read().split()

    def read(self, *names):
        with open(os.path.join(self.place, *names), encoding="ascii") as file:
            return file.read().strip()

    def refused(self, *words):
        return self.cli(self.alice, "start", "-q", BOARD, "-f", firmware("hello.elf"), *words, code=1)

    def test_place(self):
        """The emulator and its commands are in it, with all that they start; daemon and shim are not. It goes with the instance."""
        path = os.path.join(self.homes[self.alice], "pwemu.json")
        with open(path, "w", encoding="ascii") as file:
            json.dump({"targets": {"t": {"base": BOARD, "pre-start-cmds": {"before": ["sh", "-c", "sleep 1000 & exec sleep 1001"]}}}}, file)
        os.chown(path, self.uids[self.alice], -1)
        self.cli(self.alice, "start", "-q", "t", "-f", firmware("hello.elf"), "-C", "wdir")
        ours = json.loads(self.cli(self.alice, "ls", "-o", "json"))[0]
        bobs = self.start_as(self.bob, name="other")
        user = f"user-{self.uids[self.alice]}"
        self.assertEqual(self.groups(), sorted([user, f"{user}/{ours['id']}", f"user-{self.uids[self.bob]}", f"user-{self.uids[self.bob]}/{bobs['id']}"]))
        wait_for(lambda: len(self.read(user, ours["id"], "cgroup.procs").split()) == 3, "the emulator and two sleeping ones")
        mine = group_of(os.getpid())
        self.assertEqual(group_of(self.daemon.pid), mine)
        shim = next(line.split()[1] for line in read_proc(ours["pid"], "status").decode().splitlines() if line.startswith("PPid"))
        self.assertEqual(group_of(shim), mine)
        self.assertTrue(group_of(ours["pid"]).endswith(f"/{user}/{ours['id']}"), group_of(ours["pid"]))
        self.cli(self.alice, "stop", "-q")
        wait_for(lambda: not [name for name in self.groups() if name.startswith(user)], "its groups to go")
        self.cli(self.bob, "restart", "-q", "-i", "other")
        self.assertEqual(self.groups(), [f"user-{self.uids[self.bob]}", f"user-{self.uids[self.bob]}/{bobs['id']}"])
        self.cli(self.bob, "stop", "-q", "-i", "other")
        wait_for(lambda: self.groups() == [], "all groups to go")

    def test_after_the_daemon_died(self):
        """The next one removes the group of what it has adopted."""
        instance = self.start_as(self.alice)
        self.daemon.kill()
        self.start_daemon()
        self.assertEqual(len(self.groups()), 2)
        self.assertEqual(self.status_as(self.alice)["pid"], instance["pid"])
        self.cli(self.alice, "stop", "-q")
        wait_for(lambda: self.groups() == [], "its groups to go")

    def test_places_that_are_none(self):
        for path, text in (("/tmp", "no file system of control groups"), (self.place + "/none", "No such file"), ("relative", "No such file")):
            with self.subTest(path):
                self.write_settings(cgroup=path)
                self.pwemu("daemon", "reload")
                said = self.refused()
                self.assertIn(f'control group "{path}" (setting cgroup)', said)
                self.assertIn(text, said)
        self.write_settings()
        self.pwemu("daemon", "reload")
        self.cli(self.alice, "start", "-q", BOARD, "-f", firmware("hello.elf"))

    def test_limits_without_a_place(self):
        for key in ("user-memory", "user-cpu-percent"):
            self.write_settings(**{key: 1000})
            self.assertIn(f'{key} needs "cgroup"', self.pwemu("daemon", "reload", code=1))

    def test_limits_that_cannot_be_kept(self):
        """Nothing is started without a limit that was asked for."""
        for controller, file, settings in (("memory", "memory.max", {"user-memory": "1G"}), ("memory", "memory.max", {"emulator-memory": "1G"}),
                                           ("cpu", "cpu.max", {"user-cpu-percent": 50})):
            if controller in self.controllers():
                continue
            with self.subTest(**settings):
                self.configure(**settings)
                self.assertIn(file, self.refused())
                self.assertEqual(self.groups(), [])

    def test_limits(self):
        if not {"memory", "cpu"} <= set(self.controllers()):
            self.skipTest("optional: cgroup: its controllers memory and cpu are not there")
        self.configure(**{"user-memory": "1G", "user-cpu-percent": 150, "emulator-memory": "256M"})
        instance = self.start_as(self.alice)
        user = f"user-{self.uids[self.alice]}"
        self.assertEqual(self.read(user, "memory.max"), str(1 << 30))
        self.assertEqual(self.read(user, "cpu.max"), "150000 100000")
        self.assertEqual(self.read(user, instance["id"], "memory.max"), str(256 << 20))
        self.cli(self.alice, "stop", "-q")
        self.configure(**{"emulator-memory": "8M"})
        self.cli(self.alice, "start", "-q", BOARD, "-f", firmware("hello.elf"), "--restart", "no", code=None)
        self.assertIn("settings emulator-memory, user-memory", self.status_as(self.alice)["end"]["message"])


if __name__ == "__main__":
    unittest.main()
