# SPDX-License-Identifier: Apache-2.0
"""The real daemon, real QEMU and a stock gRPC client, in a directory of their own; nothing of it is left at the end.

PWEMU_BUILD is the build under test, PWEMU_FIRMWARE the directory of the test firmware."""

import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "../.."))
BUILD = os.path.abspath(os.environ.get("PWEMU_BUILD", os.path.join(ROOT, "build/release")))
FIRMWARE = os.path.abspath(os.environ.get("PWEMU_FIRMWARE", os.path.join(ROOT, "build/firmware")))
PWEMUD = os.path.join(BUILD, "bin/pwemud")
PWEMU = os.path.join(BUILD, "bin/pwemu")
FAKE_EMULATOR = os.path.join(BUILD, "tests/fake/emulator")
sys.path.insert(0, os.path.join(BUILD, "gen/python-pwemu"))

import grpc  # noqa: E402
from pwemu.v1 import channels_pb2, channels_pb2_grpc  # noqa: E402
from pwemu.v1 import common_pb2  # noqa: E402
from pwemu.v1 import daemon_pb2, daemon_pb2_grpc  # noqa: E402
from pwemu.v1 import instances_pb2, instances_pb2_grpc  # noqa: E402
from pwemu.v1 import properties_pb2, properties_pb2_grpc  # noqa: E402
from pwemu.v1 import targets_pb2, targets_pb2_grpc  # noqa: E402

TEST_DEADLINE = 240
CALL_DEADLINE = 60
BOARD = "qemu-lm3s6965evb"
PATH = "/usr/local/bin:/usr/bin:/bin"

with open(PWEMUD, "rb") as program:
    IS_SANITIZED = b"__asan_init" in program.read()  # its memory says nothing


def wait_for(condition, what, deadline=CALL_DEADLINE):
    """Until the condition holds, and returns what it gave; polls, since what is waited for happens in another process."""
    end = time.monotonic() + deadline
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > end:
            raise AssertionError("waited in vain for: " + what)
        time.sleep(0.01)


def firmware(name, board="lm3s6965evb"):
    return os.path.join(FIRMWARE, board, name)


def converted(elf, form, directory):
    """The firmware as a raw binary or hex file."""
    board, name = elf.split(os.sep)[-2:]
    path = os.path.join(directory, f"{board}-{name[: -len('.elf')]}.{'bin' if form == 'binary' else 'hex'}")
    subprocess.run(["objcopy", "-O", form, "-I", "elf32-little", elf, path], check=True)
    return path


def read_proc(pid, name):
    try:
        with open(f"/proc/{pid}/{name}", "rb") as file:
            return file.read()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return b""


def is_alive(pid):
    stat = read_proc(pid, "stat")
    return bool(stat) and stat.rsplit(b")", 1)[1].split()[0] not in (b"Z", b"X")


def shim_place(pid, command):
    """Where a shim's run directory is, its descriptor 4: it has neither arguments nor an environment that tell."""
    if not command.startswith(b"pwemu-shim\0"):
        return b""
    try:
        return os.readlink(f"/proc/{pid}/fd/4").encode()
    except OSError:
        return b""


def processes_with(text):
    """Processes that have the text in their arguments, their environment or, shims, the path of their run directory, as {pid: arguments}."""
    found = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and int(entry) != os.getpid() and is_alive(entry):
            command = read_proc(entry, "cmdline")
            if text.encode() in command + read_proc(entry, "environ") + shim_place(entry, command):
                found[int(entry)] = command.replace(b"\0", b" ").decode(errors="replace")
    return found


# ---------------------------------------------------------------- the sequence firmware

LINE = 9


def sequence(offset, length):
    """That many bytes of what seq.elf prints, from an offset."""
    first = offset // LINE
    last = (offset + length + LINE - 1) // LINE
    text = b"".join(b"%08x\n" % n for n in range(first, last))
    return text[offset - first * LINE : offset - first * LINE + length]


