# SPDX-License-Identifier: Apache-2.0
"""Every preset for Renode: its shape and what pwemu shows of it; with PWEMU_TEST_RENODE=/path/to/renode also that this Renode has the
board, without a network, and on it the memory, the UARTs and the core."""

import json
import os
import pathlib
import re
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from pwemu_cli import CliCase  # noqa: E402
from test_presets import TARGETS, number  # noqa: E402

RENODE = os.environ.get("PWEMU_TEST_RENODE", "")
ANSWER_S = 120
PROMPT = re.compile(rb"(?:^|[\r\n])\((?:monitor|board)\) $")
WRONG = ("There was an error", "No such command", "did not match the signature", "Could not", "Failed to download", "Error E")
CORES = {"arm": ("CortexM", "Arm", "ARMv7A"), "riscv32": ("RiscV32", "VexRiscv"), "riscv64": ("RiscV64",)}

PRESETS = {name: (path, target) for path in sorted(TARGETS.glob("renode-*.json"))
           for name, target in json.loads(path.read_text())["targets"].items()}


class ShapeTest(unittest.TestCase):
    def each(self, check):
        for name, (_, target) in PRESETS.items():
            with self.subTest(name):
                check(target)

    def test_all(self):
        """Each belongs to one of two emulators, and there are enough."""
        self.assertGreaterEqual(len(PRESETS), 12)
        others = [path.name for path in TARGETS.glob("*.json") if not path.name.startswith(("qemu-", "renode-"))]
        self.assertEqual(others, [])

    def test_name(self):
        """Of the file, of the target and of Renode's description."""
        for name, (path, target) in PRESETS.items():
            with self.subTest(name):
                self.assertEqual(path.stem, name)
                self.assertRegex(target["renode"]["machine"], r"^platforms/(boards|cpus)/[\w-]+\.repl$")
                self.assertEqual("renode-" + pathlib.PurePath(target["renode"]["machine"]).stem, name)
                self.assertEqual(target["renode"]["executable"], "renode")

    def test_terminals(self):
        def check(target):
            terminals = target["renode"]["channels"]["terminals"]
            self.assertEqual(list(terminals), [f"serial{i}" for i in range(len(terminals))])
            paths = [terminal["device-path"] for terminal in terminals.values()]
            self.assertEqual(len(set(paths)), len(paths))
            self.assertTrue(paths)
            for path in paths:
                self.assertRegex(path, r"^sysbus\.\w+$")

        self.each(check)

    def test_memory(self):
        def check(target):
            rows = sorted((number(row["base"]), number(row["size"]), row["name"]) for row in target["memory"])
            self.assertEqual([row.get("boot", False) for row in target["memory"]].count(True), 1)
            self.assertTrue(target["memory"][0].get("boot"), "the range it boots from is the first")
            for (base, size, name), (after, _, what) in zip(rows, rows[1:]):
                self.assertLessEqual(base + size, after, f"{name} reaches into {what}")
            self.assertEqual(len({row["name"] for row in target["memory"]}), len(rows))

        self.each(check)

    def test_words(self):
        """All of the files say all of it, in one order."""
        keys = ["description", "architecture", "cpu", "uart", "gdb", "memory", "renode"]

        def check(target):
            self.assertEqual([key for key in target if key != "isolate"], keys)
            self.assertIn(target.get("isolate"), (None, "off"))  # off: its description downloads a file
            self.assertIn(target["architecture"], CORES)
            self.assertNotEqual("", target["description"])

        self.each(check)


class ClientTest(CliCase):
    def test_list(self):
        rows = {row["name"]: row for row in json.loads(self.pwemu("targets", "-o", "json"))}
        self.assertEqual(self.last_err, "")
        self.assertLessEqual(set(PRESETS), set(rows))
        for name, (_, target) in PRESETS.items():
            self.assertEqual(rows[name]["emulator"], "renode", name)
            self.assertEqual(rows[name]["renode"]["machine"], target["renode"]["machine"])
            terminals = target["renode"]["channels"]["terminals"]
            self.assertEqual({channel["name"]: channel["id"] for channel in rows[name]["channels"]},
                             {channel: terminal["device-path"] for channel, terminal in terminals.items()})
            self.assertEqual([int(row["size"]) for row in rows[name]["memory"]], [number(row["size"]) for row in target["memory"]])

    def test_show(self):
        for name, (path, target) in PRESETS.items():
            machine = target["renode"]["machine"]
            shown = self.pwemu("targets", name)
            for text in (name, machine, target["description"], "serial0", path.name):
                self.assertIn(text, shown)
            rows = {row["name"]: row["value"] for row in json.loads(self.pwemu("config", "explain", name, "-o", "json"))["values"]}
            self.assertEqual(rows["renode.machine"], machine)


