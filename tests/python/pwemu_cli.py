# SPDX-License-Identifier: Apache-2.0
"""The command line as users and their scripts have it: `pwemu` in a home of its own, with the daemon that it starts itself."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import unittest

from pwemu_fixture import BUILD, CALL_DEADLINE, PATH, ROOT, TEST_DEADLINE, processes_with, wait_for

PWEMU = os.path.join(BUILD, "bin/pwemu")

REMOTE = os.environ.get("PWEMU_TEST_REMOTE", "")  # the same suites as for a local client: over TLS ("tls"), else through `pwemu proxy`


def only_here(reason):
    """Of a test that cannot hold for a client elsewhere, and why."""
    return unittest.skipIf(REMOTE, "optional: " + reason)


class CliCase(unittest.TestCase):
    """pwemu() runs a command to its end, popen() lets it run. Nothing of either may be left at the end."""

    def setUp(self):
        def late(number, frame):
            raise AssertionError("the test takes too long")

        signal.signal(signal.SIGALRM, late)
        signal.alarm(TEST_DEADLINE)
        self.addCleanup(signal.alarm, 0)
        self.dir = tempfile.mkdtemp(prefix="pwemu-cli-")
        self.work = os.path.join(self.dir, "work")
        os.mkdir(self.work)
        self.environment = {"PATH": os.path.join(BUILD, "bin") + ":" + PATH, "HOME": self.dir, "PWEMU_TEST_DIR": self.dir,
                            "LANG": os.environ.get("LANG", "C.UTF-8")}
        for name in ("RUNTIME_DIR", "STATE_HOME", "CONFIG_HOME"):
            path = os.path.join(self.dir, name.lower())
            os.mkdir(path, 0o700)
            self.environment["XDG_" + name] = path
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS"):
            if name in os.environ:
                self.environment[name] = os.environ[name]
        self.processes = []
        self.server = None
        self.addCleanup(self.clean_up)
        if REMOTE == "tls":
            self.serve()
        elif REMOTE:
            self.environment.update(PWEMU_SSH=os.path.join(ROOT, "tests/fake/ssh"), PWEMU_HOST="ssh://test@far")

    def serve(self):
        """The set-up as it is documented: what the server prints is run on the client."""
        self.server = subprocess.Popen([os.path.join(ROOT, "tests/fake/server"), self.dir], stdin=subprocess.DEVNULL, env=self.environment,
                                       stdout=subprocess.DEVNULL, start_new_session=True)
        line = os.path.join(self.dir, "server.line")
        wait_for(lambda: os.path.exists(line), "the daemon to serve the network", 30)
        with open(line, encoding="utf-8") as file:
            name = file.read().split()[3]
        options = {"env": self.environment, "check": True, "capture_output": True, "timeout": CALL_DEADLINE}
        subprocess.run(["sh", line], **options)
        subprocess.run([PWEMU, "context", "use", name], **options)

    def serve_no_more(self):
        """From here on the daemon is a local one, which is not begun again."""
        with open(os.path.join(self.dir, "server.stop"), "w", encoding="utf-8"):
            pass
        subprocess.run([PWEMU, "-q", "context", "use", "-"], env=self.environment, timeout=CALL_DEADLINE, check=False)

    def clean_up(self):
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream is not None:
                    self.close(stream)
        if self.server:
            self.serve_no_more()
        subprocess.run([PWEMU, "-q", "daemon", "stop", "--with-instances"], env=self.environment, cwd=self.dir, stdin=subprocess.DEVNULL,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=CALL_DEADLINE, check=False)
        left = {}
        if self.server:
            try:
                self.server.wait(15)
            except subprocess.TimeoutExpired:
                self.server.kill()
                self.server.wait()
        try:
            wait_for(lambda: not processes_with(self.dir), "the processes to end", 15)
        except AssertionError:
            left = processes_with(self.dir)
            for pid in left:
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.dir, ignore_errors=True)
        self.assertEqual(left, {}, "left running")

    @staticmethod
    def close(stream):
        try:
            stream.close()
        except BrokenPipeError:  # what it still held nobody reads any more
            pass

    def popen(self, *words, environment=None, **options):
        options.setdefault("stdin", subprocess.DEVNULL)
        options.setdefault("cwd", self.work)
        process = subprocess.Popen([PWEMU, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   env=dict(self.environment, **(environment or {})), **options)
        self.processes.append(process)
        return process

    def run_any(self, *words, stdin=b"", environment=None, cwd=None, timeout=CALL_DEADLINE):
        """Runs a command to its end, whatever that is."""
        done = subprocess.run([PWEMU, *words], input=stdin, capture_output=True, timeout=timeout, check=False, cwd=cwd or self.work,
                              env=dict(self.environment, **(environment or {})))
        done.out, done.err = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
        self.assertNotIn("AddressSanitizer", done.err)
        self.assertNotIn("runtime error:", done.err)
        return done

    def pwemu(self, *words, code=0, **options):
        """Runs a command that must end with this code; returns its stdout as text."""
        done = self.run_any(*words, **options)
        self.assertEqual(done.returncode, code, f"pwemu {' '.join(words)}\n{done.out}{done.err}")
        self.last_err = done.err
        return done.out

    def refused(self, *words, code=1, says="", **options):
        """Ends with this code, nothing on stdout, and a reason on stderr that contains the text."""
        done = self.run_any(*words, **options)
        self.assertEqual((done.returncode, done.out), (code, ""), done.err)
        self.assertIn(says, done.err)
        self.assertTrue(done.err.startswith("pwemu: "), done.err)
        return done.err

    def status(self, *words, **options):
        return json.loads(self.pwemu("status", "-o", "json", *words, **options))

    def logs(self, *words):
        return self.run_any("logs", *words).stdout

    def daemon_pid(self):
        return json.loads(self.pwemu("daemon", "info", "-o", "json"))["pid"]

    def kill_daemon(self):
        """Over TLS a client cannot start the next one, which its server does."""
        os.kill(self.daemon_pid(), signal.SIGKILL)
        if self.server:
            wait_for(lambda: self.run_any("daemon", "info").returncode == 0, "the next daemon")

    def settings(self, keys):
        """For the daemon; one that runs already reads them again."""
        place = os.path.join(self.environment["XDG_CONFIG_HOME"], "pwemu")
        os.makedirs(place, exist_ok=True)
        with open(os.path.join(place, "pwemud.json"), "w", encoding="ascii") as file:
            json.dump(keys, file)
        if self.server:
            self.pwemu("daemon", "reload")