class Daemon:
    def __init__(self, directory, environment=None, cwd=None, arguments=(), socket_path=None, wait=True, program=PWEMUD, command=()):
        self.dir = directory
        self.state_dir = os.path.join(directory, "state")
        self.socket = socket_path or os.path.join(directory, "control.sock")
        self.log = os.path.join(directory, "daemon.log")
        self.channels = []
        ready, told = os.pipe()
        command = [*command, program, "--foreground", "--socket", self.socket, "--state-dir", self.state_dir, "--ready-fd", str(told)]
        if environment is None:
            # no settings of whoever runs the tests
            environment = dict(os.environ, PWEMU_TEST_DIR=directory, PATH=PATH, XDG_CONFIG_HOME=os.path.join(directory, "config"))
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                command + list(arguments), stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, cwd=cwd, pass_fds=[told]
            )
        os.close(told)
        with os.fdopen(ready, "rb") as file:
            self.word = file.read().decode()
        if wait and self.word != "ok\n":
            raise AssertionError(f"the daemon did not start: {self.word}{self.log_text()}")

    def log_text(self):
        with open(self.log, errors="replace") as file:
            return file.read()

    @property
    def pid(self):
        return self.process.pid

    def channel(self, *options):
        # an own subchannel pool: each channel is a connection of its own
        channel = grpc.insecure_channel("unix:" + self.socket, options=[("grpc.use_local_subchannel_pool", 1)] + list(options))
        self.channels.append(channel)
        return channel

    def close_channels(self):
        for channel in self.channels:
            channel.close()
        self.channels = []

    def kill(self):
        """As a crash would."""
        self.close_channels()
        self.process.kill()
        self.process.wait()

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)

    def wait(self, deadline=30):
        return self.process.wait(deadline)

    def is_running(self):
        return self.process.poll() is None

    def rss_kib(self):
        for line in read_proc(self.pid, "status").decode().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
        raise AssertionError("the daemon is gone")


