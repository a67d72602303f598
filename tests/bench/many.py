#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Many instances at once: what each costs, and how long the world stands still when the daemon is killed. `make bench` prints it."""
import argparse
import fcntl
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../python"))

import grpc  # noqa: E402
from pwemu_fixture import (  # noqa: E402
    BOARD, FAKE_EMULATOR, PATH, PWEMU, Daemon, channels_pb2, channels_pb2_grpc, common_pb2, daemon_pb2, daemon_pb2_grpc, firmware, instances_pb2, instances_pb2_grpc, read_proc,
    targets_pb2, targets_pb2_grpc, wait_for,
)  # fmt: skip

PATIENCE_S = 120


def row(name, value, note=""):
    print(f"{name:44} {value:34} {note}", flush=True)


def private_kib(pid):
    lines = read_proc(pid, "smaps_rollup").decode().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))


def children(pid):
    return [int(child) for child in read_proc(pid, f"task/{pid}/children").split()]


class Bench:
    """A daemon in a directory of its own."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="pwemu-many-")
        self.start_daemon()

    def start_daemon(self):
        """Milliseconds from its exec to its "ok"."""
        begin = time.perf_counter()
        self.daemon = Daemon(self.dir)
        took = (time.perf_counter() - begin) * 1e3
        channel = self.daemon.channel()
        grpc.channel_ready_future(channel).result(PATIENCE_S)
        self.instances = instances_pb2_grpc.InstancesStub(channel)
        self.target = targets_pb2_grpc.TargetsStub(channel).Get(targets_pb2.GetTargetRequest(name=BOARD), timeout=PATIENCE_S)
        self.control = daemon_pb2_grpc.DaemonStub(channel)
        return took

    def start(self, name, image=None, fake=None, pause=False):
        variables = [f"PATH={PATH}", f"PWEMU_TEST_DIR={self.dir}"]
        if fake is not None:
            self.target.qemu.executable = FAKE_EMULATOR
            del self.target.channels[1:]
            variables.append(f"FAKE_EMULATOR={fake}")
        request = instances_pb2.StartRequest(name=name, target_config=self.target, pause=pause)
        request.environment.CopyFrom(instances_pb2.Environment(variables=variables, umask=0o22))
        if image is not None:
            request.images.append(instances_pb2.Image(path=firmware(image)))
        return self.instances.Start(request, timeout=PATIENCE_S)

    def get(self, name):
        return self.instances.Get(instances_pb2.GetRequest(instance=common_pb2.InstanceRef(name=name)), timeout=PATIENCE_S)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.control.Shutdown(daemon_pb2.ShutdownRequest(with_instances=True), timeout=PATIENCE_S)
        self.daemon.close_channels()
        self.daemon.wait(PATIENCE_S)
        shutil.rmtree(self.dir)


class Stall(threading.Thread):
    """The longest time in which a guest that prints without pause did not print: neither its log nor its FIFO grew."""

    def __init__(self, bench, instance):
        super().__init__(daemon=True)
        self.log = next(channel.log for channel in instance.channels if channel.name == "serial0")
        self.fifo = os.open(os.path.join(bench.daemon.state_dir, "run", instance.id, "serial0.out"), os.O_RDWR | os.O_NONBLOCK)
        self.longest_s, self.is_over = 0.0, False
        self.start()

    def printed(self):
        waiting = struct.unpack("i", fcntl.ioctl(self.fifo, termios.FIONREAD, bytes(4)))[0]
        return os.stat(self.log).st_size + waiting

    def run(self):
        last, since = -1, time.perf_counter()
        while not self.is_over:
            now, printed = time.perf_counter(), self.printed()
            if printed != last:
                self.longest_s = max(self.longest_s, now - since) if last >= 0 else 0.0
                last, since = printed, now
            time.sleep(0.0005)

    def finish(self):
        self.is_over = True
        self.join()
        os.close(self.fifo)
        return self.longest_s * 1e3


def bench_adoption(bench, count):
    sequence = bench.start("seq", "seq.elf")
    for number in range(count):
        bench.start(f"idle{number}", fake="")
    wait_for(lambda: bench.get("seq").channels[0].offset > 1000000, "a guest at full speed", PATIENCE_S)
    took, quiet = [], Stall(bench, sequence)
    time.sleep(2)
    usual_ms, stall = quiet.finish(), Stall(bench, sequence)
    for _ in range(5):
        bench.daemon.kill()
        took.append(bench.start_daemon())
    stall_ms = stall.finish()
    row(f"re-adoption of {count} instances, exec to ok [ms]", f"{sorted(took)[2]:9.1f}  ({min(took):.1f} .. {max(took):.1f})")
    row("longest stall of a guest at full speed [ms]", f"{stall_ms:9.1f}", f"(without a kill: {usual_ms:.1f})")


def bench_memory(bench, count, what, **how):
    bench.start("first", **how)  # what is made once
    before, shims_before = bench.daemon.rss_kib(), set(children(bench.daemon.pid))
    begin = time.perf_counter()
    for number in range(count):
        bench.start(f"m{number}", **how)
    took = (time.perf_counter() - begin) / count * 1e3
    shims = set(children(bench.daemon.pid)) - shims_before
    daemon_kib, shim_kib = (bench.daemon.rss_kib() - before) / count, sum(map(private_kib, shims)) / max(1, len(shims))
    row(f"one of {count} {what}, daemon + shim [KiB]", f"{daemon_kib + shim_kib:9.1f}", f"{daemon_kib:.1f} + {shim_kib:.1f}  (goal 64)")
    row(f"start of one of {count} {what} [ms]", f"{took:9.1f}")


class Idle:
    """Attached clients that say nothing, each with a connection of its own."""

    def __init__(self, bench, count):
        self.calls = []
        request = channels_pb2.ReadRequest(instance=common_pb2.InstanceRef(name="quiet"), channel="serial0", follow=True)
        for _ in range(count):
            stub = channels_pb2_grpc.ChannelsStub(bench.daemon.channel())
            self.calls.append(stub.Read(request, timeout=PATIENCE_S))


def cpu_s(pid):
    fields = read_proc(pid, "stat").rsplit(b")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def bench_attached(bench, count):
    bench.start("quiet", image="hello.elf", pause=True)
    before = bench.daemon.rss_kib()
    idle = Idle(bench, count)
    wait_for(lambda: bench.get("quiet").channels[0].readers >= count, "everybody to be attached", PATIENCE_S)
    used_s, seconds = cpu_s(bench.daemon.pid), 5
    time.sleep(seconds)
    used_s = cpu_s(bench.daemon.pid) - used_s
    grown = bench.daemon.rss_kib() - before
    row(f"daemon with {count} idle attached clients [KiB]", f"{bench.daemon.rss_kib():9d}", f"{grown / count:.1f} a client  (goal 24)")
    row("CPU of the daemon meanwhile [% of a core]", f"{used_s / seconds * 100:9.2f}", "(goal 0)")
    for call in idle.calls:
        call.cancel()


def timed(command, environment):
    """Seconds of a shell command that runs many things."""
    begin = time.perf_counter()
    subprocess.run(["/bin/sh", "-c", command], env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    return time.perf_counter() - begin


# What runs: a suite of tests, and the least that there is, whose cost is that of a start and an end.
GUESTS = (("a test suite of 0.1 s", "suite.elf", "", "--semihosting"), ("a guest that ends at once", "exit.elf", ",arg=exit,arg=0", "-- 0"))


def bench_runs(count, limit, guest, image, arguments, words):
    """All at once, the queue lets `limit` run; beside the bare emulator, two at a time. By turns, since the machine may be shared."""
    directory = tempfile.mkdtemp(prefix="pwemu-runs-")
    environment = {"PATH": PATH, "HOME": directory}
    for name in ("RUNTIME_DIR", "STATE_HOME", "CONFIG_HOME"):
        environment["XDG_" + name] = os.path.join(directory, name)
        os.mkdir(environment["XDG_" + name], 0o700)
    os.mkdir(os.path.join(environment["XDG_CONFIG_HOME"], "pwemu"))
    with open(os.path.join(environment["XDG_CONFIG_HOME"], "pwemu", "pwemud.json"), "w", encoding="ascii") as file:
        json.dump({"max-running": limit}, file)
    image = firmware(image)
    ours = f"for i in $(seq {count}); do '{PWEMU}' run {BOARD} '{image}' {words} & done; wait"
    bare = (f"seq {count} | xargs -P2 -I_ qemu-system-arm -M lm3s6965evb -nodefaults -display none -serial stdio -monitor none "
            f"-semihosting-config enable=on{arguments} -kernel '{image}'")  # fmt: skip
    subprocess.run(["/bin/sh", "-c", f"exec '{PWEMU}' run {BOARD} '{image}' {words}"], env=environment, stdout=subprocess.DEVNULL, check=True)  # it passes
    took = {"bare": [], "ours": []}
    for _ in range(3):
        took["bare"].append(count / timed(bare, environment) * 60)
        took["ours"].append(count / timed(ours, environment) * 60)
    subprocess.run([PWEMU, "-q", "daemon", "stop", "--with-instances"], env=environment, check=False)
    shutil.rmtree(directory)
    a_bare, an_ours = sorted(took["bare"])[1], sorted(took["ours"])[1]
    print(f"{guest}:")
    row(f"{count} bare emulators, xargs -P2 [runs/min]", f"{a_bare:9.0f}  ({min(took['bare']):.0f} .. {max(took['bare']):.0f})")
    row(f"{count} parallel pwemu run, max-running {limit} [runs/min]", f"{an_ours:9.0f}  ({min(took['ours']):.0f} .. {max(took['ours']):.0f})",
        f"x {an_ours / a_bare:.2f}  (goal 0.9)")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--adopted", type=int, default=100)
    parser.add_argument("--fakes", type=int, default=1000)
    parser.add_argument("--emulators", type=int, default=100)
    parser.add_argument("--attached", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--max-running", type=int, default=3)
    options = parser.parse_args()
    with Bench() as bench:
        bench_adoption(bench, options.adopted)
    with Bench() as bench:
        bench_memory(bench, options.fakes, "fake emulators", fake="")
    with Bench() as bench:
        bench_memory(bench, options.emulators, "paused QEMUs", image="hello.elf", pause=True)
    with Bench() as bench:
        bench_attached(bench, options.attached)
    for guest in GUESTS:
        bench_runs(options.runs, options.max_running, *guest)


if __name__ == "__main__":
    main()
