# SPDX-License-Identifier: Apache-2.0
"""Who may do what on a daemon of all users: every method, with every right, on an own, a shared and a foreign instance."""

import json
import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from ask_as import SERVICES  # noqa: E402
from pwemu_fixture import wait_for  # noqa: E402
from users_fixture import ADMINS, GROUP, SystemCase, run  # noqa: E402

RIGHTS = ["none", "view", "write", "control"]
NONE, VIEW, WRITE, CONTROL, OWNER, ADMIN = range(6)  # the last two: what a share cannot give

REF = {"instance": {"id": "@"}}
# Every method: the right that it needs on the instance, and a request that is refused for something else, or does no harm. A method that is
# missing here fails the test.
METHODS = {
    "Instances.Start": (NONE, {"target_name": "no-such-target"}),
    "Instances.Get": (VIEW, REF),
    "Instances.List": (NONE, {}),
    "Instances.Watch": (VIEW, {**REF, "no_follow": True}),
    "Instances.Who": (VIEW, REF),
    "Instances.Wait": (VIEW, REF),
    "Instances.Pause": (CONTROL, REF),
    "Instances.Resume": (CONTROL, REF),
    "Instances.Reset": (CONTROL, REF),
    "Instances.Load": (CONTROL, REF),
    "Instances.RenewLease": (CONTROL, REF),
    "Instances.RemoveLease": (CONTROL, REF),
    "Instances.Remove": (CONTROL, REF),
    "Instances.Restart": (CONTROL, REF),
    "Instances.Stop": (CONTROL, REF),
    "Instances.Share": (OWNER, {**REF, "with": "no-such-user", "right": "view"}),
    "Instances.Unshare": (OWNER, {**REF, "with": "no-such-user"}),
    "Channels.List": (VIEW, REF),
    "Channels.Read": (VIEW, REF),
    "Channels.Expose": (CONTROL, {**REF, "channel": "no-such-channel"}),
    "Channels.Upload": (NONE, {"begin": {"sha256": "no-digest"}}),
    "Properties.List": (VIEW, {**REF, "path": "/no/such"}),
    "Properties.Get": (VIEW, {**REF, "path": "/no/such", "property": "x"}),
    "Properties.Set": (CONTROL, {**REF, "path": "/no/such", "property": "x", "text": "1"}),
    "Targets.List": (NONE, {}),
    "Targets.Get": (NONE, {"name": "no-such-target"}),
    "Targets.Check": (NONE, {}),
    "Daemon.Info": (NONE, {}),
    "Daemon.Reload": (ADMIN, {}),
    "Daemon.AddToken": (NONE, {}),
    "Daemon.ListTokens": (NONE, {}),
    "Daemon.RemoveToken": (NONE, {"id": "no-such-token"}),
    "Daemon.Shutdown": (ADMIN, None),  # not called by who may
}


def opening(channel, **fields):
    return {"open": {"instance": {"id": "@"}, "channel": channel, **fields}}


ATTACH = {
    "read serial": (VIEW, opening("serial0")),
    "write serial": (WRITE, opening("serial0", write=True)),
    "type beside": (WRITE, opening("serial0", beside=True)),
    "steal": (WRITE, opening("serial0", write=True, steal=True)),
    "gdb": (CONTROL, opening("gdb", write=True)),
    "gdb, reading": (CONTROL, opening("gdb")),
    "monitor": (CONTROL, opening("monitor", write=True)),
    "qmp": (CONTROL, opening("qmp", write=True)),
}


def at(request, instance):
    return json.loads(json.dumps(request).replace('"@"', json.dumps(instance)))


