# SPDX-License-Identifier: Apache-2.0
"""Many users and the network: whose token makes whom of a client. Needs root."""

import json
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from pwemu_fixture import BOARD, CALL_DEADLINE, PATH, PWEMU, daemon_pb2, firmware, wait_for  # noqa: E402
from users_fixture import SANITIZERS, SystemCase  # noqa: E402


class Network(SystemCase):
    def start_daemon(self, **options):
        self.settings = {"listen": "tcp://127.0.0.1:0"}
        return super().start_daemon(**options)

    def remote(self, url, *words, code=0):
        """Somebody on another machine: nothing but the address tells who it is."""
        result = subprocess.run([PWEMU, *words], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=CALL_DEADLINE, check=False,
                                cwd="/", env={"PATH": PATH, "HOME": "/nonexistent", "PWEMU_HOST": url, **SANITIZERS})  # fmt: skip
        self.assertEqual(result.returncode, code, result.stdout + result.stderr)
        return result.stdout if code == 0 else result.stderr

    def token(self, user, *words):
        return re.search(r"'(tcp://.*)'", self.cli(user, "token", "add", *words))[1]

    def root_token(self, user):
        return self.control.AddToken(daemon_pb2.AddTokenRequest(user=user), timeout=CALL_DEADLINE).url

    def moved(self, url):
        """After a restart, which takes another port."""
        listen = self.control.Info(daemon_pb2.InfoRequest(), timeout=CALL_DEADLINE).listen[0]
        return listen + url[url.index("?") :]

    def test_whose(self):
        alice, bob = self.token(self.alice), self.root_token(self.bob)
        self.remote(alice, "start", BOARD, "-i", "hers", "-f", firmware("echo.elf"))
        row = json.loads(self.remote(alice, "-i", "hers", "status", "-o", "json"))
        self.assertEqual(row["owner"], self.alice)
        self.assertEqual(os.stat(f"/proc/{row['pid']}").st_uid, self.uids[self.alice])
        self.assertIn("hers", self.cli(self.alice, "ls"))
        self.assertNotIn("hers", self.remote(bob, "ls", "--all-users"))
        self.remote(bob, "-i", f"{self.alice}/hers", "stop", code=1)
        self.cli(self.alice, "share", "-i", "hers", "--with", self.bob, "view")
        self.assertIn("hers", self.remote(bob, "ls"))
        self.remote(bob, "-i", f"{self.alice}/hers", "stop", code=1)
        self.remote(alice, "-i", "hers", "stop")

    def test_who_makes_them(self):
        """Everybody for himself, root for all, and nobody sees others'."""
        self.assertIn("can only be made by that user or root", self.cli(self.alice, "token", "add", self.bob, code=1))
        self.assertIn("nobody-at-all", self.cli(self.alice, "token", "add", "nobody-at-all", code=1))
        self.token(self.alice, self.alice, "--note", "laptop")
        self.root_token(self.bob)
        mine = json.loads(self.cli(self.alice, "token", "ls", "-o", "json"))
        self.assertEqual([(row["user"], row["uid"], row["note"]) for row in mine], [(self.alice, self.uids[self.alice], "laptop")])
        everybodys = self.control.ListTokens(daemon_pb2.ListTokensRequest(), timeout=CALL_DEADLINE).tokens
        self.assertEqual(sorted(row.user for row in everybodys), sorted([self.alice, self.bob]))
        theirs = next(row.id for row in everybodys if row.user == self.bob)
        self.assertIn("there is no token", self.cli(self.alice, "token", "rm", theirs, code=1))
        self.cli(self.bob, "token", "rm", theirs)

    def test_restart(self):
        """The first call after a start waits for the name service, and is not refused."""
        url = self.token(self.alice)
        self.restart_daemon()
        self.assertIn("NAME", self.remote(self.moved(url), "ls"))
        info = self.control.Info(daemon_pb2.InfoRequest(), timeout=CALL_DEADLINE)
        self.assertTrue(info.is_system)

    def test_another_uid(self):
        """A name that has become somebody else's is not the one that the token was made for."""
        url = self.token(self.alice)
        path = os.path.join(self.daemon.state_dir, "tokens")
        with open(path, encoding="utf-8") as file:
            text = file.read()
        with open(path, "w", encoding="utf-8") as file:
            file.write(text.replace(f"\t{self.uids[self.alice]}\t", f"\t{self.uids[self.bob]}\t"))
        self.restart_daemon()
        self.assertIn("another one than when the token was made", self.remote(self.moved(url), "ls", code=1))

    def test_not_root(self):
        """What is the administrator's is nobody else's over the network either; root's token is root."""
        self.assertIn("administrators", self.remote(self.token(self.alice), "daemon", "reload", code=1))
        url = self.root_token("root")
        self.remote(url, "daemon", "reload")
        wait_for(lambda: "settings read" in self.daemon.log_text(), "the reload")
