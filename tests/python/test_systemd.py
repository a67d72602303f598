# SPDX-License-Identifier: Apache-2.0
"""pwemud as a service manager's service: what it says to it, the socket it is given, the journal; and the same of a build without libsystemd.
There is no service manager here: the tests are it."""

import os
import select
import socket
import stat
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import grpc  # noqa: E402
from pwemu_fixture import (  # noqa: E402
    BUILD, CALL_DEADLINE, Case, Daemon, PWEMUD, daemon_pb2, daemon_pb2_grpc, is_alive, read_proc, wait_for
)

WITHOUT = os.path.join(BUILD, "tests/nosystemd/bin/pwemud")
# Puts its own process id where it is asked for, and the listener at 3, then becomes the daemon.
BECOME = 'test "$LISTEN_PID" != self || export LISTEN_PID=$$; test "$WATCHDOG_PID" != self || export WATCHDOG_PID=$$; exec "$@"'


class Service(Daemon):
    """A daemon as a service manager starts it: with variables and, at descriptor 3, a socket."""

    def __init__(self, directory, variables, listener=None, wait=True, program=PWEMUD, stderr=None, arguments=()):
        self.dir = directory
        self.state_dir = os.path.join(directory, "state")
        self.socket = os.path.join(directory, "control.sock")
        self.log = os.path.join(directory, f"service-{time.monotonic_ns()}.log")
        self.channels = []
        self.word = ""
        environment = dict(os.environ, PWEMU_TEST_DIR=directory, XDG_CONFIG_HOME=os.path.join(directory, "config"), **variables)
        command = ["sh", "-c", BECOME, "sh", program, "--foreground", "--state-dir", self.state_dir, *arguments]
        if listener is None:
            command += ["--socket", self.socket]

        def take():
            if listener is not None:
                os.dup2(listener.fileno(), 3)

        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=stderr or log, env=environment,
                                            preexec_fn=take, close_fds=listener is None)
        if wait:
            wait_for(lambda: "serves" in self.log_text() or not self.is_running(), "the daemon to serve")


class SystemdCase(Case):
    def setUp(self):
        super().setUp()
        self.daemon.terminate()  # the fixture's own
        self.daemon.wait()
        self.daemons.clear()
        self.notes = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(self.notes.close)
        self.notes.bind(os.path.join(self.dir, "notify"))
        self.notes.setblocking(False)
        self.told = []

    def serve(self, listener=None, is_notified=True, **options):
        variables = options.pop("variables", {})
        if is_notified:
            variables = {"NOTIFY_SOCKET": os.path.join(self.dir, "notify"), **variables}
        self.daemon = Service(self.dir, variables, listener, **options)
        self.daemons.append(self.daemon)
        if options.get("wait", True):
            self.connect()
        return self.daemon

    def take(self):
        """What has come meanwhile."""
        while select.select([self.notes], [], [], 0)[0]:
            self.told.append((time.monotonic(), self.notes.recv(4096).decode()))
        return [text for _, text in self.told]

    def wait_told(self, word, count=1):
        wait_for(lambda: sum(word in text.splitlines() for text in self.take()) >= count, f"{word}: {self.told}")

    def listener(self, name="control.sock"):
        made = socket.socket(socket.AF_UNIX)
        self.addCleanup(made.close)
        made.bind(os.path.join(self.dir, name))
        made.listen(16)
        return made

    def leave(self):
        self.daemon.close_channels()
        self.daemon.terminate()
        self.assertEqual(self.daemon.wait(), 0)


