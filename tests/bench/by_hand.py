#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Commands and Python calls of pwemu beside the same things done to `qemu-system-arm` by hand, over QMP on a UNIX socket.

Each is measured by turns with its counterpart. Times are medians with the 10th and 90th percentile; it judges nothing.
"""
import argparse
import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

from bench import FIRMWARE, PWEMU, QEMU, first_byte, run_pwemu, run_raw, spawn_ms, spread

TARGET = "qemu-lm3s6965evb"
PROPERTY = ("/machine", "type")


def ms_since(start):
    return (time.perf_counter() - start) * 1e3


def timed(call, *arguments):
    start = time.perf_counter()
    call(*arguments)
    return ms_since(start)


class ByHand:
    """The emulator as an expert's script would drive it."""

    def __init__(self, directory):
        self.path = os.path.join(directory, "qmp")
        self.fifo = os.path.join(directory, "hand")
        for end in ("in", "out"):
            os.mkfifo(f"{self.fifo}.{end}")

    def start(self):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)
        with socket.socket(socket.AF_UNIX) as listener:  # no polling: the emulator connects to us
            listener.bind(self.path)
            listener.listen()
            command = QEMU + ["-chardev", f"pipe,id=s0,path={self.fifo}", "-serial", "chardev:s0", "-kernel", str(FIRMWARE / "slow.elf"),
                              "-qmp", f"unix:{self.path}"]
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            self.connection, _ = listener.accept()
        self.file = self.connection.makefile("rwb")
        self.file.readline()
        self.qmp("qmp_capabilities")
        self.qmp("query-status")

    def qmp(self, command, **arguments):
        self.file.write(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
        self.file.flush()
        while True:
            reply = json.loads(self.file.readline())
            if "return" in reply or "error" in reply:
                return reply

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()
        self.file.close()
        self.connection.close()


def pwemu(*words):
    status = spawn(("pwemu", *words))
    if status != 0:
        raise SystemExit(f"bench: pwemu {' '.join(words)} ended with {status}")


def spawn(words):
    command = [PWEMU, "-q", "-i", "bench", *words[1:]]
    pid = os.posix_spawn(PWEMU, command, os.environ, file_actions=[(os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0)])
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


class Table:
    def __init__(self):
        print(f"{'':28}{'by hand [ms]':>28}{'pwemu [ms]':>28}{'ratio':>9}{'more':>9}  goal")

    def row(self, name, hand, ours, goal):
        if ours is None:
            print(f"{name:28}{spread(hand):>28}{'skipped: no Python package':>28}", flush=True)
            return
        ratio, more = statistics.median(ours) / statistics.median(hand), statistics.median(ours) - statistics.median(hand)
        print(f"{name:28}{spread(hand):>28}{spread(ours):>28}{'x':>3}{ratio:6.2f}{more:+9.2f}  {goal}", flush=True)


def life(hand, start, stop, count):
    """Starts and stops, by turns: (by hand, ours), each a pair of lists."""
    hands, ours = ([], []), ([], [])
    for _ in range(count):
        hands[0].append(timed(hand.start))
        hands[1].append(timed(hand.stop))
        ours[0].append(timed(start))
        ours[1].append(timed(stop))
    return hands, ours


def calls(hand, pairs, count):
    """[(by hand, ours)] for each pair of calls, one of each by turns."""
    results = [([], []) for _ in pairs]
    for _ in range(count):
        for (by_hand, call), (hands, ours) in zip(pairs, results):
            hands.append(timed(by_hand))
            ours.append(timed(call))
    return results


def hand_calls(hand):
    return {
        "reset": lambda: hand.qmp("system_reset"),
        "stop": lambda: hand.qmp("stop"),
        "resume": lambda: hand.qmp("cont"),
        "prop-get": lambda: hand.qmp("qom-get", path=PROPERTY[0], property=PROPERTY[1]),
    }


def bench_commands(table, hand, directory, options):
    start = lambda: pwemu("start", TARGET, "-f", str(FIRMWARE / "slow.elf"))
    (hand_start, hand_stop), (start_ms, stop_ms) = life(hand, start, lambda: pwemu("stop"), options.count)
    table.row("start", hand_start, start_ms, "x 1.15")
    table.row("stop", hand_stop, stop_ms, "")
    raw, ours = zip(*[(run_raw(directory), run_pwemu()) for _ in range(options.count)])
    table.row("run to the first byte", raw, ours, "x 1.15")
    hand.start()
    start()
    by_hand = hand_calls(hand)
    names = {"reset": ("reset",), "pause": ("pause",), "resume": ("resume",), "prop-get": ("prop-get", *PROPERTY)}
    pairs = [(by_hand["stop" if name == "pause" else name], lambda words=words: pwemu(*words)) for name, words in names.items()]
    for name, (hands, ours) in zip(names, calls(hand, pairs, options.calls)):
        table.row(name, hands, ours, "< 3 ms")
    true = [spawn_ms(["/bin/true"]) for _ in range(options.calls)]
    print(f"{'(a process /bin/true)':28}{'':>28}{spread(true):>28}")
    pwemu("stop")
    hand.stop()


# ---------------------------------------------------------------- Python


def import_emulator():
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "client/python"))
    try:
        from pwemu import Emulator
    except ImportError as error:
        print(f"Python: skipped: {error}")
        return None
    return Emulator


