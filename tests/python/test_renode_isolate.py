# SPDX-License-Identifier: Apache-2.0
"""Renode's network: what it listens on is open to everybody who reaches it, so that it gets one of its own where the host allows that."""

import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from renode_case import RenodeCase, network_of, only_fake, read_proc  # noqa: E402
from cases import TARGET, wait_for  # noqa: E402
from gdb_client import HOT, Mi  # noqa: E402

NOBODY = 65534
# A host that has no more network namespaces to give; and one that has no way out. The client takes its daemon there.
NO_NAMESPACES = ("unshare", "-Ur", "sh", "-c", 'echo 0 >/proc/sys/user/max_net_namespaces && exec "$@"', "sh")
NO_ROUTE = ("unshare", "-Urn")


def can(*before):
    return subprocess.run([*before, "true"], stderr=subprocess.DEVNULL, check=False).returncode == 0


needs_namespaces = unittest.skipUnless(can("unshare", "-Urn"), "optional: namespaces: this host does not allow unshare -Urn")


class IsolateCase(RenodeCase):
    def network(self, name="default"):
        """Whose: "own", "host" (the daemon's); all that tells it agrees."""
        info = self.info(name)
        is_own = network_of(info["pid"]) != network_of(self.daemon_pid())
        self.assertEqual(info["private_network"], is_own)
        shown = [line.split(None, 1)[1] for line in self.on(name, "status").splitlines() if line.startswith("network:")]
        self.assertEqual(shown, ["its own, with nothing but lo"] if is_own else ["the host's"])
        return "own" if is_own else "host"

    def assert_lo_alone(self, pid):
        """Nothing but lo is there, and it is up: it has its address."""
        names = [line.split(":")[0].strip() for line in read_proc(pid, "net/dev").decode().splitlines()[2:]]
        self.assertEqual(names, ["lo"])
        self.assertIn(b"127.0.0.1", read_proc(pid, "net/fib_trie"))

    def assert_debugs(self, port_is_private):
        """A breakpoint by gdb; and where Renode listens meanwhile."""
        mi = Mi(self, self.board.firmware("seq.elf"), dict(self.environment))
        mi.console(f"cd {self.work}")
        mi.console("target extended-remote | pwemu -q pipe gdb")
        mi.run(f"-break-insert {HOT}")
        mi.run("-exec-continue")
        mi.stopped("breakpoint-hit")
        listening = self.listening()
        self.assertEqual(listening == [], port_is_private, listening)
        self.assertEqual(len(self.listening(self.info()["pid"])), 1)
        mi.run("-target-detach")
        mi.exit()
        wait_for(lambda: not self.writer("gdb"), "the debugger to be gone")
        wait_for(lambda: not self.listening(self.info()["pid"]), "its server to be gone")
        self.assert_runs()