class Renode:
    """The real one and its monitor, in a home of its own and, where that is allowed, without a network."""

    def __init__(self, home):
        alone = ["unshare", "--user", "--net", "--map-root-user"]
        if subprocess.run([*alone, "true"], stderr=subprocess.DEVNULL, check=False).returncode != 0:
            alone = []
        self.ours, theirs = socket.socketpair()
        environment = dict(os.environ, HOME=home, TMPDIR=home, XDG_CONFIG_HOME=home, RENODE_CI_MODE="YES")
        with theirs:
            self.process = subprocess.Popen([*alone, RENODE, "--disable-xwt", "--console", "--plain", "--hide-log"], stdin=theirs,
                                            stdout=theirs, stderr=subprocess.STDOUT, env=environment, cwd=home, start_new_session=True)
        self.answer()

    def answer(self):
        """What it says up to the next prompt."""
        said = b""
        deadline = time.monotonic() + ANSWER_S
        while not PROMPT.search(said):
            ready, _, _ = select.select([self.ours], [], [], max(0, deadline - time.monotonic()))
            more = self.ours.recv(65536) if ready else b""
            if not more:
                raise AssertionError(f"no prompt, but: {said.decode(errors='replace')}")
            said += more
        return said.decode(errors="replace")

    def ask(self, command):
        self.ours.sendall(command.encode() + b"\n")
        said = self.answer()
        if any(text in said for text in WRONG):
            raise AssertionError(said)
        return said

    def close(self):
        """An end of the input ends it."""
        self.ours.shutdown(socket.SHUT_WR)
        try:
            self.process.wait(ANSWER_S)
        finally:
            self.process.kill()
            self.process.wait()
            self.ours.close()


def parts(tree):
    """Of the answer to `peripherals`: kinds, and the ranges that are memory, touching ones joined."""
    kinds, found, kind = set(), [], ""
    for line in tree.splitlines():
        name = re.search(r"─ \S+ \((\w+)\)", line)
        kind = name[1] if name else kind
        kinds.add(kind)
        for first, last in re.findall(r"<(0x[0-9A-Fa-f]+), (0x[0-9A-Fa-f]+)>", line if kind.endswith("Memory") else ""):
            found.append([int(first, 16), int(last, 16)])
    joined = []
    for first, last in sorted(found):
        if joined and first <= joined[-1][1] + 1:
            joined[-1][1] = max(joined[-1][1], last)
        else:
            joined.append([first, last])
    return kinds, joined


class RealTest(unittest.TestCase):
    def check(self, name):
        if not RENODE:
            self.skipTest(f"optional: {name}: PWEMU_TEST_RENODE names no Renode")
        target = PRESETS[name][1]
        if target.get("isolate") == "off":
            self.skipTest(f"optional: {name}: its description downloads a file")
        home = tempfile.mkdtemp(prefix="pwemu-presets-")
        self.addCleanup(shutil.rmtree, home, ignore_errors=True)
        renode = Renode(home)
        self.addCleanup(renode.close)
        renode.ask('mach create "board"')
        renode.ask(f'machine LoadPlatformDescription @{target["renode"]["machine"]}')
        for channel, terminal in target["renode"]["channels"]["terminals"].items():
            renode.ask(f'emulation CreateUartPtyTerminal "{channel}" "{home}/{channel}" true')
            renode.ask(f'connector Connect {terminal["device-path"]} {channel}')
        kinds, memory = parts(renode.ask("peripherals"))
        self.assertTrue(kinds & set(CORES[target["architecture"]]), kinds)
        self.assertEqual("CortexM" in kinds, target["cpu"].startswith("cortex-m"))
        for row in target["memory"]:
            first, size = number(row["base"]), number(row["size"])
            self.assertTrue(any(a <= first and first + size - 1 <= b for a, b in memory), f"{row} is not in {memory}")


for preset in PRESETS:
    setattr(RealTest, "test_" + re.sub(r"\W", "_", preset), lambda self, name=preset: self.check(name))

if __name__ == "__main__":
    unittest.main()
