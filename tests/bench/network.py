#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""TLS on the loopback beside the UNIX socket of the same daemon: throughput of a stream, latency of a warm unary call, a fresh client."""

import argparse
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "python"))

from pwemu_fixture import (  # noqa: E402
    BOARD, BUILD, FAKE_EMULATOR, PATH, PWEMU, Daemon, common_pb2, daemon_pb2, daemon_pb2_grpc, instances_pb2, instances_pb2_grpc, targets_pb2,
    targets_pb2_grpc, wait_for,
)  # fmt: skip

MIB = 1 << 20
NAME = "stream"


def spread(values):
    ordered = sorted(values)
    pick = lambda share: ordered[min(len(ordered) - 1, int(len(ordered) * share))]
    return f"{statistics.median(values):9.2f}  ({pick(0.1):.2f} .. {pick(0.9):.2f})"


def row(name, value, note=""):
    print(f"{name:44} {value:34} {note}", flush=True)


class Bench:
    def __init__(self, directory, size):
        self.directory = directory
        self.daemon = Daemon(directory, arguments=["--listen", "tcp://127.0.0.1:0"])
        channel = self.daemon.channel()
        self.control = daemon_pb2_grpc.DaemonStub(channel)
        self.urls = {
            "UNIX socket": "unix:" + self.daemon.socket,
            "TLS": self.control.AddToken(daemon_pb2.AddTokenRequest(), timeout=10).url,
        }
        self.instances = instances_pb2_grpc.InstancesStub(channel)
        target = targets_pb2_grpc.TargetsStub(channel).Get(targets_pb2.GetTargetRequest(name=BOARD), timeout=10)
        target.qemu.executable = FAKE_EMULATOR
        environment = instances_pb2.Environment(umask=0o22, variables=[f"PATH={PATH}", f"FAKE_EMULATOR=output=burst:{size}"])
        self.instances.Start(instances_pb2.StartRequest(name=NAME, target_config=target, environment=environment), timeout=60)
        wait_for(lambda: self.log_bytes() >= size, "the fake emulator's output", 300)

    def log_bytes(self):
        request = instances_pb2.GetRequest(instance=common_pb2.InstanceRef(name=NAME))
        return next(c.offset for c in self.instances.Get(request, timeout=10).channels if c.name == "serial0")

    def run(self, url, *words):
        environment = {"PATH": PATH, "HOME": self.directory, "PWEMU_HOST": url}
        start = time.perf_counter()
        subprocess.run([PWEMU, *words], env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
        return time.perf_counter() - start

    def unary(self, url, count):
        address = url.removeprefix("unix:")
        out = subprocess.run([os.path.join(BUILD, "tests/bench/unary"), address, str(count)], check=True, stdout=subprocess.PIPE, text=True).stdout
        return [float(line) for line in out.split()]

    def close(self):
        self.control.Shutdown(daemon_pb2.ShutdownRequest(with_instances=True), timeout=30)
        self.daemon.wait()
        self.daemon.close_channels()


def compare(name, measured, unit):
    plain, tls = measured["UNIX socket"], measured["TLS"]
    for kind, values in measured.items():
        note = f"x {statistics.median(tls) / statistics.median(plain):.2f}" if kind == "TLS" else ""
        row(f"{name}, {kind} [{unit}]", spread(values), note)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--mib", type=int, default=128, help="size of the stream")
    parser.add_argument("--calls", type=int, default=2000, help="unary calls in a round")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pwemu-bench-") as directory:
        bench = Bench(directory, options.mib * MIB)
        stream, unary, fresh = ({kind: [] for kind in bench.urls} for _ in range(3))
        try:
            for _ in range(options.rounds):
                for kind, url in bench.urls.items():
                    stream[kind].append(options.mib * MIB / bench.run(url, "-i", NAME, "logs") / 1e6)
                    unary[kind] += bench.unary(url, options.calls)
                    fresh[kind] += [bench.run(url, "ls") * 1e3 for _ in range(5)]
        finally:
            bench.close()
    compare("stream to a client", stream, "MB/s")
    compare("warm unary call", unary, "us")
    compare("process pwemu ls", fresh, "ms")


if __name__ == "__main__":
    main()