@needs_namespaces
class Allowed(IsolateCase):
    def test_auto(self):
        self.boot("seq.elf")
        self.assertEqual(self.network(), "own")
        self.assert_lo_alone(self.info()["pid"])
        self.assertEqual(self.listening(self.info()["pid"]), [])
        self.assert_debugs(True)
        self.kill_daemon()
        self.assertEqual(self.network(), "own")
        self.assert_debugs(True)

    def test_not_roots(self):
        """All of it by a user without privilege, who needs a user namespace for it."""
        if os.geteuid() != 0:
            self.skipTest("optional: root: test_auto is that already")
        for top, names, _ in os.walk(self.dir):
            for path in (top, *(os.path.join(top, name) for name in names)):
                os.chown(path, NOBODY, NOBODY)
        nobody = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
        if not can(*nobody, "unshare", "-Urn") or not can(*nobody, "sh", "-c", 'test -x "$0"', self.board.executable):
            self.skipTest("optional: namespaces: nobody may not make them, or not come here")
        self.as_pwemu(*nobody)
        self.boot("seq.elf")
        pid = self.info()["pid"]
        self.assertEqual(os.stat(f"/proc/{pid}").st_uid, NOBODY)
        self.assertEqual(self.network(), "own")
        self.assert_lo_alone(pid)
        out = self.pwemu("-q", "gdb-cmds", f"break {HOT}", "continue", "print value")
        self.assertIn("Breakpoint 1", out)
        self.assertEqual(self.listening(pid), [])
        self.on("default", "stop")
        self.assertFalse(self.info()["end"]["tail_unknown"])
        self.assert_nothing_left()

    def test_target(self):
        """Its key is before the daemon's setting."""
        for setting, key, wanted in ((None, "off", "host"), (None, "required", "own"), ("off", None, "host"), ("off", "auto", "own"),
                                     ("required", "off", "host"), ("required", None, "own")):
            with self.subTest(setting=setting, key=key):
                self.run_any("daemon", "stop")
                self.settings(**({"isolate": setting} if setting else {}))
                self.configure(target={"isolate": key} if key else {})
                self.boot("seq.elf")
                self.assertEqual(self.network(), wanted)
                self.on("default", "stop")
        self.assert_nothing_left()

    def test_off(self):
        """A debugger's port is open to the host then, as long as he is there."""
        self.configure(target={"isolate": "off"})
        self.boot("seq.elf")
        self.assertEqual(self.network(), "host")
        self.assertEqual(self.listening(), [])
        self.assert_debugs(False)

    def test_restarts(self):
        """The next boot has one too; the one of a boot that has ended is not shown."""
        self.boot("hello.elf", "--restart", "on-failure,delay=10ms")
        os.kill(self.info()["pid"], 9)
        self.wait_boot(2)
        self.assertEqual(self.network(), "own")
        self.on("default", "stop")
        self.assertFalse(self.info().get("private_network", False))


@needs_namespaces
class NotAllowed(IsolateCase):
    def setUp(self):
        super().setUp()
        if not can(*NO_NAMESPACES):
            self.skipTest("optional: namespaces: this host has no limit of them for a user namespace")
        self.as_pwemu(*NO_NAMESPACES)

    def test_auto(self):
        self.boot("seq.elf")
        self.assertEqual(self.network(), "host")
        self.assert_runs()
        self.assert_debugs(False)

    def test_required(self):
        self.configure(target={"isolate": "required"})
        said = self.refusal()
        self.assertIn("its own network (\"isolate\"): No space left", said)
        self.configure(target={"isolate": "off"})
        self.boot("hello.elf")


@needs_namespaces
class Downloads(IsolateCase):
    @only_fake
    def test_isolated(self):
        with self.knobs(SVD=1):
            said = self.refusal()
            self.assertIn("Failed to download https://", said)
            self.assertIn('"isolate": "off"', said)

    @only_fake
    def test_host_with_a_route(self):
        with open("/proc/net/route", encoding="ascii") as file:
            if not any(line.split()[1] == "00000000" for line in file.read().splitlines()[1:]):
                self.skipTest("optional: network: this host has no route")
        self.configure(target={"isolate": "off"})
        with self.knobs(SVD=1):
            self.boot("hello.elf")
        self.see("hello from")
        self.assertNotIn("download", str(self.events()))

    @only_fake
    def test_host_without_a_route(self):
        """It is a Renode without the names of registers then, and that is told."""
        self.as_pwemu(*NO_ROUTE)
        self.configure(target={"isolate": "off"})
        with self.knobs(SVD=1):
            self.boot("hello.elf")
        self.see("hello from")
        told = [event["reason"] for event in self.events() if event["kind"] == "warning" and "Failed to download" in event["reason"]]
        self.assertEqual(len(told), 1, self.events())
        self.assertEqual(self.run_any("start", TARGET, "-i", "other", "-f", self.board.firmware("hello.elf")).returncode, 0)


if __name__ == "__main__":
    unittest.main()