class Case(unittest.TestCase):
    """One daemon, a connection to it, and short ways to say what tests say often."""

    daemon_environment = None
    daemon_cwd = None

    def setUp(self):
        def late(number, frame):
            raise AssertionError("the test takes too long")

        signal.signal(signal.SIGALRM, late)
        signal.alarm(TEST_DEADLINE)
        self.addCleanup(signal.alarm, 0)
        self.dir = tempfile.mkdtemp(prefix="pwemu-py-")
        self.daemons = []
        self.raws = []
        self.addCleanup(self.clean_up)
        self.daemon = None
        self.start_daemon()

    def start_daemon(self, **options):
        options.setdefault("environment", self.daemon_environment)
        options.setdefault("cwd", self.daemon_cwd)
        self.daemon = Daemon(self.dir, **options)
        self.daemons.append(self.daemon)
        self.connect()
        return self.daemon

    def connect(self):
        channel = self.daemon.channel()
        grpc.channel_ready_future(channel).result(CALL_DEADLINE)
        self.instances = instances_pb2_grpc.InstancesStub(channel)
        self.channels = channels_pb2_grpc.ChannelsStub(channel)
        self.properties = properties_pb2_grpc.PropertiesStub(channel)
        self.targets = targets_pb2_grpc.TargetsStub(channel)
        self.control = daemon_pb2_grpc.DaemonStub(channel)

    def configure(self, settings):
        """The daemon's settings: {"lease-grace": "1s"}; in force when this returns."""
        place = os.path.join(self.dir, "config", "pwemu")
        os.makedirs(place, exist_ok=True)
        with open(os.path.join(place, "pwemud.json"), "w", encoding="ascii") as file:
            json.dump(settings, file)
        if self.daemon is not None and self.daemon.is_running():
            self.control.Reload(daemon_pb2.ReloadRequest(), timeout=CALL_DEADLINE)

    def restart_daemon(self):
        """A crash and a new daemon."""
        self.daemon.kill()
        self.start_daemon()

    def clean_up(self):
        """Everything ends as users would end it; what does not is a failure and is killed, by its pid."""
        problems = []
        for raw in self.raws:
            raw.close()
        for daemon in self.daemons:
            if daemon.is_running():
                problems += self.end_daemon(daemon)
            daemon.close_channels()
        try:
            wait_for(lambda: not processes_with(self.dir), "the processes to end", 10)
        except AssertionError:
            left = processes_with(self.dir)
            problems.append(f"left running: {left}")
            for pid in left:
                os.kill(pid, signal.SIGKILL)
        log = self.daemons[-1].log_text() if self.daemons else ""
        if "AddressSanitizer" in log or "LeakSanitizer" in log or "runtime error:" in log:
            problems.append("the sanitizer complains")
        shutil.rmtree(self.dir, ignore_errors=True)
        if problems or self.has_failed():
            print(f"---- log of the daemon\n{log[-12000:]}----", file=sys.stderr)
        self.assertEqual(problems, [])

    def has_failed(self):
        result = self._outcome.result
        return any(test is self for test, _ in getattr(result, "failures", []) + getattr(result, "errors", []))

    @staticmethod
    def end_daemon(daemon):
        try:
            stub = daemon_pb2_grpc.DaemonStub(daemon.channel())
            stub.Shutdown(daemon_pb2.ShutdownRequest(with_instances=True), timeout=40, wait_for_ready=True)
            code = daemon.wait()
            return [f"the daemon ended with {code}"] if code != 0 else []
        except (grpc.RpcError, subprocess.TimeoutExpired) as error:
            daemon.process.kill()
            daemon.process.wait()
            return [f"the daemon does not end: {error!r}"]

    # ---------------------------------------------------------------- requests

    def environment(self, *more, path=PATH, cwd="", umask=0o22):
        variables = [f"PWEMU_TEST_DIR={self.dir}", f"PATH={path}", *more]
        return instances_pb2.Environment(variables=variables, cwd=cwd, umask=umask)

    def request(self, image=None, name="", board=BOARD, **fields):
        fields.setdefault("environment", self.environment())
        fields.setdefault("restart", targets_pb2.RestartPolicy(mode=targets_pb2.RESTART_MODE_NO))
        if "target_config" not in fields:
            fields["target_name"] = board
        if image is not None:
            path = image if "/" in image else firmware(image)
            fields["images"] = [instances_pb2.Image(path=path)] + list(fields.get("images", []))
        return instances_pb2.StartRequest(name=name, **fields)

    def start(self, image=None, name="", **fields):
        return self.instances.Start(self.request(image, name, **fields), timeout=CALL_DEADLINE)

    def fake_target(self):
        """The default board, run by the fake emulator."""
        target = self.targets.Get(targets_pb2.GetTargetRequest(name=BOARD), timeout=CALL_DEADLINE)
        target.qemu.executable = FAKE_EMULATOR
        return target

    def fake_request(self, script="", name="", *variables, **fields):
        """For the fake emulator, which does what the script says: tests/fake/emulator.c."""
        fields.setdefault("target_config", self.fake_target())
        return self.request(None, name, environment=self.environment(f"FAKE_EMULATOR={script}", *variables), **fields)

    def start_fake(self, script="", name="", *variables, **fields):
        return self.instances.Start(self.fake_request(script, name, *variables, **fields), timeout=CALL_DEADLINE)

    def start_stubborn(self, name="default"):
        """An emulator that says nothing and does not react to SIGTERM."""
        script = os.path.join(self.dir, "stubborn")
        ready = os.path.join(self.dir, f"ready-{name}")
        with open(script, "w", encoding="ascii") as file:
            file.write(f"#!/bin/sh\ntrap '' TERM\n: > '{self.dir}/ready-'$NAME\nexec sleep 100000\n")
        os.chmod(script, 0o755)
        target = self.targets.Get(targets_pb2.GetTargetRequest(name=BOARD), timeout=CALL_DEADLINE)
        target.qemu.executable = script
        instance = self.start(None, name, target_config=target, no_wait=True, environment=self.environment(f"NAME={name}"))
        wait_for(lambda: os.path.exists(ready), "the stubborn emulator")
        return instance

    def stop(self, name="default", grace_ms=0):
        return self.instances.Stop(instances_pb2.StopRequest(instance=self.ref(name), grace_ms=grace_ms), timeout=CALL_DEADLINE)

    def get(self, name="default"):
        return self.instances.Get(instances_pb2.GetRequest(instance=self.ref(name)), timeout=CALL_DEADLINE)

    def list(self, everything=True):
        return list(self.instances.List(instances_pb2.ListRequest(all=everything), timeout=CALL_DEADLINE).instances)

    @staticmethod
    def ref(name="default"):
        return common_pb2.InstanceRef(name=name)

    def wait_until_over(self, name="default"):
        """The last word of Watch."""
        last = None
        request = instances_pb2.WatchRequest(instance=self.ref(name), snapshots=True)
        for event in self.instances.Watch(request, timeout=CALL_DEADLINE):
            last = event.snapshot if event.HasField("snapshot") else last
        return last

    def wait_end(self, name="default"):
        instance = self.wait_until_over(name)
        self.assertTrue(instance.HasField("end"), instance)
        return instance.end

    def pwemu(self, *words, code=0):
        """The command line client, with this daemon. Returns stdout, or for an exit code that is not 0 stderr."""
        environment = {"PATH": PATH, "HOME": self.dir, "XDG_RUNTIME_DIR": self.dir, "XDG_STATE_HOME": self.dir, "XDG_CONFIG_HOME": self.dir}
        command = [PWEMU, "-H", "unix:" + self.daemon.socket, *words]
        result = subprocess.run(
            command, cwd=self.dir, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=CALL_DEADLINE, text=True, check=False
        )
        self.assertEqual(result.returncode, code, result.stdout + result.stderr)
        return result.stderr if code != 0 else result.stdout

    # ---------------------------------------------------------------- channels

    def read(self, channel="", name="default", timeout=CALL_DEADLINE, **fields):
        request = channels_pb2.ReadRequest(instance=self.ref(name), channel=channel, **fields)
        return self.channels.Read(request, timeout=timeout)

    def read_all(self, channel="", name="default", **fields):
        return b"".join(reply.data.bytes for reply in self.read(channel, name, **fields))

    def read_until(self, text, channel="", name="default"):
        """From the start on, until the text was seen."""
        seen = b""
        call = self.read(channel, name, follow=True)
        for reply in call:
            seen += reply.data.bytes
            if text in seen:
                call.cancel()
                return seen
        raise AssertionError(f"no {text!r} in {seen!r}")

    def assert_sequence(self, replies, limit):
        """Reads that many bytes of seq.elf's output; every one at its place. Returns the offset after the last."""
        at = None
        total = 0
        for reply in replies:
            data = reply.data
            if at is not None:
                self.assertEqual(data.offset, at, "a hole in the offsets")
            self.assertEqual(data.bytes, sequence(data.offset, len(data.bytes)))
            at = data.offset + len(data.bytes)
            total += len(data.bytes)
            if total >= limit:
                break
        self.assertGreaterEqual(total, limit)
        return at

    def log_path(self, instance, channel="serial0"):
        return next(row.log for row in instance.channels if row.name == channel)

    def offset(self, channel="serial0", name="default"):
        return next(row.offset for row in self.get(name).channels if row.name == channel)

    # ---------------------------------------------------------------- expectations

    def assert_fails(self, code, reason, call, *arguments, text="", **options):
        """Fails with this status, trailer and text."""
        with self.assertRaises(grpc.RpcError) as caught:
            result = call(*arguments, **options)
            if hasattr(result, "__iter__") and not hasattr(result, "DESCRIPTOR"):
                list(result)
        error = caught.exception
        self.assertEqual(error.code(), code, error.details())
        reasons = [value for key, value in error.trailing_metadata() or () if key == "pwemu-reason"]
        self.assertEqual(reasons, [reason] if reason else [], error.details())
        self.assertIn(text, error.details())
        return error

    def assert_served(self):
        """A client that has just come gets its answer soon."""
        stub = daemon_pb2_grpc.DaemonStub(self.daemon.channel())
        self.assertEqual(stub.Info(daemon_pb2.InfoRequest(), timeout=CALL_DEADLINE).pid, self.daemon.pid)

    def assert_rss_below(self, before_kib, growth_kib):
        if not IS_SANITIZED:
            self.assertLess(self.daemon.rss_kib() - before_kib, growth_kib)

    def assert_nothing_runs(self):
        """Only the daemon carries our directory in its arguments or its environment."""
        wait_for(lambda: set(processes_with(self.dir)) <= {self.daemon.pid}, "everything but the daemon to end", 10)


