# SPDX-License-Identifier: Apache-2.0
"""Every system call that the daemon and the shim make fails once, in turn, with what it may fail with: tests/fault/fault.c.

The scenario: a daemon, an instance that prints, a stop, another start, a SIGKILL of the daemon, the next daemon, a stop, the end.
Whatever call fails: nothing crashes, what was refused works when it is asked for again, what was not refused is right to the last byte,
the error is told to who asked or is in the daemon's log, no instance is lost, nothing is left running, and a daemon without faults goes
on in the same state directory.

FAULTS: how many cases, spread over all, default 400; "all". FAULT_CASE=where:function:index:errno runs one and shows its log."""

import concurrent.futures
import errno
import os
import queue
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import grpc  # noqa: E402
from pwemu_fixture import (  # noqa: E402
    BOARD, BUILD, FAKE_EMULATOR, IS_SANITIZED, PATH, ROOT, Daemon, channels_pb2, channels_pb2_grpc, common_pb2, daemon_pb2, daemon_pb2_grpc, instances_pb2,
    instances_pb2_grpc, is_alive, processes_with, sequence, targets_pb2, targets_pb2_grpc, wait_for,
)  # fmt: skip

FAULTS = os.environ.get("FAULTS", "400")
LIBRARY = os.path.join(BUILD, "tests/fault/libfault.so")
SHIM = os.path.join(BUILD, "tests/fault/pwemu-shim")
SOURCE = os.path.join(ROOT, "tests/fault/fault.c")
PLACES = {"daemon": "bin", "shim": "libexec/pwemu"}  # where the program is, and its fault.conf
WORKERS = 6
PATIENCE_S = 20
OUTPUT = 100000

MEMORY, FILES, SPACE, IO, AGAIN = errno.ENOMEM, errno.EMFILE, errno.ENOSPC, errno.EIO, errno.EINTR
KINDS = {
    (IO, FILES, MEMORY, SPACE, AGAIN): "open openat",
    (IO, SPACE, AGAIN): "write pwrite",
    (IO, AGAIN): "read pread",
    (IO, SPACE, MEMORY, AGAIN): "splice sendfile",
    (IO, SPACE, MEMORY): "rename renameat mkdir mkfifoat symlink link ftruncate fallocate fsync fdatasync",
    (IO, MEMORY): "fstat stat lstat fstatat access faccessat readlink unlink unlinkat rmdir chmod fchmod chdir execve ioctl",
    (MEMORY, AGAIN): "flock connect send recv sendmsg recvmsg readv writev poll",
    (FILES, MEMORY): "dup2 pipe2 socket socketpair epoll_create1 timerfd_create inotify_init1 memfd_create signalfd pidfd_open opendir fcntl syscall",
    (FILES, MEMORY, AGAIN): "accept4",
    (MEMORY,): "bind listen getsockopt setsockopt timerfd_settime inotify_add_watch pidfd_send_signal fork close_range mmap",
    (MEMORY, SPACE): "epoll_ctl",
    (AGAIN,): "epoll_wait waitid waitpid getrandom",
}
ABORTS = {"epoll_ctl"}  # lack of memory for these ends the daemon, saying so, and the next one adopts
DONE_ALREADY = {grpc.StatusCode.ALREADY_EXISTS, grpc.StatusCode.FAILED_PRECONDITION}  # by the one whose answer was lost
ERRORS = {name: errors for errors, names in KINDS.items() for name in names.split()}


def function_names():
    """In the library's order."""
    with open(SOURCE, encoding="ascii") as file:
        text = subprocess.run(["cpp", "-P", "-D_GNU_SOURCE"], stdin=file, capture_output=True, check=True).stdout.decode()
    inside = text.split("static const char *const names[] = {", 1)[1].split("};", 1)[0]
    return [word.strip().strip('"') for word in inside.split(",") if word.strip()]


NAMES = function_names()


