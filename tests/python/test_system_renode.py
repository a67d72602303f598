# SPDX-License-Identifier: Apache-2.0
"""Renode on a daemon of all users: it is the user's, and what it makes in a directory where he can write is opened with care."""

import json
import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from pwemu_fixture import PWEMU, ROOT, firmware, read_proc, wait_for  # noqa: E402
from users_fixture import SystemCase  # noqa: E402

FAKE = os.path.join(ROOT, "tests/fake/renode")
ELF = firmware("echo.elf", "stm32f4-discovery")


class Renode(SystemCase):
    def project(self, **keys):
        renode = {"executable": FAKE, "machine": "platforms/boards/stm32f4_discovery-kit.repl", **keys}
        target = {"renode": {**renode, "channels": {"type": "none", "terminals": {"serial0": {"device-path": "sysbus.usart2"}}}}}
        path = os.path.join(self.homes[self.alice], "pwemu.json")
        with open(path, "w", encoding="ascii") as file:
            json.dump({"targets": {"board": target}}, file)
        os.chown(path, self.uids[self.alice], -1)

    def boot(self, *words):
        self.project()
        self.cli(self.alice, "start", "-q", "board", "-f", ELF, "--restart", "no", *words)
        return self.status_as(self.alice)

    def test_everything(self):
        """Set-up, output, input, load, gdb, adoption and a good end."""
        instance = self.boot()
        status = dict(line.split(":", 1) for line in read_proc(instance["pid"], "status").decode().splitlines())
        self.assertEqual(status["Uid"].split(), [str(self.uids[self.alice])] * 4)
        self.cli(self.alice, "send", "-q", "-l", "hello", "--expect", "got: hello", "--timeout", "30s")
        self.cli(self.alice, "load", "-q", ELF)
        wait_for(lambda: self.cli(self.alice, "logs").count("ready> ") >= 3, "the loaded image to run")
        self.restart_daemon()
        self.cli(self.alice, "send", "-q", "-l", "again", "--expect", "got: again", "--timeout", "30s")
        self.cli(self.alice, "gdb-cmds", "print $pc")
        self.cli(self.alice, "stop", "-q")
        self.assertFalse(self.status_as(self.alice)["end"]["tail_unknown"])
        self.assertNotEqual(self.cli(self.alice, "logs", "emulator"), "")

    def test_its_directory(self):
        """It is root's and the user's to write in; not to be mounted on, not another's."""
        instance = self.boot()
        path = os.path.join(self.run_dir, instance["id"], "renode")
        info = os.stat(path)
        self.assertEqual((info.st_uid, info.st_mode & 0o1007), (0, 0o1000))
        self.as_user(self.alice, ["touch", os.path.join(path, "mine")])
        self.as_user(self.bob, ["ls", path], code=2)

    def test_planted_links(self):
        """What a user puts in place of Renode's terminal and log leads the daemon nowhere."""
        secret = os.path.join(self.dir, "secret")
        with open(secret, "w", encoding="ascii") as file:
            file.write("untouched\n")
        os.chmod(secret, 0o600)
        for name, target in (("serial0.pty", secret), ("serial0.pty", "/dev/ptmx"), ("renode.log", secret)):
            with self.subTest(name, target=target):
                environment = self.user_environment(self.alice)
                self.project()
                start = self.popen(self.alice, [PWEMU, "start", "-q", "board", "-f", ELF, "--restart", "no", "-i", "x"], environment=environment)
                wait_for(lambda: self.planted(name, target), "the link to be planted")
                start.communicate(timeout=60)
                self.assertNotIn("untouched", self.cli(self.alice, "logs", "-i", "x", code=None) + self.cli(self.alice, "logs", "emulator", "-i", "x", code=None))
                with open(secret, encoding="ascii") as file:
                    self.assertEqual(file.read(), "untouched\n")
                self.cli(self.alice, "rm", "-q", "--force", "-i", "x", code=None)

    def planted(self, name, target):
        """Keeps trying to be where Renode's own is looked for."""
        done = False
        for entry in os.listdir(self.run_dir) if os.path.isdir(self.run_dir) else ():
            place = os.path.join(self.run_dir, entry, "renode")
            if os.path.isdir(place):
                script = f"ln -sfn {target} {place}/{name}"
                done = subprocess.run(["setpriv", "--reuid", str(self.uids[self.alice]), "--clear-groups", "sh", "-c", script], check=False).returncode == 0
        return done


if __name__ == "__main__":
    unittest.main()
