#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Speed and size of pwemu beside the raw emulator, in one run. `make bench` prints a table; it judges nothing.

Each pair is measured alternately, so that a busy machine hits both. Times are medians with the 10th and 90th percentile.
"""
import argparse
import contextlib
import json
import os
import pathlib
import select
import signal
import statistics
import subprocess
import tempfile
import time

BUILD = pathlib.Path(os.environ["PWEMU_BUILD"])
FIRMWARE = pathlib.Path(os.environ["PWEMU_FIRMWARE"]) / "lm3s6965evb"
PWEMU = str(BUILD / "bin/pwemu")
QEMU = ["qemu-system-arm", "-nographic", "-nodefaults", "-display", "none", "-machine", "lm3s6965evb"]


def spread(values):
    ordered = sorted(values)
    pick = lambda share: ordered[min(len(ordered) - 1, int(len(ordered) * share))]
    return f"{statistics.median(values):9.2f}  ({pick(0.1):.2f} .. {pick(0.9):.2f})"


def row(name, value, note=""):
    print(f"{name:44} {value:34} {note}", flush=True)


def first_byte(fd, start, deadline_s=20):
    if not select.select([fd], [], [], deadline_s)[0] or not os.read(fd, 4096):
        raise SystemExit("bench: no output within the deadline")
    return (time.perf_counter() - start) * 1e3


@contextlib.contextmanager
def raw_qemu(directory, image):
    """The same emulator started by hand on a FIFO pair; yields (process, fd of its output)."""
    path = os.path.join(directory, "raw")
    for end in ("in", "out"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{path}.{end}")
        os.mkfifo(f"{path}.{end}")
    fd = os.open(path + ".out", os.O_RDWR | os.O_NONBLOCK)
    command = QEMU + ["-chardev", f"pipe,id=s0,path={path}", "-serial", "chardev:s0", "-kernel", str(FIRMWARE / image)]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process, fd
    finally:
        process.kill()
        process.wait()
        os.close(fd)


def run_raw(directory):
    start = time.perf_counter()
    with raw_qemu(directory, "hello.elf") as (_, fd):
        return first_byte(fd, start)


def run_pwemu():
    start = time.perf_counter()
    process = subprocess.Popen([PWEMU, "-q", "run", "--rm", "qemu-lm3s6965evb", str(FIRMWARE / "hello.elf")], stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    took = first_byte(process.stdout.fileno(), start)
    process.send_signal(signal.SIGINT)
    process.wait(20)
    return took


def spawn_ms(command):
    start = time.perf_counter()
    pid = os.posix_spawnp(command[0], command, os.environ, file_actions=[(os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0)])
    os.waitpid(pid, 0)
    return (time.perf_counter() - start) * 1e3


def pwemu_json(*words):
    return json.loads(subprocess.run([PWEMU, *words, "-o", "json"], check=True, stdout=subprocess.PIPE).stdout)


def cpu_s(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_kib(pid, key="VmRSS"):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1])
    return 0


def private_kib(pid):
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in text if line.startswith("Private_"))


def rate(fd, seconds):
    """MB/s that can be read from fd."""
    os.set_blocking(fd, True)
    os.read(fd, 1 << 16)
    total, start = 0, time.perf_counter()
    while (now := time.perf_counter()) - start < seconds:
        total += len(os.read(fd, 1 << 16))
    return total / (now - start) / 1e6


def throughput_raw(directory, seconds):
    with raw_qemu(directory, "seq.elf"):
        with subprocess.Popen(["cat", os.path.join(directory, "raw.out")], stdout=subprocess.PIPE) as cat:
            speed = rate(cat.stdout.fileno(), seconds)
            cat.kill()
    return speed


def throughput_pwemu(seconds, daemon):
    subprocess.run([PWEMU, "-q", "-i", "bench", "start", "qemu-lm3s6965evb", "-f", str(FIRMWARE / "seq.elf")], check=True)
    before, start = cpu_s(daemon), time.perf_counter()
    with subprocess.Popen([PWEMU, "-i", "bench", "logs", "-f", "--from", "now"], stdout=subprocess.PIPE) as logs:
        speed = rate(logs.stdout.fileno(), seconds)
        share = (cpu_s(daemon) - before) / (time.perf_counter() - start) * 100
        logs.kill()
    subprocess.run([PWEMU, "-q", "-i", "bench", "stop"], check=True)
    subprocess.run([PWEMU, "-q", "-i", "bench", "rm"], check=True)
    return speed, share


def bench_time(options, directory):
    pairs = [(run_raw(directory), run_pwemu()) for _ in range(options.count)]
    raw, ours = zip(*pairs)
    row("to the first byte, raw QEMU on FIFOs [ms]", spread(raw))
    row("to the first byte, pwemu run [ms]", spread(ours), f"x {statistics.median(ours) / statistics.median(raw):.2f}  (goal 1.15)")
    true, ls = zip(*[(spawn_ms(["/bin/true"]), spawn_ms([PWEMU, "ls"])) for _ in range(5 * options.count)])
    row("process /bin/true [ms]", spread(true))
    row("process pwemu ls [ms]", spread(ls), f"+ {statistics.median(ls) - statistics.median(true):.2f} ms  (goal 2)")
    socket_path = pwemu_json("daemon", "info")["socket"]
    calls = subprocess.run([str(BUILD / "tests/bench/unary"), socket_path, "5000"], check=True, stdout=subprocess.PIPE, text=True)
    row("warm unary call [us]", spread([float(line) for line in calls.stdout.split()]), "(goal 40)")


class Restarted:
    """An instance that is killed again and again, and a reader of its console."""

    def __init__(self):
        policy = "always,delay=0ms,jitter=0%,stable=1ms,deaths=100"
        command = [PWEMU, "-q", "-i", "again", "start", "qemu-lm3s6965evb", "-f", str(FIRMWARE / "hello.elf"), "--restart", policy]
        subprocess.run(command, check=True)
        self.reader = subprocess.Popen([PWEMU, "-q", "-i", "again", "logs", "-f", "--from", "0"], stdout=subprocess.PIPE)
        first_byte(self.reader.stdout.fileno(), 0)

    def pid(self):
        deadline = time.monotonic() + 20
        while True:
            status = pwemu_json("-i", "again", "status")
            if status["state"] == "running":
                return status["pid"]
            if time.monotonic() > deadline:
                raise SystemExit("bench: the emulator did not come back")

    def kill(self):
        """From the emulator's SIGKILL to the first byte of the next boot."""
        pid = self.pid()
        while select.select([self.reader.stdout], [], [], 0.3)[0]:  # the rest of what this boot says
            os.read(self.reader.stdout.fileno(), 4096)
        start = time.perf_counter()
        os.kill(pid, signal.SIGKILL)
        return first_byte(self.reader.stdout.fileno(), start)

    def close(self):
        self.reader.kill()
        self.reader.wait()
        self.reader.stdout.close()
        for words in (["stop"], ["rm"]):
            subprocess.run([PWEMU, "-q", "-i", "again", *words], check=True)