class Scenario:
    """One run in a directory of its own; what is wrong is in problems, what was refused in refusals."""

    def __init__(self, tree, case):
        self.tree, self.case = tree, case
        self.dir = tempfile.mkdtemp(prefix="pwemu-fault-")
        self.daemon = None
        self.problems, self.refusals = [], []
        self.environment = dict(os.environ, PWEMU_TEST_DIR=self.dir, PATH=PATH, HOME=self.dir, XDG_RUNTIME_DIR=self.dir)
        self.faulty = dict(self.environment)
        if case[0] in ("daemon", "count"):
            self.faulty["LD_PRELOAD"] = f"{libasan()}:{LIBRARY}" if IS_SANITIZED else LIBRARY

    # ------------------------------------------------------------ steps

    def daemon_up(self, faulty=True):
        """At most one daemon may refuse to start, and says why."""
        for _ in range(2):
            self.daemon = Daemon(self.dir, environment=self.faulty if faulty else self.environment, wait=False, program=self.tree.program)
            if self.daemon.word == "ok\n" or "who started us cannot be told" in self.daemon.log_text():
                self.connect()
                return
            status = self.daemon.process.wait(PATIENCE_S)
            if not self.has_aborted() and (status != 1 or not self.daemon.word):
                self.problems.append(f"the daemon ended with {status} while it started, saying {self.daemon.word!r}")
            self.refusals.append(self.daemon.word)
        raise AssertionError(f"no daemon starts: {self.refusals}")

    def has_aborted(self):
        """By design, and it says so."""
        died = self.daemon.process.poll() == -signal.SIGABRT and self.case[1] in ABORTS
        return died and os.strerror(self.case[3]) in self.daemon.log_text()

    def connect(self):
        channel = self.daemon.channel(("grpc.initial_reconnect_backoff_ms", 20), ("grpc.max_reconnect_backoff_ms", 50))
        self.instances = instances_pb2_grpc.InstancesStub(channel)
        self.channels = channels_pb2_grpc.ChannelsStub(channel)
        self.targets = targets_pb2_grpc.TargetsStub(channel)
        self.control = daemon_pb2_grpc.DaemonStub(channel)

    def ask(self, service, method, request):
        """What was refused once must work when it is asked again."""
        for last in (False, True):
            try:
                return getattr(getattr(self, service), method)(request, timeout=PATIENCE_S)
            except grpc.RpcError as error:
                if service == "targets":
                    self.reload()
                self.follow()
                words = f"{error.code().name} {error.details()}"
                self.refusals.append(words)
                if last and self.case[1] in ABORTS and error.code() in DONE_ALREADY:
                    return self.instances.Get(instances_pb2.GetRequest(instance=self.ref()), timeout=PATIENCE_S)
                if error.code() == grpc.StatusCode.DEADLINE_EXCEEDED or last:
                    raise AssertionError(f"{type(request).__name__}: {words}") from error
        return None

    def reload(self):
        """What an unreadable preset asks for."""
        try:
            self.control.Reload(daemon_pb2.ReloadRequest(), timeout=PATIENCE_S)
        except grpc.RpcError:
            pass

    def follow(self):
        """A new connection, to the next daemon if need be, as clients do. Who asked hears of the end before it is over."""
        self.daemon.close_channels()
        try:
            self.daemon.process.wait(0.2)
        except subprocess.TimeoutExpired:
            self.connect()
            return
        if not self.has_aborted():
            raise AssertionError(f"the daemon ended with {self.daemon.process.returncode}")
        self.daemon_up()

    def start(self):
        variables = [f"PWEMU_TEST_DIR={self.dir}", f"PATH={PATH}", f"FAKE_EMULATOR=output=burst:{OUTPUT}"]
        target = self.ask("targets", "Get", targets_pb2.GetTargetRequest(name=BOARD))
        target.qemu.executable = FAKE_EMULATOR
        request = instances_pb2.StartRequest(
            name="fault", target_config=target, environment=instances_pb2.Environment(variables=variables, umask=0o22)
        )
        for last in (False, True):
            instance = self.ask("instances", "Start", request)
            if not instance.HasField("end"):
                return instance
            self.refusals.append(instance.end.message)
            if last:
                raise AssertionError(f"start: {instance.end.message}")
        return None

    def ref(self):
        return common_pb2.InstanceRef(name="fault")

    def stop(self):
        """Also of one that the fault has ended."""
        if not self.is_over():
            self.ask("instances", "Stop", instances_pb2.StopRequest(instance=self.ref(), grace_ms=2000))

    def is_over(self):
        return self.ask("instances", "Get", instances_pb2.GetRequest(instance=self.ref())).HasField("end")

    def read_boot(self):
        """All that the boot prints, a gap or a wrong byte is a problem; an error is one if it comes twice."""
        seen = b""
        for last in (False, True):
            position = {"from": common_pb2.Position(boot=True)}
            call = self.channels.Read(channels_pb2.ReadRequest(instance=self.ref(), follow=True, **position), timeout=PATIENCE_S)
            try:
                seen = b""
                for reply in call:
                    seen += reply.data.bytes
                    if len(seen) >= OUTPUT:
                        break
                call.cancel()
                break
            except grpc.RpcError as error:
                self.follow()
                self.refusals.append(f"{error.code().name} {error.details()}")
                if last:
                    raise AssertionError(f"read: {error.details()}, {len(seen)} bytes came") from error
        if seen != sequence(0, OUTPUT) and not self.is_over():
            self.problems.append(f"{len(seen)} bytes came, not the {OUTPUT} of the guest")

    def kill_daemon(self):
        if not self.daemon.is_running():
            raise AssertionError(f"the daemon has ended with {self.daemon.process.returncode}")
        self.daemon.kill()

    def shut_down(self):
        self.ask("control", "Shutdown", daemon_pb2.ShutdownRequest(with_instances=True))
        status = self.daemon.wait(PATIENCE_S)
        self.daemon.close_channels()
        if status != 0 and not self.has_aborted():
            self.problems.append(f"the daemon ended with {status}")

    # ------------------------------------------------------------ all of it

    def run(self):
        try:
            self.life()
        except Exception as error:  # pylint: disable=broad-except
            self.problems.append(f"{error!r}")
        self.end_daemon()
        try:
            self.look_around()
            self.afterwards()
        except Exception as error:  # pylint: disable=broad-except
            self.problems.append(f"afterwards: {error!r}")
        self.end_daemon()
        self.clean_up()
        return self.problems

    def life(self):
        self.daemon_up()
        self.start()
        self.read_boot()
        self.stop()
        instance = self.start()
        self.read_boot()
        self.kill_daemon()
        self.daemon_up()
        if self.ask("instances", "Get", instances_pb2.GetRequest(instance=self.ref())).id != instance.id:
            self.problems.append("the next daemon has another instance")
        self.read_boot()
        self.stop()
        self.shut_down()

    def end_daemon(self):
        """One that has died before is a problem of its own."""
        if self.daemon is None:
            return
        if self.daemon.is_running():
            self.daemon.kill()
        elif self.daemon.process.returncode not in (0, 1) and not self.has_aborted():
            self.problems.append(f"the daemon ended with {self.daemon.process.returncode}")
        self.daemon.close_channels()

    def look_around(self):
        """What the fault has done must have been told, if it has done anything."""
        log = self.daemon.log_text()
        for word in ("AddressSanitizer", "LeakSanitizer", "runtime error:", "Assertion"):
            if word in log:
                self.problems.append(f"{word}")
        text = os.strerror(self.case[3]) if len(self.case) == 4 else ""
        if self.refusals and not any(text in words for words in self.refusals + [log]):
            self.problems.append(f'nobody says "{text}": {self.refusals}')

    def afterwards(self):
        """A daemon without faults finds what there is, ends it, and works."""
        self.tree.configure(None)
        self.daemon_up(False)
        rows = list(self.ask("instances", "List", instances_pb2.ListRequest(all=True)).instances)
        if [row.name for row in rows] != ["fault"]:
            self.problems.append(f"instances afterwards: {[row.name for row in rows]}")
        for row in rows:
            if not row.HasField("end"):
                self.stop()
        wait_for(lambda: set(processes_with(self.dir)) <= {self.daemon.pid}, f"the end of {processes_with(self.dir)}", PATIENCE_S)
        self.start()
        self.read_boot()
        self.shut_down()

    def clean_up(self):
        if self.problems:
            self.problems.append(f"---- log\n{self.daemon.log_text()[-6000:]}\n---- where\n{self.tree.hit()}")
        for pid in processes_with(self.dir):
            if is_alive(pid):
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.dir, ignore_errors=True)