class Notifications(SystemdCase):
    def test_life(self):
        """Ready once what runs is adopted; around a reload; before the end."""
        self.serve()
        self.wait_told("READY=1")
        self.assertIn("STATUS=0 instances run", self.take()[0])
        pid = self.start("hello.elf").pid
        self.wait_told("STATUS=1 instances run")
        self.daemon.kill()
        self.told.clear()
        self.serve()
        self.wait_told("READY=1")
        self.assertEqual(self.take()[0], "READY=1\nSTATUS=1 instances run")
        self.assertEqual(self.get().pid, pid)
        self.told.clear()
        self.daemon.process.send_signal(1)
        self.wait_told("READY=1")
        first, second = self.take()
        self.assertTrue(first.startswith("RELOADING=1\nMONOTONIC_USEC="), first)
        self.assertLess(abs(int(first.rsplit("=", 1)[1]) / 1e6 - time.monotonic()), CALL_DEADLINE)
        self.assertEqual(second, "READY=1\nSTATUS=1 instances run")
        self.told.clear()
        self.leave()
        self.assertEqual(self.take(), ["STOPPING=1"])
        self.assertTrue(is_alive(pid))
        self.serve()
        self.stop()

    def test_not_ready_when_it_fails(self):
        with open(os.path.join(self.dir, "broken.json"), "w", encoding="ascii") as file:
            file.write("{")
        self.serve(wait=False, arguments=["--config", os.path.join(self.dir, "broken.json")])
        self.assertEqual(self.daemon.wait(), 1)
        self.assertEqual(self.take(), [])

    def test_watchdog(self):
        """Pings at half the interval, for as long as the loop turns."""
        self.serve(variables={"WATCHDOG_USEC": "400000", "WATCHDOG_PID": "self"})
        self.wait_told("WATCHDOG=1")
        self.told.clear()
        self.wait_told("WATCHDOG=1", 6)
        times = [at for at, text in self.told if text == "WATCHDOG=1"]
        self.assertGreater(times[5] - times[0], 0.15 * 5)
        os.kill(self.daemon.pid, 19)
        self.take()
        self.told.clear()
        select.select([self.notes], [], [], 0.6)  # not a wait: the time in which a ping would come
        self.assertEqual(self.take(), [])
        os.kill(self.daemon.pid, 18)
        self.wait_told("WATCHDOG=1", 2)

    def test_no_watchdog(self):
        """Not asked for, or of another process: nothing ticks."""
        for variables in ({}, {"WATCHDOG_USEC": "100000", "WATCHDOG_PID": "1"}):
            with self.subTest(variables):
                self.told.clear()
                self.serve(variables=variables)
                self.wait_told("READY=1")
                before = self.wakeups()
                select.select([], [], [], 0.5)  # not a wait: the time in which it would tick
                self.assertEqual(len(self.take()), 1)
                self.assertLess(self.wakeups() - before, 4)  # the connection may still be at its greetings
                self.leave()
                self.take()

    def wakeups(self):
        rows = read_proc(self.daemon.pid, "status").decode().splitlines()
        return int(next(line for line in rows if line.startswith("voluntary")).split()[1])

    def test_children_do_not_hear_of_it(self):
        """An emulator must not believe that it is asked; nor a program beside it."""
        listener = self.listener()
        self.serve(listener, variables={"WATCHDOG_USEC": "9000000", "LISTEN_FDS": "1", "LISTEN_PID": "self", "LISTEN_FDNAMES": "x"})
        instance = self.start("hello.elf", environment=None)
        names = {entry.split(b"=")[0] for entry in read_proc(instance.pid, "environ").split(b"\0")}
        self.assertIn(b"PWEMU_TEST_DIR", names)
        self.assertEqual({name for name in names if name.startswith((b"NOTIFY", b"LISTEN", b"WATCHDOG", b"JOURNAL"))}, set())

    def test_clients_daemon(self):
        """What a client was promised is the client's."""
        work = os.path.join(self.dir, "run")
        os.mkdir(work, 0o700)
        environment = dict(os.environ, HOME=self.dir, XDG_RUNTIME_DIR=work, XDG_STATE_HOME=work, XDG_CONFIG_HOME=work, PWEMU_TEST_DIR=self.dir,
                           NOTIFY_SOCKET=os.path.join(self.dir, "notify"), WATCHDOG_USEC="200000")
        for words in (("ls",), ("daemon", "stop")):
            subprocess.run([os.path.join(BUILD, "bin/pwemu"), *words], env=environment, check=True, stdout=subprocess.DEVNULL, timeout=CALL_DEADLINE)
        self.assertEqual(self.take(), [])

    def test_begins_again(self):
        """`daemon restart`: the same process, and to the service manager a reload."""
        listener = self.listener()
        self.serve(listener, variables={"LISTEN_FDS": "1", "LISTEN_PID": "self", "WATCHDOG_USEC": "400000", "WATCHDOG_PID": "self"})
        pid = self.start("hello.elf").pid
        self.wait_told("STATUS=1 instances run")
        inode = os.stat(self.daemon.socket).st_ino
        self.told.clear()
        self.control.Shutdown(daemon_pb2.ShutdownRequest(restart=True), timeout=CALL_DEADLINE)
        self.wait_told("READY=1")
        told = [text for text in self.take() if text != "WATCHDOG=1"]
        self.assertTrue(told[0].startswith("RELOADING=1\n"), told)
        self.assertEqual(told[1], "READY=1\nSTATUS=1 instances run")
        self.assertTrue(self.daemon.is_running())
        self.daemon.close_channels()
        self.connect()
        self.assertEqual(self.get().pid, pid)
        self.assertEqual(os.stat(self.daemon.socket).st_ino, inode)
        self.told.clear()
        self.wait_told("WATCHDOG=1", 2)