def first_byte_python(Emulator, wdir):
    """From the call of start to the first byte at a stream."""
    start = time.perf_counter()
    emulator = Emulator(wdir)
    emulator.start(TARGET, FIRMWARE / "hello.elf")
    stream = emulator.get_channel_stream("serial0", timeout=20)
    if not stream.read(1):
        raise SystemExit("bench: no output within the deadline")
    took = ms_since(start)
    emulator.stop()
    return took


def bench_python(table, hand, directory, options, Emulator):
    wdir = os.path.join(directory, "wdir")
    emulator = Emulator(wdir)
    start = lambda: emulator.start(TARGET, FIRMWARE / "slow.elf")
    (hand_start, _), (start_ms, _) = life(hand, start, emulator.stop, options.count)
    table.row("Python start", hand_start, start_ms, "")
    raw, ours = zip(*[(run_raw(directory), first_byte_python(Emulator, wdir)) for _ in range(options.count)])
    table.row("Python start to first byte", raw, ours, "")
    hand.start()
    start()
    by_hand = hand_calls(hand)
    pairs = [(by_hand["reset"], emulator.reset), (by_hand["resume"], emulator.cont),
             (by_hand["prop-get"], lambda: emulator.get_property(*PROPERTY))]
    for name, (hands, ours) in zip(("reset", "cont", "get_property"), calls(hand, pairs, options.calls)):
        table.row(f"Python {name}", hands, ours, "< 1 ms")
    emulator.stop()
    hand.stop()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=25, help="starts to measure")
    parser.add_argument("--calls", type=int, default=200, help="calls to measure")
    options = parser.parse_args()
    directory = tempfile.mkdtemp(prefix="pwemu-bench-")
    for name in ("PW_EMU_WDIR", "PW_PROJECT_ROOT", "PW_ROOT"):
        os.environ.pop(name, None)
    os.environ.update(XDG_RUNTIME_DIR=directory, XDG_STATE_HOME=directory, XDG_CONFIG_HOME=directory, PWEMU_HOST="")
    os.environ["PATH"] = f"{pathlib.Path(PWEMU).parent}:{os.environ['PATH']}"
    os.chdir(directory)
    try:
        pwemu("ls")
        table, hand = Table(), ByHand(directory)
        bench_commands(table, hand, directory, options)
        Emulator = import_emulator()
        if Emulator is not None:
            bench_python(table, hand, directory, options, Emulator)
    finally:
        subprocess.run([PWEMU, "-q", "daemon", "stop", "--with-instances"], check=False)
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