class Matrix(SystemCase):
    settings = {"admin-group": ADMINS}

    def calls(self, has, instance):
        """What is called with this right: [(name, needed right, call)]."""
        rows = [(f"{service}.{method}", *METHODS.get(f"{service}.{method}", (None, None)))
                for service, descriptor in SERVICES.items() for method in descriptor.methods_by_name if method != "Attach"]
        rows += [(f"Channels.Attach ({name})", right, request) for name, (right, request) in ATTACH.items()]
        self.assertEqual([name for name, right, _ in rows if right is None], [], "methods without a row in this test")
        rows = [row for row in rows if row[2] is not None or has < row[1]]
        return [(name, right, [*name.split(" ")[0].split("."), at(request or {}, instance)]) for name, right, request in rows]

    def check(self, user, has, instance, **options):
        rows = self.calls(has, instance)
        rows.sort(key=lambda row: row[0] == "Instances.Stop")  # last
        answers = self.ask(user, [call for _, _, call in rows], **options)
        for (name, needed, _), (status, reason, text) in zip(rows, answers):
            with self.subTest(name, user=user, has=has):
                denied = (status, reason) == ("PERMISSION_DENIED", "permission")
                hidden = (status, reason) == ("NOT_FOUND", "no-instance")
                self.assertEqual(hidden, has == NONE and VIEW <= needed <= OWNER, text)
                self.assertEqual(denied, has < needed and not hidden, text)

    def test_every_method(self):
        instance = self.start_as(self.alice)["id"]
        self.check(self.bob, NONE, instance)
        for right in (VIEW, WRITE, CONTROL):
            self.cli(self.alice, "share", "-q", "--with", self.bob, RIGHTS[right])
            self.check(self.bob, right, instance)
        self.cli(self.alice, "restart", "-q")
        self.check(self.alice, OWNER, instance)
        self.cli(self.alice, "unshare", "-q")
        self.check(self.bob, NONE, instance)
        run("usermod", "-aG", ADMINS, self.bob)
        self.addCleanup(run, "gpasswd", "-d", self.bob, ADMINS)
        self.cli(self.alice, "restart", "-q")
        self.check(self.bob, ADMIN, instance)


