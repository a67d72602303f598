# SPDX-License-Identifier: Apache-2.0
"""A daemon of all users of the host, and two users without any rights that the test makes. Needs root."""

import contextlib
import fcntl
import grp
import json
import os
import pwd
import subprocess
import sys
import unittest

from pwemu_fixture import BUILD, CALL_DEADLINE, PATH, PWEMU, ROOT, Case

# suites run side by side
USERS = (f"pw{os.getpid()}a", f"pw{os.getpid()}b")
GROUP = f"pw{os.getpid()}g"
ADMINS = f"pw{os.getpid()}adm"
PYTHON = "/usr/bin/python3"

SANITIZERS = {name: os.environ[name] for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS") if name in os.environ}


def run(*command):
    """One at a time on this host: useradd and its like do not wait for one another."""
    with open("/tmp/pwemu-test-users.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def make_users():
    """With a group that both are in, and one of administrators that nobody is in yet."""
    remove_users()
    for group in (GROUP, ADMINS):
        run("groupadd", group)
    for user in USERS:
        run("useradd", "--no-create-home", "--shell", "/bin/sh", "--groups", GROUP, user)


def remove_users():
    for user in USERS:
        with contextlib.suppress(KeyError):
            pwd.getpwnam(user)
            run("userdel", user)
    for group in (GROUP, ADMINS):
        with contextlib.suppress(KeyError):
            grp.getgrnam(group)
            run("groupdel", group)


@unittest.skipUnless(os.geteuid() == 0, "optional: users: only root can be many users")
class SystemCase(Case):
    """self.alice and self.bob are names; as_user() and cli() act as one of them. self.instances & co are root's."""

    alice, bob = USERS
    settings = {}

    @classmethod
    def setUpClass(cls):
        make_users()
        cls.uids = {user: pwd.getpwnam(user).pw_uid for user in USERS}

    @classmethod
    def tearDownClass(cls):
        remove_users()

    def start_daemon(self, **options):
        os.chmod(self.dir, 0o755)
        self.homes = {}
        for user in USERS:
            home = os.path.join(self.dir, user)
            os.makedirs(home, mode=0o700, exist_ok=True)
            os.chown(home, self.uids[user], pwd.getpwnam(user).pw_gid)
            self.homes[user] = home
        self.settings_path = os.path.join(self.dir, "pwemud.json")
        self.write_settings(**self.settings)
        self.run_dir = os.path.join(self.dir, "run")
        arguments = ["--system", "--run-dir", self.run_dir, "--config", self.settings_path]
        options.setdefault("arguments", arguments)
        return super().start_daemon(**options)

    def write_settings(self, **settings):
        with open(self.settings_path, "w", encoding="ascii") as file:
            json.dump(settings, file)

    def user_environment(self, user, **more):
        return {"PATH": PATH, "HOME": self.homes[user], "USER": user, "PWEMU_TEST_DIR": self.dir, "PWEMU_HOST": "unix:" + self.daemon.socket,
                **SANITIZERS, **more}

    def popen(self, user, command, extra_groups=None, environment=None, **options):
        """As the user, with his groups (and more)."""
        entry = pwd.getpwnam(user)
        groups = os.getgrouplist(user, entry.pw_gid) + list(extra_groups or [])
        options.setdefault("stdin", subprocess.DEVNULL)
        options.setdefault("cwd", self.homes[user])
        return subprocess.Popen(command, user=entry.pw_uid, group=entry.pw_gid, extra_groups=groups, text=True,
                                env=environment or self.user_environment(user), stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)

    def as_user(self, user, command, code=0, **options):
        """Returns stdout, or for an exit code that is not 0 stderr."""
        process = self.popen(user, command, **options)
        out, err = process.communicate(timeout=CALL_DEADLINE)
        if code is not None:
            self.assertEqual(process.returncode, code, out + err)
        return err if code not in (0, None) else out

    def cli(self, user, *words, code=0, **options):
        return self.as_user(user, [PWEMU, *words], code, **options)

    def ask(self, user, calls, **options):
        """gRPC calls as the user, by a program of his: [[service, method, request as JSON], …]; of each its status, reason and text."""
        program = os.path.join(ROOT, "tests/python/ask_as.py")
        environment = dict(self.user_environment(user), PWEMU_BUILD=BUILD, PYTHONDONTWRITEBYTECODE="1")
        text = self.as_user(user, [PYTHON, program, self.daemon.socket, json.dumps(calls)], environment=environment, **options)
        return json.loads(text)

    def start_as(self, user, image="echo.elf", name="default", *words):
        from pwemu_fixture import BOARD, firmware
        self.cli(user, "start", "-q", BOARD, "-i", name, "-f", firmware(image), "--restart", "no", *words)
        return json.loads(self.cli(user, "ls", "-a", "-o", "json"))[0] if name == "default" else self.status_as(user, name)

    def status_as(self, user, name="default"):
        return json.loads(self.cli(user, "status", "-i", name, "-o", "json", code=None))


sys.modules.setdefault("users_fixture", sys.modules[__name__])