class Attachment:
    """A client of Attach: what it gets is collected by a thread, what it sends is queued."""

    def __init__(self, case, channel="", name="default", write=False, steal=False, stub=None, **position):
        self.condition = threading.Condition()
        self.outgoing = []
        self.output = b""
        self.offset = None
        self.writer_changes = []
        self.taken = 0
        self.opened = None
        self.error = None
        self.is_over = False
        opening = channels_pb2.AttachOpen(
            instance=case.ref(name), channel=channel, write=write, steal=steal, **({"from": common_pb2.Position(**position)} if position else {})
        )
        self.outgoing.append(channels_pb2.AttachRequest(open=opening))
        self.call = (stub or case.channels).Attach(self._requests(), timeout=TEST_DEADLINE)
        self.thread = threading.Thread(target=self._collect, daemon=True)
        self.thread.start()
        self.wait(lambda: self.opened or self.is_over, "the stream to open")

    def _requests(self):
        while True:
            with self.condition:
                self.condition.wait_for(lambda: self.outgoing or self.is_over)
                if not self.outgoing:
                    return
                request = self.outgoing.pop(0)
            if request is None:
                return
            yield request

    def _collect(self):
        try:
            for reply in self.call:
                with self.condition:
                    self._take(reply)
                    self.condition.notify_all()
        except grpc.RpcError as error:
            self.error = error
        with self.condition:
            self.is_over = True
            self.condition.notify_all()

    def _take(self, reply):
        kind = reply.WhichOneof("kind")
        if kind == "opened":
            self.opened = reply.opened
            self.offset = reply.opened.offset
        elif kind == "data":
            assert reply.data.offset == self.offset + len(self.output), "a hole in the offsets"
            self.output += reply.data.bytes
        elif kind == "writer":
            self.writer_changes.append((reply.writer.writer, reply.writer.reason))
        elif kind == "input_taken":
            self.taken = reply.input_taken

    def wait(self, condition, what, deadline=CALL_DEADLINE):
        with self.condition:
            if not self.condition.wait_for(condition, deadline):
                raise AssertionError(f"waited in vain for: {what}; output {self.output[-200:]!r}, error {self.error}")

    def wait_output(self, text):
        self.wait(lambda: text in self.output or self.is_over, f"{text!r}")
        assert text in self.output, (text, self.output, self.error)

    def send(self, data):
        with self.condition:
            self.outgoing.append(channels_pb2.AttachRequest(input=data))
            self.condition.notify_all()

    def half_close(self):
        with self.condition:
            self.outgoing.append(None)
            self.condition.notify_all()

    def close(self):
        self.call.cancel()
        self.thread.join(CALL_DEADLINE)


