#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""sequence.py [SECONDS]: firmware that prints numbered lines without pause, three attached terminals, a fourth that never reads.

Every line must be in the log and at each of the three, complete and in order; memory of the daemon must stay where it was.
"""
import contextlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

BUILD = pathlib.Path(os.environ["PWEMU_BUILD"])
IMAGE = pathlib.Path(os.environ["PWEMU_FIRMWARE"]) / "lm3s6965evb/seq.elf"
PWEMU = str(BUILD / "bin/pwemu")
LINE = 9  # "%08x\n"


def pwemu(*words):
    return subprocess.run([PWEMU, *words], check=True, stdout=subprocess.PIPE, timeout=120).stdout


def check_sequence(name, path):
    """The whole file is 00000000, 00000001, …; its last line may be cut. Returns the number of lines."""
    size, lines = path.stat().st_size, 0
    with path.open("rb") as stream:
        while block := stream.read(LINE * 65536):
            expected = b"".join(b"%08x\n" % n for n in range(lines, lines + len(block) // LINE + 1))
            if block != expected[: len(block)]:
                raise SystemExit(f"{name}: wrong after line {lines}")
            lines += len(block) // LINE
    print(f"{name:10} {size:12d} bytes, {lines} lines, complete and in order")
    return size


def resident_kib(pid):
    return int(next(l for l in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines() if l.startswith("VmRSS")).split()[1])


def run(directory, seconds):
    daemon = json.loads(pwemu("daemon", "info", "-o", "json"))["pid"]
    pwemu("-q", "-i", "seq", "start", "qemu-lm3s6965evb", "-f", str(IMAGE))
    with contextlib.ExitStack() as stack:
        clients = []
        for n in range(4):
            target = stack.enter_context(open(directory / f"client{n}", "wb")) if n < 3 else subprocess.PIPE
            clients.append(subprocess.Popen([PWEMU, "-q", "-i", "seq", "term", "--from", "0", "--read-only"], stdin=subprocess.PIPE, stdout=target))
        time.sleep(seconds / 2)
        half = resident_kib(daemon)
        time.sleep(seconds / 2)
        grown = resident_kib(daemon) - half
        pwemu("-q", "-i", "seq", "stop")
        for client in clients[:3]:
            client.wait(60)
        clients[3].kill()
        clients[3].wait()
    log = pathlib.Path(next(c["log"] for c in json.loads(subprocess.run([PWEMU, "-i", "seq", "status", "-o", "json"], stdout=subprocess.PIPE, check=False).stdout)["channels"] if c["name"] == "serial0"))
    size = check_sequence("log", log)
    for n in range(3):
        if check_sequence(f"client {n}", directory / f"client{n}") != size:
            raise SystemExit(f"client {n} has not the whole log")
    print(f"memory of the daemon grew by {grown} KiB in the second half")
    if grown > 2048:
        raise SystemExit("that is too much")


def main():
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 60
    with tempfile.TemporaryDirectory(prefix="pwemu-soak-") as directory:
        os.environ.update(XDG_RUNTIME_DIR=directory, XDG_STATE_HOME=directory)
        pwemu("ls")
        try:
            run(pathlib.Path(directory), seconds)
        finally:
            subprocess.run([PWEMU, "-q", "daemon", "stop", "--with-instances"], check=False, timeout=60)


main()