class Activation(SystemdCase):
    GIVEN = {"LISTEN_FDS": "1", "LISTEN_PID": "self"}

    def ask(self, stub_wait=False):
        channel = grpc.insecure_channel("unix:" + os.path.join(self.dir, "control.sock"), options=[("grpc.use_local_subchannel_pool", 1)])
        self.addCleanup(channel.close)
        return daemon_pb2_grpc.DaemonStub(channel).Info.future(daemon_pb2.InfoRequest(), timeout=CALL_DEADLINE, wait_for_ready=True)

    def test_waiting_client(self):
        """Who came before the daemon, and while there is none between two, is served."""
        listener = self.listener()
        early = self.ask()
        wait_for(lambda: select.select([listener], [], [], 0)[0], "the client in the queue")
        self.serve(listener, variables=self.GIVEN)
        self.assertEqual(early.result().pid, self.daemon.pid)
        self.assertEqual(early.result().socket, os.path.join(self.dir, "control.sock"))
        pid = self.start("hello.elf").pid
        self.leave()
        self.assertTrue(stat.S_ISSOCK(os.stat(self.daemon.socket).st_mode), "it is not ours to remove")
        between = self.ask()
        wait_for(lambda: select.select([listener], [], [], 0)[0], "the client in the queue")
        self.serve(listener, variables=self.GIVEN)
        self.assertEqual(between.result().pid, self.daemon.pid)
        self.assertEqual(self.get().pid, pid)

    def test_whole_host(self):
        if os.geteuid() != 0:
            self.skipTest("optional: root: for a daemon of many users")
        listener = self.listener()
        early = self.ask()
        self.serve(listener, variables=self.GIVEN, arguments=["--system", "--run-dir", os.path.join(self.dir, "run")])
        self.assertEqual(early.result().pid, self.daemon.pid)
        self.start("hello.elf")
        self.stop()
        self.leave()
        self.assertTrue(os.path.exists(self.daemon.socket))

    def test_lock(self):
        """One daemon for a state directory, also with a socket that was given."""
        self.serve(self.listener(), variables=self.GIVEN)
        second = Service(self.dir, self.GIVEN, self.listener("other.sock"), wait=False)
        self.assertEqual(second.wait(), 1)
        self.assertIn("a daemon already uses the state directory", second.log_text())
        self.assert_served()

    def test_removed(self):
        """A socket that somebody has removed is made again, and then it is ours to remove."""
        self.serve(self.listener(), variables=self.GIVEN)
        os.unlink(self.daemon.socket)
        wait_for(lambda: os.path.exists(self.daemon.socket), "the socket to be there again")
        self.assert_served()
        self.leave()
        self.assertFalse(os.path.exists(self.daemon.socket))

    def test_not_for_us(self):
        """Of another process, or no number: the daemon makes its own."""
        for variables in ({"LISTEN_FDS": "1", "LISTEN_PID": "1"}, {"LISTEN_FDS": "1"}, {"LISTEN_FDS": "-1", "LISTEN_PID": "self"},
                          {"LISTEN_FDS": "x", "LISTEN_PID": "self"}, {"LISTEN_FDS": "9999999", "LISTEN_PID": "self"}):
            with self.subTest(variables):
                listener = self.listener("theirs.sock")
                self.serve(listener, variables=variables, arguments=["--socket", os.path.join(self.dir, "control.sock")])
                self.assert_served()
                listener.close()
                with socket.socket(socket.AF_UNIX) as client, self.assertRaises(ConnectionRefusedError):
                    client.connect(os.path.join(self.dir, "theirs.sock"))
                os.unlink(os.path.join(self.dir, "theirs.sock"))
                self.leave()

    def test_no_socket(self):
        """Something that nobody can listen on is not used."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
            other.bind(os.path.join(self.dir, "datagrams"))
            self.serve(other, variables=self.GIVEN, arguments=["--socket", os.path.join(self.dir, "control.sock")])
            self.assertIn("no UNIX socket with a path that listens", self.daemon.log_text())
            self.assert_served()


class Journal(SystemdCase):
    def test_not_the_journal(self):
        """stderr is another file: plain lines."""
        self.serve(variables={"JOURNAL_STREAM": "1:1"})
        self.assertRegex(self.daemon.log_text(), r"(?m)^\S+Z info pwemud: pwemud .* serves")

    def test_fields(self):
        """The journal's socket is one place on a host: where this is not ours to make, a mount namespace has it."""
        place = os.path.join(self.dir, "journal")
        os.mkdir(place)
        mounts = f"mount -t tmpfs none /run && mkdir -p /run/systemd/journal && mount --bind {place} /run/systemd/journal"
        if subprocess.run(["unshare", "-Urm", "sh", "-c", mounts], stderr=subprocess.DEVNULL, check=False).returncode != 0:
            self.skipTest("optional: namespaces: this host does not allow unshare -Urm")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
            journal.bind(os.path.join(place, "socket"))
            journal.settimeout(CALL_DEADLINE)
            script = os.path.join(self.dir, "in-journal")
            with open(script, "w", encoding="ascii") as file:
                file.write(f'#!/bin/sh\n{mounts}\nJOURNAL_STREAM=$(stat -L -c %d:%i /proc/self/fd/2)\n'
                           f'export JOURNAL_STREAM\nexec {PWEMUD} "$@"\n')
            os.chmod(script, 0o755)
            wrapper = os.path.join(self.dir, "wrapper")
            with open(wrapper, "w", encoding="ascii") as file:
                file.write(f'#!/bin/sh\nexec unshare -Urm {script} "$@"\n')
            os.chmod(wrapper, 0o755)
            self.serve(program=wrapper, is_notified=True, wait=False)
            self.wait_told("READY=1")
            self.connect()
            self.start("hello.elf", "board")
            self.control.Reload(daemon_pb2.ReloadRequest(), timeout=CALL_DEADLINE)
            seen = []
            while not seen or not any("targets read" in row.get("MESSAGE", "") for row in seen):
                seen.append(dict(line.split("=", 1) for line in journal.recv(65536).decode().splitlines() if "=" in line))
            self.stop("board")
        row = next(row for row in seen if row.get("INSTANCE"))
        self.assertEqual((row["INSTANCE"], row["PRIORITY"], row["SYSLOG_IDENTIFIER"]), ("board", "6", "pwemud"))
        self.assertRegex(row["INSTANCE_ID"], "^[0-9a-f]{6}$")
        self.assertTrue(row["USER"])
        self.assertEqual(next(row for row in seen if "targets read" in row["MESSAGE"])["ACTOR"][:10], "client of ")
        self.assertEqual(self.daemon.log_text(), "")


class Without(SystemdCase):
    """A build without libsystemd does nothing but say so."""

    def test_says_so(self):
        self.serve(self.listener("unused.sock"), program=WITHOUT, variables=Activation.GIVEN,
                   arguments=["--socket", os.path.join(self.dir, "control.sock")])
        log = self.daemon.log_text()
        self.assertIn("LISTEN_FDS is set, but this pwemud was built without libsystemd", log)
        self.assertIn("NOTIFY_SOCKET is set, but this pwemud was built without libsystemd", log)
        self.assertEqual(self.daemon.socket, self.control.Info(daemon_pb2.InfoRequest(), timeout=CALL_DEADLINE).socket)
        self.start("hello.elf")
        self.stop()
        self.assertEqual(self.take(), [])

    def test_silent(self):
        self.serve(is_notified=False, program=WITHOUT)
        self.assertNotIn("libsystemd", self.daemon.log_text())


if __name__ == "__main__":
    import unittest

    unittest.main()