# ---------------------------------------------------------------- HTTP/2 by hand

DATA, HEADERS, RST_STREAM, SETTINGS, GOAWAY = 0, 1, 3, 4, 7
END_STREAM, END_HEADERS = 1, 4
INITIAL_WINDOW_SIZE = 4


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + payload


def hpack_text(text):
    assert len(text) < 127
    return bytes((len(text),)) + text


class Raw:
    """A client that asks and never reads, or gives no window; as a case's Raw it is closed at the end."""

    def __init__(self, case, window=65535, rcvbuf=None):
        self.socket = socket.socket(socket.AF_UNIX)
        if rcvbuf:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        self.socket.settimeout(CALL_DEADLINE)
        self.socket.connect(case.daemon.socket)
        self.next_stream = 1
        self.socket.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, payload=struct.pack(">HI", INITIAL_WINDOW_SIZE, window)))
        case.raws.append(self)

    def request(self, path, message):
        fields = [
            (b":method", b"POST"),
            (b":scheme", b"http"),
            (b":path", path),
            (b":authority", b"test"),
            (b"content-type", b"application/grpc"),
            (b"te", b"trailers"),
        ]
        block = b"".join(b"\0" + hpack_text(name) + hpack_text(value) for name, value in fields)
        body = message.SerializeToString()
        body = b"\0" + struct.pack(">I", len(body)) + body
        stream = self.next_stream
        self.next_stream += 2
        self.socket.sendall(frame(HEADERS, END_HEADERS, stream, block) + frame(DATA, END_STREAM, stream, body))
        return stream

    def close(self):
        self.socket.close()