def libasan():
    return subprocess.run(["gcc", "-print-file-name=libasan.so"], capture_output=True, check=True, text=True).stdout.strip()


class Tree:
    """The layout of an installation, with the test's shim."""

    def __init__(self, directory):
        self.dir = directory
        self.program = os.path.join(directory, "bin/pwemud")
        for place in PLACES.values():
            os.makedirs(os.path.join(directory, place))
        shutil.copy(os.path.join(BUILD, "bin/pwemud"), self.program)
        shutil.copy(SHIM, os.path.join(directory, PLACES["shim"]))
        os.makedirs(os.path.join(directory, "share/pwemu"))
        os.symlink(os.path.realpath(os.path.join(BUILD, "share/pwemu/targets")), os.path.join(directory, "share/pwemu/targets"))

    def path(self, where, name):
        return os.path.join(self.dir, PLACES[where], name)

    def configure(self, case, names=("fault.conf",)):
        for where in PLACES:
            for name in names:
                if os.path.exists(self.path(where, name)):
                    os.unlink(self.path(where, name))
            if case is not None and case[0] in (where, "count"):
                with open(self.path(where, "fault.conf"), "w", encoding="ascii") as file:
                    file.write("count\n" if case[0] == "count" else "%s %d %d\n" % case[1:])

    def counts(self, where):
        with open(self.path(where, "fault.counts"), "rb") as file:
            values = struct.unpack(f"{len(NAMES) + 1}I", file.read())
        return dict(zip(NAMES, values)), values[-1]

    def hit(self):
        """The addresses, by name where addr2line knows."""
        for where in PLACES:
            if os.path.exists(self.path(where, "fault.hit")):
                with open(self.path(where, "fault.hit"), encoding="ascii", errors="replace") as file:
                    return "".join(self.name_line(line) for line in file)
        return "it was not hit"

    def name_line(self, line):
        program, _, rest = line.partition("(")
        if not program.startswith(self.dir) or "+0x" not in rest:
            return line
        address = rest[1:].split(")", 1)[0]
        words = subprocess.run(["addr2line", "-f", "-s", "-e", program, address], capture_output=True, text=True, check=False).stdout
        return f"    {' '.join(words.split())}\n"

    def run(self, case):
        self.configure(case, ("fault.conf", "fault.counts", "fault.hit"))
        scenario = Scenario(self, case)
        problems = scenario.run()
        hit = case[0] in PLACES and self.counts(case[0])[1]
        return problems, hit