class Sharing(SystemCase):
    def names(self, user, *words):
        return [(row["owner"], row["name"]) for row in json.loads(self.cli(user, "ls", "-o", "json", *words))]

    def test_what_ls_shows(self):
        self.start_as(self.alice)
        self.start_as(self.bob, name="mine")
        self.assertEqual(self.names(self.alice), [(self.alice, "default")])
        self.assertEqual(self.names(self.bob), [(self.bob, "mine")])
        self.assertEqual(self.names(self.bob, "--all-users"), [(self.bob, "mine")])
        self.cli(self.alice, "share", "-q", "--with", self.bob, "view")
        self.assertEqual(sorted(self.names(self.bob)), [(self.alice, "default"), (self.bob, "mine")])
        self.assertEqual(self.names(self.bob, "--user", self.alice), [(self.alice, "default")])
        self.assertIn(f"{self.alice}/default", self.cli(self.bob, "ls"))
        self.assertEqual(json.loads(self.pwemu("ls", "-o", "json")), [])
        self.assertEqual(len(json.loads(self.pwemu("ls", "-o", "json", "--all-users"))), 2)

    def test_names(self):
        """USER/NAME, also by number; a plain name is one's own, and what is not shared is not there."""
        identity = self.start_as(self.alice)["id"]
        hidden = self.cli(self.bob, "status", "-i", f"{self.alice}/default", code=1)
        self.assertEqual(hidden.replace(f"{self.alice}/default", "?"), self.cli(self.bob, "status", "-i", "nobody/nothing", code=1).replace("nobody/nothing", "?"))
        self.assertNotIn("default", self.cli(self.bob, "status", "-i", "defautl", code=1))  # hints tell nothing either
        self.cli(self.alice, "share", "-q", "--with", self.bob, "view")
        for name in (f"{self.alice}/default", f"{self.uids[self.alice]}/default", identity):
            self.assertIn(f"owner:        {self.alice}; you may view it", self.cli(self.bob, "status", "-i", name))
        self.cli(self.bob, "status", "-i", "default", code=1)
        text = self.cli(self.bob, "stop", "-i", identity, code=1)
        self.assertIn(f"pwemu share -i default --with {self.bob} control", text)

    def test_group(self):
        self.start_as(self.alice)
        self.cli(self.alice, "share", "-q", "--with", GROUP, "write")
        self.assertEqual(self.cli(self.bob, "send", "-i", f"{self.alice}/default", "-l", "hello", "--expect", "got: hello").count("\n"), 1)
        self.assertIn(f"group {GROUP}: write", self.cli(self.alice, "status"))
        self.cli(self.alice, "unshare", "-q", "--with", GROUP)
        self.assertEqual(self.names(self.bob), [])
        self.assertIn("not shared with group", self.cli(self.alice, "unshare", "--with", GROUP, code=1))

    def test_revoked_streams_end(self):
        self.start_as(self.alice)
        self.cli(self.alice, "share", "-q", "--with", self.bob, "write")
        reader = self.popen(self.bob, [self.pwemu_path(), "logs", "-f", "-i", f"{self.alice}/default"])
        writer = self.popen(self.bob, [self.pwemu_path(), "pipe", "serial0", "-i", f"{self.alice}/default"], stdin=-1)
        wait_for(lambda: len(self.who()) == 2, "both to be there")
        self.cli(self.alice, "share", "-q", "--with", self.bob, "view")
        self.assertIn("does not share instance", writer.communicate(timeout=30)[1])
        self.assertEqual([party["kind"] for party in self.who()], ["read"])
        self.cli(self.alice, "unshare", "-q", "--with", self.bob)
        self.assertIn("does not share instance", reader.communicate(timeout=30)[1])
        self.assertEqual((reader.returncode, writer.returncode), (1, 1))
        self.assertEqual(self.who(), [])

    @staticmethod
    def pwemu_path():
        from pwemu_fixture import PWEMU
        return PWEMU

    def who(self, *words):
        return json.loads(self.cli(self.alice, "who", "-o", "json", *words))["parties"]

    def test_who_and_steal(self):
        self.start_as(self.alice)
        self.cli(self.alice, "share", "-q", "--with", self.bob, "write")
        term = self.popen(self.alice, [self.pwemu_path(), "term"], stdin=-1)
        wait_for(lambda: any(party["writer"] for party in self.who()), "the writer")
        (party,) = self.who()
        self.assertEqual((party["user"], party["channel"], party["kind"], party["writer"]), (self.alice, "serial0", "attach", True))
        self.assertGreater(party["since_ns"], 0)
        self.names(self.bob)  # his name is asked for when he comes first
        thief = self.popen(self.bob, [self.pwemu_path(), "term", "--steal", "-i", f"{self.alice}/default"], stdin=-1)
        wait_for(lambda: [party["user"] for party in self.who() if party["writer"]] == [self.bob], "the thief", 5)
        events = [json.loads(line) for line in self.cli(self.alice, "events", "-i", "default", "-o", "json").splitlines()]
        actors = [event["actor"] for event in events if event["kind"] == "writer"]
        self.assertIn(f"client of {self.bob} (process {thief.pid})", actors)
        self.assertIn(self.bob, self.cli(self.alice, "who"))
        for process in (term, thief):
            process.kill()
            process.communicate()

    def test_audit(self):
        """Who did what, in events and in the log."""
        self.start_as(self.alice)
        self.cli(self.alice, "share", "-q", "--with", self.bob, "control")
        self.cli(self.bob, "reset", "-i", f"{self.alice}/default")
        rows = [json.loads(line) for line in self.cli(self.alice, "events", "-o", "json").splitlines()]
        asked = [(row["actor"].split(" (")[0], row["reason"]) for row in rows if row["kind"] == "request"]
        self.assertIn((f"client of {self.alice}", "Share"), asked)
        self.assertIn((f"client of {self.bob}", "Reset"), asked)
        self.assertIn(f"client of {self.bob} (process ", self.daemon.log_text())
        self.assertIn("asks for Reset of instance default", self.daemon.log_text())

    def test_events_are_the_owners(self):
        self.start_as(self.alice)
        self.start_as(self.bob)
        rows = [json.loads(line) for line in self.cli(self.bob, "events", "-o", "json").splitlines()]
        self.assertEqual({row["uid"] for row in rows if row["instance_id"]}, {self.uids[self.bob]})
        everything = [json.loads(line) for line in self.pwemu("events", "-o", "json").splitlines()]
        self.assertLessEqual({self.uids[self.alice], self.uids[self.bob]}, {row["uid"] for row in everything})

    def test_survives_the_daemon(self):
        """Owner, groups and shares are on record."""
        self.start_as(self.alice)
        self.cli(self.alice, "share", "-q", "--with", self.bob, "view")
        self.restart_daemon()
        self.assertEqual(self.names(self.bob), [(self.alice, "default")])
        self.cli(self.bob, "stop", "-i", f"{self.alice}/default", code=1)
        self.assertEqual(self.cli(self.alice, "send", "-l", "hello", "--expect", "got: hello").count("\n"), 1)

    def test_one_user_daemons_share_nothing(self):
        self.assertIn("no user or group", self.cli(self.alice, "share", "--with", "no-such", "view", code=1) if self.start_as(self.alice) else "")
        self.assertIn("view, write or control", self.cli(self.alice, "share", "--with", self.bob, "all", code=1))


if __name__ == "__main__":
    unittest.main()
