# SPDX-License-Identifier: Apache-2.0
"""Whatever a power cut, a full disk or somebody's hand has done to what is on disk: the daemon starts, takes over every emulator whose
record is good, sets the broken one aside with a word about its process, and kills nothing.

STARTUP: at how many places a file is cut and changed, default 12; "all": at every byte."""

import os
import re
import shutil
import signal
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from pwemu_fixture import PATH, Case, Daemon, instances_pb2, is_alive, sequence, wait_for  # noqa: E402

PLACES = os.environ.get("STARTUP", "12")
OUTPUT = 50000
NOBODY = 65534
State = instances_pb2


def some_of(size):
    """Offsets in a file, the ends among them."""
    if PLACES == "all" or size <= int(PLACES):
        return range(size)
    count = int(PLACES)
    return sorted({n * (size - 1) // (count - 1) for n in range(count)})


def cut_and_changed(content):
    """(what, bytes): the file's beginnings, and the file with a bit or a byte changed."""
    for at in some_of(len(content)):
        yield f"cut at {at}", content[:at]
        yield f"byte {at} inverted", content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :]
        yield f"a bit of byte {at} changed", content[:at] + bytes([content[at] ^ 0x10]) + content[at + 1 :]
    yield "with something behind", content + b"more"
    yield "of zeros", bytes(len(content))


def read_file(path):
    with open(path, "rb") as file:
        return file.read()


def write_file(path, content):
    with open(path, "wb") as file:
        file.write(content)


class Damaged(Case):
    """One instance whose files are damaged while no daemon is there, and one that is well."""

    def setUp(self):
        super().setUp()
        self.victim = self.start_fake(f"output=burst:{OUTPUT}", "victim")
        self.healthy = self.start_fake(f"output=burst:{OUTPUT}", "healthy")
        for name in ("victim", "healthy"):
            wait_for(lambda name=name: self.offset(name=name) == OUTPUT, f"the output of {name}")

    def data(self, *names):
        return os.path.join(self.daemon.state_dir, "data", self.victim.id, *names)

    def run_path(self, *names):
        return os.path.join(self.daemon.state_dir, "run", self.victim.id, *names)

    def assert_healthy(self, what):
        again = self.get("healthy")
        self.assertEqual((again.pid, again.state), (self.healthy.pid, State.STATE_RUNNING), what)
        self.assertTrue(is_alive(self.victim.pid), f"{what}: the emulator was killed")

    def assert_adopted(self, what):
        again = self.get("victim")
        self.assertEqual((again.pid, again.id), (self.victim.pid, self.victim.id), what)
        text = read_file(self.log_path(again))
        self.assertEqual(text, sequence(0, OUTPUT), what)

    def fresh_log(self):
        """What this daemon has said."""
        return self.daemon.log_text().rsplit("\0", 1)[-1]

    def next_daemon(self, damage):
        self.daemon.kill()
        damage()
        with open(self.daemon.log, "ab") as file:
            file.write(b"\0")
        self.start_daemon()

    def assert_set_aside(self, what):
        """Reported, with the process that runs on and how it is ended."""
        self.assert_healthy(what)
        self.assertNotIn("victim", [row.name for row in self.list()], what)
        log = self.fresh_log()
        self.assertIn(self.victim.id, log, what)
        self.assertRegex(log, rf"process {self.victim.pid}\b.*kill \d+", what)

    def end_victim(self):
        """As the message says."""
        command = re.search(r"kill (\d+)", self.fresh_log())
        os.kill(int(command[1]), signal.SIGTERM)
        wait_for(lambda: not is_alive(self.victim.pid), "the end of the emulator")
        wait_for(lambda: not is_alive(int(command[1])), "the end of its shim")


class Files(Damaged):
    def test_damaged_record(self):
        record = read_file(self.data("record"))
        aside = self.data() + ".broken"
        done = 0
        for what, content in cut_and_changed(record):
            self.next_daemon(lambda content=content: write_file(self.data("record"), content))
            self.assert_set_aside(what)
            done += 1
            self.next_daemon(lambda: (os.rename(aside, self.data()), write_file(self.data("record"), record)))
            self.assert_healthy(what)
            self.assert_adopted(f"{what}, then put right")
        print(f"{done} damages of a record of {len(record)} bytes", file=sys.stderr)
        self.next_daemon(lambda: write_file(self.data("record"), b""))
        self.end_victim()

    def test_half_written_record(self):
        """The power went before the rename."""
        record = read_file(self.data("record"))
        for at in some_of(len(record)):
            self.next_daemon(lambda at=at: write_file(self.data("record.new"), record[:at]))
            self.assert_healthy(f"{at} bytes of a new record")
            self.assert_adopted(f"{at} bytes of a new record")

    def test_damaged_index(self):
        index = read_file(self.data("serial0.idx"))
        done = 0
        for what, content in cut_and_changed(index):
            self.next_daemon(lambda content=content: write_file(self.data("serial0.idx"), content))
            self.assert_healthy(what)
            self.assert_adopted(what)
            self.assertEqual(self.read_all("serial0", "victim"), sequence(0, OUTPUT), what)
            done += 1
        print(f"{done} damages of an index of {len(index)} bytes", file=sys.stderr)

    def test_damaged_run_record(self):
        """The shim that lives has it in its memory."""
        name = next(name for name in os.listdir(self.run_path()) if name.endswith(".run"))
        for what, content in cut_and_changed(read_file(self.run_path(name))):
            self.next_daemon(lambda content=content: write_file(self.run_path(name), content))
            self.assert_healthy(what)
            wait_for(lambda: self.get("victim").pid == self.victim.pid, f"{what}: the process")
            self.assert_adopted(what)

    def test_missing_record(self):
        self.next_daemon(lambda: os.unlink(self.data("record")))
        self.assert_set_aside("no record")
        self.end_victim()

    def test_file_in_place_of_directory(self):
        def damage():
            shutil.rmtree(self.data())
            write_file(self.data(), b"file")

        self.next_daemon(damage)
        self.assert_set_aside("a file")
        self.end_victim()

    def test_directory_in_place_of_record(self):
        self.next_daemon(lambda: (os.unlink(self.data("record")), os.mkdir(self.data("record"))))
        self.assert_set_aside("a directory")
        self.end_victim()

    def test_missing_run_directory(self):
        """As after a clearing of the runtime directory: nothing of it lives on without an owner."""
        self.next_daemon(lambda: shutil.rmtree(self.run_path()))
        again = self.get("healthy")
        self.assertEqual((again.pid, again.state), (self.healthy.pid, State.STATE_RUNNING))
        wait_for(lambda: self.get("victim").HasField("end"), "the end of an emulator that cannot be reached any more")
        wait_for(lambda: not is_alive(self.victim.pid), "its process to end")

    def test_garbage_beside(self):
        """Files and directories that are none of ours, and events that are none."""
        state = self.daemon.state_dir

        def damage():
            write_file(os.path.join(state, "events.log"), os.urandom(10000))
            write_file(os.path.join(state, "data", "abcdef"), b"")
            os.mkdir(os.path.join(state, "data", "fedcba"))
            os.mkdir(os.path.join(state, "data", "not an id"))
            os.symlink("/nowhere", os.path.join(state, "data", "aaaaaa"))
            os.mkfifo(os.path.join(state, "data", "bbbbbb"))
            os.mkdir(os.path.join(state, "data", "cccccc"))
            os.mkfifo(os.path.join(state, "data", "cccccc", "record"))

        self.next_daemon(damage)
        self.assert_healthy("garbage")
        self.assert_adopted("garbage")
        self.start_fake(name="another")

    def test_file_size_limit(self):
        """Nothing can be written any more, as on a full disk."""
        shell = ["sh", "-c", 'ulimit -f 0; exec "$@"', "sh"]
        self.daemon.kill()
        self.daemon = Daemon(self.dir, command=shell)
        self.daemons.append(self.daemon)
        self.connect()
        self.assert_healthy("no room")
        self.assert_adopted("no room")
        self.restart_daemon()
        self.assert_healthy("room again")
        self.assert_adopted("room again")


class FullDisk(Case):
    """State directory on a small file system of its own."""

    def start_daemon(self, **options):
        if not hasattr(self, "namespace"):
            self.make_namespace()
        self.daemon = Daemon(self.dir, command=self.enter())
        self.daemons.append(self.daemon)
        self.connect()

    def make_namespace(self):
        state = os.path.join(self.dir, "state")
        os.mkdir(state, 0o700)
        script = f'mount -t tmpfs -o size=4m,mode=700 none "{state}" && echo ready && exec sleep 1000000'
        self.namespace = subprocess.Popen(["unshare", "-Urm", "sh", "-c", script], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        self.addCleanup(self.namespace.stdout.close)
        self.addCleanup(self.namespace.wait)
        self.addCleanup(self.namespace.kill)
        self.assertEqual(self.namespace.stdout.readline(), b"ready\n", "a file system of its own")

    def enter(self):
        return ["nsenter", "--preserve-credentials", "-U", "-m", "-t", str(self.namespace.pid)]

    def test_full(self):
        """A guest prints more than there is room for: it waits, daemons come and go, room comes, and nothing is missing."""
        instance = self.start_fake("output=burst:6000000", no_wait=True)
        wait_for(lambda: "No space left" in self.daemon.log_text(), "the daemon to say so")
        for _ in range(3):
            self.restart_daemon()
            again = self.get()
            self.assertEqual((again.pid, again.id), (instance.pid, instance.id))
        subprocess.run([*self.enter(), "mount", "-o", "remount,size=16m", self.daemon.state_dir], check=True)
        self.assert_sequence(self.read(follow=True), 6000000)
        self.stop()


class Unprivileged(Damaged):
    """As a user whom a mode can keep out."""

    def start_daemon(self, **options):
        if os.geteuid() == 0:
            os.chown(self.dir, NOBODY, NOBODY)
            options["environment"] = dict(os.environ, PWEMU_TEST_DIR=self.dir, PATH=PATH, HOME=self.dir)
            options["command"] = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
        self.daemon = Daemon(self.dir, **options)
        self.daemons.append(self.daemon)
        self.connect()

    def test_unreadable_directory(self):
        self.next_daemon(lambda: os.chmod(self.data(), 0))
        self.assert_set_aside("unreadable")
        self.next_daemon(lambda: os.chmod(self.data(), 0o700))
        self.assert_healthy("readable again")
        self.assert_adopted("readable again")


if __name__ == "__main__":
    unittest.main()
