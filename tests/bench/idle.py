#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What connections cost that do nothing: resident size of the daemon with 0, 1000 and 5000 of them (of which it keeps 4096), and how long
another client then waits for an answer. `make bench` prints it."""
import os
import resource
import shutil
import socket
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../python"))

from pwemu_fixture import Daemon, instances_pb2, instances_pb2_grpc, wait_for  # noqa: E402

COUNTS = (1000, 5000)
HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0\0\0\0\4\1\0\0\0\0"  # preface, SETTINGS, the acknowledgement of the server's
CALLS = 200


def fds(daemon):
    return len(os.listdir(f"/proc/{daemon.pid}/fd"))


def connect(daemon):
    one = socket.socket(socket.AF_UNIX)
    one.connect(daemon.socket)
    one.sendall(HELLO)
    return one


def is_settled(one):
    """The daemon has answered: its SETTINGS, its window, the acknowledgement."""
    try:
        return len(one.recv(256, socket.MSG_PEEK | socket.MSG_DONTWAIT)) >= 9
    except (BlockingIOError, ConnectionResetError):
        return False


def call_us(stub):
    """Median of some calls."""
    took = []
    for _ in range(CALLS):
        begin = time.perf_counter()
        stub.List(instances_pb2.ListRequest(), timeout=60)
        took.append((time.perf_counter() - begin) * 1e6)
    return sorted(took)[CALLS // 2]


def measure(daemon, count, empty_kib, made):
    while len(made) < count:
        made.append(connect(daemon))
    wait_for(lambda: is_settled(made[-1]), "the last one to be in")
    kept = fds(daemon) - empty_kib[1]
    stub = instances_pb2_grpc.InstancesStub(daemon.channel())
    rss, each = daemon.rss_kib(), (daemon.rss_kib() - empty_kib[0]) / max(1, kept)
    print(f"{f'idle connections: {count}, resident [KiB]':44} {rss:9}{'':25} {each:.1f} KiB each, {kept} kept; another's call: {call_us(stub):.0f} us")


def main():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192) if hard != resource.RLIM_INFINITY else 8192, hard))
    directory = tempfile.mkdtemp(prefix="pwemu-idle-")
    daemon = Daemon(directory)
    call_us(instances_pb2_grpc.InstancesStub(daemon.channel()))
    empty_kib, made = (daemon.rss_kib(), fds(daemon)), []
    print(f"{'idle connections: 0, resident [KiB]':44} {empty_kib[0]:9}")
    for count in COUNTS:
        measure(daemon, count, empty_kib, made)
    for one in made:
        one.close()
    wait_for(lambda: fds(daemon) < 50, "the daemon to let them go")
    print(f"{'… all gone, resident [KiB]':44} {daemon.rss_kib():9}")
    daemon.close_channels()
    daemon.terminate()
    daemon.wait()
    shutil.rmtree(directory)


if __name__ == "__main__":
    main()
