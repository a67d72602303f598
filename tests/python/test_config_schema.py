# SPDX-License-Identifier: Apache-2.0
"""The JSON Schemas and the parser judge the same documents alike, and the schemas are those that generate.py writes."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

import jsonschema

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("PWEMU_BUILD", ROOT / "build/release"))
SCHEMA = ROOT / "config/schema"
PWEMU, PIGWEED = "pwemu", "pigweed"

QEMU = {"executable": "e", "machine": "m"}
CHARDEVS = {"chardevs": {"a": {"id": "serial0"}}}


def one(**keys):
    """A configuration of one target; _ stands for - in names."""
    target = {"qemu": QEMU, **{key.replace("_", "-"): value for key, value in keys.items()}}
    return {"targets": {"t": target}}


def channels(value):
    return one(qemu={**QEMU, "channels": value})


GOOD = [
    {},
    {"$schema": "x"},
    {"gdb": "gdb", "targets": {}},
    {"gdb": ["gdb", "-q"], "target_files": [], "emulators": {"qemu": {}}},
    {"emulators": [], "targets": {"t": None}},
    {"qemu": {"executable": "e", "args": ["-a"], "channels": {"type": "pty", "gdb": {"type": "tcp", "port": 1}, "any": {"type": "none"}}}},
    {"renode": {"executable": "r", "args": [], "channels": {"terminals": {"type": "pty"}, "type": "tcp"}}},
    one(),
    one(description="d", architecture="arm", cpu="c", uart="u", eol="crlf", gdb="g"),
    one(memory=[{"name": "x", "base": "0x0", "size": "64K", "boot": True}, {"base": 0x1000000, "size": 4096}]),
    one(pre_start_cmds={"a": ["x", "$pw_emu_wdir{f}"]}, post_start_cmds={"b": {"argv": ["y"], "required": True}}),
    one(pre_start_cmds={"a": None}),
    one(restart="on-failure,delay=1s,deaths=3"),
    one(restart={"mode": "always", "delay": "1s", "factor": 1.5, "max-delay": "2s", "jitter": "10%", "deaths": 3, "within": "1m", "stable": "5s"}),
    one(hang={"answer": "10s", "silence": "1.5s", "channel": "semihosting", "action": "restart"}),
    one(log={"limit": "64M", "full": "wait"}),
    one(**{"from": "-4K"}),
    one(semihosting=True, timeout="30s", expect="ok", fail=["bad", "worse"], file="a.elf", env={"A": "b"}),
    one(file=["a.elf", "b.bin@0x1000"], expect=[]),
    one(qemu={**QEMU, "args": [], "load": "bios", "channels": None}),
    channels({"chardevs": {"a": {"id": "serial0", "type": "pty"}, "b": {"id": "serial1", "port": 5000}}, "type": "none"}),
    channels({**CHARDEVS, "gdb": {"port": 3333}, "monitor": {"type": "pty"}, "qmp": {}}),
    {"targets": {"t": {"renode": {"executable": "r", "machine": "m", "channels": {"terminals": {"u": {"device-path": "sysbus.u", "type": "pty"}}}}}}},
    {"targets": {"t": {"renode": {"executable": "r", "machine": "m", "args": ["x"], "channels": {"terminals": {"type": "pty"}, "gdb": {}}}}}},
    {"targets": {"a": {"qemu": QEMU}, "b": {"base": "a", "ignore1": None}}},
]
BAD = [
    {"targets": []},
    {"targets": {"t": 5}},
    {"gdb": 5},
    {"target_files": "x"},
    {"emulators": 5},
    one(memory={}),
    one(memory=[{"base": 0}]),
    one(memory=[{"base": 0, "size": "big"}]),
    one(memory=[{"base": 0, "size": 1, "boot": 1}]),
    one(pre_start_cmds=[]),
    one(pre_start_cmds={"a": "x"}),
    one(pre_start_cmds={"a": []}),
    one(post_start_cmds={"a": {"argv": []}}),
    one(post_start_cmds={"a": {"required": True}}),
    one(post_start_cmds={"a": {"argv": ["x"], "required": "yes"}}),
    one(restart="alway"),
    one(restart={"delay": "1s"}),
    one(restart=5),
    one(hang={"answer": "10s", "action": "explode"}),
    one(hang={"answer": 10}),
    one(log={"limit": "much"}),
    one(log={"full": "burn"}),
    one(semihosting="yes"),
    one(timeout=30),
    one(timeout="30"),
    one(expect=5),
    one(file={}),
    one(env=["A=b"]),
    one(env={"A": 1}),
    one(env={"A=": "b"}),
    one(eol="lfcr"),
    one(architecture="x86"),
    one(**{"from": "start"}),
    one(qemu={**QEMU, "args": "-a"}),
    one(qemu={**QEMU, "args": [1]}),
    one(qemu={**QEMU, "load": "kernal"}),
    one(qemu=[]),
    channels({"chardevs": {"a": {}}}),
    channels({"chardevs": {"a": {"id": "serial0", "type": "udp"}}}),
    channels({"chardevs": {"a": {"id": "serial0", "port": 70000}}}),
    channels({"chardevs": {"a": {"id": "serial0", "port": 0}}}),
    channels({"chardevs": []}),
    channels({"gdb": {"type": "unix"}}),
    {"targets": {"t": {"renode": {"executable": "r", "machine": "m", "channels": {"terminals": {"u": {"type": "pty"}}}}}}},
]
# What a pigweed.json of a newer time may have.
UNKNOWN = [
    {"targetz": {}},
    one(timeuot="1s"),
    one(qemu={**QEMU, "executabel": "x"}),
    one(pre_start_cmds={"a": {"argv": ["x"], "requird": True}}),
    channels({"chardevs": {"a": {"id": "serial0", "typ": "pty"}}}),
]


class SchemaTest(unittest.TestCase):
    def setUp(self):
        self.directory = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.schemas = {name: jsonschema.Draft7Validator(json.loads((SCHEMA / f"{name}.schema.json").read_text())) for name in (PWEMU, PIGWEED)}

    def parser_takes(self, kind, document):
        """Whether `pwemu config check` takes it, and what it says."""
        file = self.directory / f"{kind}.json"
        file.write_text(json.dumps(document))
        environment = {"PATH": "/usr/bin:/bin", "XDG_RUNTIME_DIR": str(self.directory), "XDG_STATE_HOME": str(self.directory)}
        done = subprocess.run(
            [BUILD / "bin/pwemu", "config", "check", file], env=environment, cwd=self.directory, capture_output=True, text=True, timeout=60
        )
        self.assertIn(done.returncode, (0, 1), done.stderr)
        return done.returncode == 0, done.stderr

    def judge(self, kind, document, wanted):
        document = document if kind == PWEMU else {"pw": {"pw_emu": document}}
        taken, said = self.parser_takes(kind, document)
        self.assertEqual(taken, wanted, f"parser, {kind}: {json.dumps(document)}\n{said}")
        self.assertEqual(self.schemas[kind].is_valid(document), wanted, f"schema, {kind}: {json.dumps(document)}")

    def test_good(self):
        for document in GOOD:
            for kind in (PWEMU, PIGWEED):
                self.judge(kind, document, True)

    def test_bad(self):
        for document in BAD:
            for kind in (PWEMU, PIGWEED):
                self.judge(kind, document, False)

    def test_unknown_keys(self):
        for document in UNKNOWN:
            self.judge(PWEMU, document, False)
            self.judge(PIGWEED, document, True)

    def test_no_configuration(self):
        for document in {}, {"pw": {}}, {"pw": None}:
            self.assertFalse(self.parser_takes(PIGWEED, document)[0], document)
            self.assertFalse(self.schemas[PIGWEED].is_valid(document), document)

    def test_are_generated(self):
        subprocess.run([sys.executable, SCHEMA / "generate.py", self.directory], check=True, timeout=60)
        for name in PWEMU, PIGWEED:
            written = (self.directory / f"{name}.schema.json").read_text()
            self.assertEqual(written, (SCHEMA / f"{name}.schema.json").read_text(), "run config/schema/generate.py")


if __name__ == "__main__":
    unittest.main()