def all_cases(counts):
    """(where, function, index, errno): for each function and error in turn the indices, so that any number of cases is a good mixture."""
    rows = []
    for where, functions in counts.items():
        for name, count in functions.items():
            for error in ERRORS[name] if count else ():
                rows.append([(where, name, index, error) for index in spread(count)])
    cases = []
    for turn in range(max(map(len, rows))):
        cases += [row[turn] for row in rows if turn < len(row)]
    return cases


def spread(count):
    """0 … count - 1, neighbours as late as possible: any beginning of it is spread over the whole."""
    bits = max(1, (count - 1).bit_length())
    order = (int(f"{n:0{bits}b}"[::-1], 2) for n in range(1 << bits))
    return [n for n in order if n < count]


class Faults(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="pwemu-trees-")
        self.addCleanup(shutil.rmtree, self.dir)
        self.trees = queue.Queue()
        for number in range(WORKERS):
            self.trees.put(Tree(os.path.join(self.dir, str(number))))

    def run_in_tree(self, case):
        tree = self.trees.get()
        try:
            return tree.run(case)
        finally:
            self.trees.put(tree)

    def count(self):
        """How often each function is called when none fails."""
        tree = self.trees.get()
        problems, _ = tree.run(("count",))
        self.assertEqual(problems, [], "\n".join(problems))
        counts = {where: tree.counts(where)[0] for where in PLACES}
        self.trees.put(tree)
        return counts

    def test_faults(self):
        if "FAULT_CASE" in os.environ:
            where, name, index, error = os.environ["FAULT_CASE"].split(":")
            problems, hit = self.run_in_tree((where, name, int(index), int(error)))
            self.assertEqual(problems, [], f"hit {hit}: " + "\n".join(problems))
            return
        counts = self.count()
        for where, functions in counts.items():
            print(where, " ".join(f"{name} {count}" for name, count in functions.items() if count), file=sys.stderr)
        cases = all_cases(counts)
        chosen = cases if FAULTS == "all" else cases[: int(FAULTS)]
        bad, hits = [], 0
        with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
            for case, (problems, hit) in zip(chosen, pool.map(self.run_in_tree, chosen)):
                hits += hit
                if problems:
                    bad.append(case)
                    print(f"FAULT_CASE={':'.join(map(str, case))}:", "\n".join(problems), file=sys.stderr)
        print(f"{len(chosen)} of {len(cases)} cases, {hits} were hit, {len(bad)} are bad", file=sys.stderr)
        self.assertEqual(bad, [])
        self.assertGreater(hits, len(chosen) * 0.8, "cases that are not hit show nothing")


if __name__ == "__main__":
    unittest.main()