def bench_restart(options, directory):
    with contextlib.closing(Restarted()) as restarted:
        raw, ours = zip(*[(run_raw(directory), restarted.kill()) for _ in range(options.count)])
    row("raw QEMU, start to the first byte [ms]", spread(raw))
    row("SIGKILL to the next boot's first byte [ms]", spread(ours), f"x {statistics.median(ours) / statistics.median(raw):.2f}  (goal 1.2)")


def bench_throughput(options, directory, daemon):
    raw, ours, shares = [], [], []
    for _ in range(options.rounds):
        raw.append(throughput_raw(directory, options.seconds))
        speed, share = throughput_pwemu(options.seconds, daemon)
        ours.append(speed)
        shares.append(share)
    row("guest to reader, raw QEMU and cat [MB/s]", spread(raw))
    row("guest to reader, pwemu logs -f [MB/s]", spread(ours), f"x {statistics.median(ours) / statistics.median(raw):.2f}  (goal 1)")
    row("CPU of the daemon meanwhile [% of a core]", spread(shares), "(goal 10)")


def bench_memory(options, daemon):
    row("daemon, resident, nothing attached [KiB]", f"{memory_kib(daemon):9d}", "(goal 6144)")
    before, names = memory_kib(daemon), [f"idle{n}" for n in range(options.instances)]
    for name in names:
        subprocess.run([PWEMU, "-q", "-i", name, "start", "qemu-lm3s6965evb", "-f", str(FIRMWARE / "silent.elf")], check=True)
    rows = subprocess.run(["ps", "-o", "pid=,comm=", "--ppid", str(daemon)], stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()
    shims = [int(row.split()[0]) for row in rows if row.split()[1] == "pwemu-shim"]
    shim = sum(private_kib(pid) for pid in shims) / max(1, len(shims))
    grown = (memory_kib(daemon) - before) / len(names)
    row("one more idle instance, daemon + shim [KiB]", f"{grown + shim:9.1f}", f"{grown:.1f} + {shim:.1f}  (goal 64)")
    bench_clients(options, daemon, names[0])
    bench_wakeups(daemon)
    for name in names:
        subprocess.run([PWEMU, "-q", "-i", name, "stop"], check=True)
        subprocess.run([PWEMU, "-q", "-i", name, "rm"], check=True)


def bench_clients(options, daemon, name):
    before, clients = memory_kib(daemon), []
    for _ in range(options.clients):
        clients.append(subprocess.Popen([PWEMU, "-q", "-i", name, "term", "--read-only"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL))
    deadline = time.monotonic() + 20
    while next(c for c in pwemu_json("-i", name, "status")["channels"] if c["name"] == "serial0")["readers"] < options.clients:
        if time.monotonic() > deadline:
            raise SystemExit("bench: the clients did not attach")
    row("one more idle attached client [KiB]", f"{(memory_kib(daemon) - before) / options.clients:9.1f}", "(goal 24)")
    for client in clients:
        client.kill()
        client.wait()


def bench_wakeups(daemon):
    switches = lambda: memory_kib(daemon, "voluntary_ctxt_switches")
    time.sleep(1)  # let the farewells pass
    before = switches()
    time.sleep(3)
    row("wake-ups of the idle daemon in 3 s", f"{switches() - before:9d}", "(goal 0)")


def bench_libraries(daemon):
    maps = pathlib.Path(f"/proc/{daemon}/maps").read_text()
    loaded = [name for name in ("libssl", "libcrypto", "libpcre2", "libsystemd") if name in maps]
    row("OpenSSL, PCRE2, libsystemd loaded", f"{', '.join(loaded) or 'none':>9}", "(goal none)")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=25, help="starts to measure")
    parser.add_argument("--rounds", type=int, default=5, help="throughput rounds")
    parser.add_argument("--seconds", type=float, default=2.0, help="length of a throughput round")
    parser.add_argument("--instances", type=int, default=20)
    parser.add_argument("--clients", type=int, default=50)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pwemu-bench-") as directory:
        os.environ.update(XDG_RUNTIME_DIR=directory, XDG_STATE_HOME=directory, PWEMU_HOST="")
        subprocess.run([PWEMU, "ls"], check=True, stdout=subprocess.DEVNULL)
        daemon = pwemu_json("daemon", "info")["pid"]
        try:
            bench_memory(options, daemon)
            bench_libraries(daemon)
            bench_time(options, directory)
            bench_restart(options, directory)
            bench_throughput(options, directory, daemon)
        finally:
            subprocess.run([PWEMU, "-q", "daemon", "stop", "--with-instances"], check=False)


if __name__ == "__main__":
    main()
