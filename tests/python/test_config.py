# SPDX-License-Identifier: Apache-2.0
"""Projects' configurations through the command line: where they are found, what they come to, and what runs of it."""

import json
import os
import shlex
import sys
import unittest

from google.protobuf import json_format

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from pwemu_cli import CliCase  # noqa: E402
from pwemu_fixture import firmware, targets_pb2  # noqa: E402

BOARD = "qemu-lm3s6965evb"
HELLO = firmware("hello.elf")
ECHO = firmware("echo.elf")
QEMU = {"executable": "qemu-system-arm", "machine": "lm3s6965evb", "channels": {"chardevs": {"serial0": {"id": "serial0"}}}}


def pigweed(**keys):
    return {"pw": {"pw_emu": keys}, "other": {"module": "$pw_env{NOBODY_SETS_THIS}"}}


class ConfigCase(CliCase):
    def put(self, name, content):
        path = os.path.join(self.work, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(content if isinstance(content, str) else json.dumps(content, indent=1))
        return path

    def values(self, name, *words, **options):
        """{value: (what it is, who set it)}"""
        answer = json.loads(self.pwemu("config", "explain", name, "-o", "json", *words, **options))
        self.target = json_format.ParseDict(answer["target"], targets_pb2.Target())
        return {row["name"]: (row["value"], row["from"]) for row in answer["values"]}


class WhereTest(ConfigCase):
    def names(self, *words, **options):
        targets = json.loads(self.pwemu("targets", "-o", "json", *words, **options))
        return [target["name"] for target in targets if target["config"]]

    def test_search(self):
        sub = os.path.join(self.work, "a/b")
        os.makedirs(sub)
        self.assertEqual(self.names(cwd=sub), [])
        self.put("pigweed.json", pigweed(targets={"outer": {"qemu": QEMU}}))
        self.assertEqual(self.names(cwd=sub), ["outer"])
        self.put("a/pigweed.json", pigweed(targets={"inner": {"qemu": QEMU}}))
        self.assertEqual(self.names(cwd=sub), ["inner"])
        own = self.put("a/pwemu.json", {"targets": {"own": {"qemu": QEMU}}})
        self.assertEqual(self.names(cwd=sub), ["own"])
        elsewhere = self.put("elsewhere/pigweed.json", pigweed(targets={"root": {"qemu": QEMU}}))
        root = {"PW_PROJECT_ROOT": os.path.dirname(elsewhere)}
        self.assertEqual(self.names(cwd=sub, environment=root), ["root"])
        self.assertEqual(self.names("-c", own, environment=root), ["own"])
        table = self.pwemu("targets", cwd=os.path.join(self.work, "a"))
        self.assertRegex(table, r"(?m)^own .* pwemu.json$")
        self.assertRegex(table, rf"(?m)^{BOARD} .* preset$")

    def test_other_modules_use_a_pigweed_json_too(self):
        path = self.put("pigweed.json", {"pw": {"pw_presubmit": {"format": {}}}})
        self.assertEqual(self.names(), [])
        self.assertIn("hello", self.pwemu("run", BOARD, HELLO, "--expect", "hello"))
        self.refused("-c", path, "start", BOARD, says=f"{path}: missing `pw_emu` configuration")
        self.refused("config", "check", path, says="missing `pw_emu` configuration")
        self.refused("config", "check", says="missing `pw_emu` configuration")

    def test_without_any(self):
        self.refused("config", "check", says="there is no pwemu.json or pigweed.json here")

    def test_instances_belong_to_it(self):
        self.put("p/pwemu.json", {"targets": {"t": {"base": BOARD}}})
        os.makedirs(os.path.join(self.work, "p/deep"))
        self.pwemu("start", "t", "-f", HELLO, cwd=os.path.join(self.work, "p/deep"))
        inst = self.status(cwd=os.path.join(self.work, "p"))
        inst = inst[0] if isinstance(inst, list) else inst
        self.assertEqual(inst["project"], os.path.join(os.path.realpath(self.work), "p"))

    def test_unusual_files(self):
        os.mkdir(os.path.join(self.work, "dir.json"))
        os.mkfifo(os.path.join(self.work, "fifo.json"))
        self.put("secret.json", "{}")
        self.put("huge.json", " " * (5 << 20))
        self.put("deep.json", '{"targets":' + "[" * 5000)
        self.put("twice.json", '{"targets": {},\n"targets": {}}')
        self.put("broken.json", '{"targets": {\n"t": }}')
        for name, says in (
            ("nothing.json", "No such file"),
            ("dir.json", "is no regular file"),
            ("fifo.json", "is no regular file"),
            ("huge.json", "larger than"),
            ("deep.json", "nested too deeply"),
            ("twice.json", ':2: key "targets" is there twice'),
            ("broken.json", ":2: not JSON"),
        ):
            self.refused("config", "check", name, says=says)
            self.refused("-c", name, "config", "explain", "t", says=says)
            self.refused("-c", name, "start", "t", says=says)


class TargetFilesTest(ConfigCase):
    def test_precedence(self):
        def board(machine):
            return {"qemu": {**QEMU, "machine": machine}}

        path = self.put("conf/pigweed.json", pigweed(target_files=["a.json", "sub/b.json"], targets={"main": board("main")}))
        self.put("conf/a.json", {"targets": {"main": board("a"), "both": board("a"), "a": board("a")}})
        self.put("conf/sub/b.json", {"targets": {"both": {**board("b"), "gdb": ["g"]}, "main": board("b")}})
        found = {name: self.values(name, "-c", path)["qemu.machine"] for name in ("main", "both", "a")}
        conf = os.path.join(os.path.realpath(self.work), "conf")
        self.assertEqual({name: value for name, (value, _) in found.items()}, {"main": "main", "both": "b", "a": "a"})
        self.assertTrue(found["main"][1].startswith(path + ":"))
        self.assertTrue(found["both"][1].startswith(conf + "/sub/b.json:"), found)

    def test_errors(self):
        good = {"targets": {"t": {"qemu": QEMU}}}
        self.put("good.json", good)
        self.put("link/pwemu.json", {"target_files": ["../good.json", "../good.json"]})
        os.symlink("good.json", os.path.join(self.work, "other-name.json"))
        for files, says in (
            (["nothing.json"], "pwemu.json:3: target_files[0]: open"),
            (["pwemu.json"], "target_files[0]: is this file itself"),
            (["good.json", "good.json"], "target_files[1]: is there twice"),
            (["good.json", "other-name.json"], "target_files[1]: is there twice"),
            (["nested.json"], "nested.json:2: target_files: unknown key"),
            (["."], "is no regular file"),
            (["empty.json"], '"targets" is missing'),
        ):
            self.put("pwemu.json", {"target_files": files})
            self.put("nested.json", {"target_files": ["good.json"], **good})
            self.put("empty.json", {})
            self.refused("config", "check", says=says)
            self.refused("targets", says=says)


class ResolveTest(ConfigCase):
    def test_pigweeds_own(self):
        """The targets that Pigweed has in pw_emu/."""
        files = {
            BOARD: QEMU,
            "qemu-stm32vldiscovery": {**QEMU, "machine": "stm32vldiscovery"},
            "qemu-netduinoplus2": {**QEMU, "machine": "netduinoplus2"},
        }
        for name, qemu in files.items():
            self.put(f"pw_emu/{name}.json", {"targets": {name: {"gdb": "arm-none-eabi-gdb", "qemu": qemu}}})
        terminals = {"serial0": {"device-path": "sysbus.usart1", "type": "pty"}}
        renode = {"executable": "renode", "machine": "platforms/boards/stm32f4_discovery-kit.repl", "channels": {"terminals": terminals}}
        self.put("pw_emu/renode.json", {"targets": {"renode-stm32f4_discovery": {"gdb": ["gdb-multiarch"], "renode": renode}}})
        self.put("pigweed.json", pigweed(target_files=[f"pw_emu/{name}.json" for name in (*files, "renode")]))
        self.pwemu("config", "check")
        for name, qemu in files.items():
            values = self.values(name)
            self.assertEqual(values["qemu.machine"][0], qemu["machine"])
            self.assertEqual({values[f"channels.{c}.type"] for c in ("serial0", "gdb", "monitor", "qmp")}, {("tcp", "default")})
            self.assertEqual(list(self.target.gdb), ["arm-none-eabi-gdb"])
            self.assertEqual([c.channel for c in self.target.controls], ["gdb", "monitor", "qmp"])
            self.assertEqual(self.target.config, os.path.join(os.path.realpath(self.work), "pigweed.json"))
            board = name.removeprefix("qemu-")
            image = firmware("hello.elf", board)
            if os.path.exists(image):
                self.assertIn("hello", self.pwemu("run", name, image, "--expect", "hello"))
        values = self.values("renode-stm32f4_discovery")
        self.assertEqual(values["channels.serial0.device-path"][0], "sysbus.usart1")
        self.assertEqual(values["channels.serial0.type"][0], "pty")
        self.assertEqual(self.target.emulator, "renode")
        self.assertEqual((self.target.renode.executable, self.target.renode.machine), ("renode", renode["machine"]))
        self.assertEqual([(c.name, c.id, c.type) for c in self.target.channels], [("serial0", "sysbus.usart1", "pty")])
        self.assertEqual([(c.channel, c.type) for c in self.target.controls], [("gdb", "tcp")])

    def test_every_key(self):
        everything = {
            "gdb": ["gdb-multiarch", "-q"],
            "emulators": {"qemu": {"launcher": "pw_emu.qemu.QemuLauncher", "connector": "pw_emu.qemu.QemuConnector"}},
            "qemu": {
                "executable": "qemu-system-arm",
                "args": ["-global", "$pw_env{WORD}.x=1"],
                "channels": {"type": "pty", "gdb": {"type": "tcp", "port": 3333}, "monitor": {"type": "none"}, "one": {"type": "tcp"}},
            },
            "renode": {"executable": "renode", "args": ["--plain"], "channels": {"terminals": {"type": "pty"}}},
            "targets": {
                "t": {
                    "description": "everything",
                    "architecture": "arm",
                    "cpu": "cortex-m3",
                    "uart": "pl011",
                    "eol": "lf",
                    "gdb": "own-gdb",
                    "memory": [{"name": "flash", "base": 0, "size": "256K", "boot": True}],
                    "ignore1": None,
                    "qemu": {
                        "machine": "lm3s6965evb",
                        "args": ["-append", "a=$pw_emu_channel_port{one},b=$pw_emu_channel_path{zero}:$pw_emu_wdir{f}"],
                        "load": "kernel",
                        "channels": {
                            "chardevs": {"zero": {"id": "serial0"}, "one": {"id": "serial1"}, "two": {"id": "serial2", "port": 5555}},
                            "qmp": {"type": "tcp"},
                        },
                    },
                    "renode": {
                        "machine": "x.repl",
                        "channels": {"type": "tcp", "terminals": {"one": {"device-path": "sysbus.$pw_env{WORD}"}}},
                    },
                    "pre-start-cmds": {"first": ["prog", "$pw_env{WORD}"], "second": {"argv": ["x"], "required": True}},
                    "post-start-cmds": {"last": ["y", "$pw_emu_channel_host{one}:$pw_emu_channel_port{one}"]},
                    "restart": "always,delay=1s",
                    "hang": {"silence": "30s", "channel": "one", "action": "stop"},
                    "log": {"limit": "1M", "full": "drop-oldest"},
                    "from": "-4K",
                    "semihosting": True,
                    "timeout": "1.5s",
                    "expect": ["a b", "c"],
                    "fail": "panic",
                    "file": "sub/app.elf@0x10",
                    "env": {"A": "$pw_env{WORD}", "B": ""},
                }
            },
        }
        path = self.put("pigweed.json", {"pw": {"pw_emu": everything}})
        environment = {"WORD": "w"}
        self.pwemu("config", "check", environment=environment)
        self.assertIn('pw.pw_emu.emulators.qemu: its Python classes are not used, but the daemon\'s driver "qemu"', self.last_err)
        values = self.values("t", environment=environment)
        root = os.path.realpath(self.work)
        with open(path, encoding="utf-8") as file:
            text = file.read().splitlines()

        def line(word):
            return f"{root}/pigweed.json:{1 + next(i for i, row in enumerate(text) if word in row)}"

        wanted = {
            "description": "everything", "emulator": "qemu", "qemu.executable": "qemu-system-arm", "qemu.machine": "lm3s6965evb",
            "qemu.args[0]": "-global", "qemu.args[1]": "w.x=1", "qemu.args[2]": "-append", "channels.zero.type": "pty",
            "channels.one.type": "tcp", "channels.two.type": "tcp", "channels.two.port": "5555", "channels.gdb.type": "tcp",
            "channels.gdb.port": "3333", "channels.qmp.type": "tcp", "gdb": "own-gdb", "pre-start-cmds.first": "prog w",
            "restart": "always,delay=1s", "hang": "silence=30s,channel=one,action=stop", "log": "limit=1M,full=drop-oldest",
            "from": "-4K", "semihosting": "true", "timeout": "1500ms", "expect": "a b c", "fail": "panic",
            "file": f"{root}/sub/app.elf@0x10", "env.A": "w", "env.B": "", "eol": "lf",
        }
        for name, value in wanted.items():
            self.assertEqual(values[name][0], value, name)
        self.assertNotIn("channels.monitor.type", values)
        for name, word in (
            ("qemu.machine", '"machine": "lm3s'), ("qemu.executable", '"executable": "qemu'), ("qemu.args[1]", ".x=1"),
            ("channels.zero.type", '"type": "pty"'), ("channels.two.port", "5555"), ("channels.two.type", "5555"), ("timeout", "1.5s"),
            ("pre-start-cmds.second", '"second"'), ("env.A", '"A": '), ("channels.gdb.port", "3333"), ("gdb", "own-gdb"),
        ):
            self.assertEqual(values[name][1], line(word), name)
        target = self.target
        self.assertEqual([(c.name, list(c.argv), c.required) for c in target.pre_start],
                         [("first", ["prog", "w"], False), ("second", ["x"], True)])
        self.assertEqual(list(target.post_start[0].argv), ["y", "$pw_emu_channel_host{one}:$pw_emu_channel_port{one}"])
        self.assertEqual((target.defaults.timeout_ms, target.defaults.semihosting), (1500, True))
        self.assertEqual(list(target.defaults.environment), ["A=w", "B="])
        self.assertEqual(target.hang.action, targets_pb2.HANG_ACTION_STOP)
        values = self.values("t", "--runner", "renode", environment=environment)
        self.assertEqual((values["renode.args[0]"][0], values["channels.one.type"][0]), ("--plain", "tcp"))
        self.assertEqual(values["channels.one.device-path"][0], "sysbus.w")
        self.assertEqual(values["renode.executable"][0], "renode")
        self.refused("start", "t", "-r", "renode", "-f", HELLO, environment=environment, says="semihosting on for QEMU only")

    def test_types(self):
        """channel, target, emulator for that channel, emulator, default."""
        def types(top, of_target, channel):
            qemu = {**QEMU, "channels": {"chardevs": {"c": {"id": "serial0", **channel}}, **of_target}}
            found = {}
            for name, content in (("pigweed.json", pigweed(qemu={"channels": top}, targets={"t": {"qemu": qemu}})),
                                  ("pwemu.json", {"qemu": {"channels": top}, "targets": {"t": {"qemu": qemu}}})):
                values = self.values("t", "-c", self.put("types/" + name, content))
                found[name] = values["channels.c.type"][0], values.get("channels.gdb.type", ["none"])[0]
            return found["pigweed.json"], found["pwemu.json"]

        self.assertEqual(types({}, {}, {}), (("tcp", "tcp"), ("none", "none")))
        for top, of_target, channel, wanted in (
            ({"type": "pty"}, {}, {}, ("pty", "pty")),
            ({"type": "pty", "c": {"type": "tcp"}, "gdb": {"type": "tcp"}}, {}, {}, ("tcp", "tcp")),
            ({"type": "tcp", "c": {"type": "tcp"}}, {"type": "pty"}, {}, ("pty", "pty")),
            ({"type": "tcp"}, {"type": "tcp", "gdb": {"type": "pty"}}, {"type": "pty"}, ("pty", "pty")),
        ):
            self.assertEqual(types(top, of_target, channel), (wanted, wanted))

    def test_first_emulator_of_the_file(self):
        renode = {"executable": "r", "machine": "m"}
        self.put("pwemu.json", json.dumps({"targets": {"q": {"qemu": QEMU, "renode": renode}, "r": {"renode": renode, "qemu": QEMU},
                                                       "n": {"gdb": [], "qemu": None, "renode": renode}}}))
        self.assertEqual([self.values(name)["emulator"][0] for name in "qrn"], ["qemu", "renode", "renode"])
        self.assertEqual(self.values("r", "-r", "qemu")["emulator"][0], "qemu")
        self.refused("config", "explain", "n", "-r", "qemu", says='targets.n: has no emulator "qemu"')
        self.refused("start", "r", says='"r"')

    def test_base(self):
        self.put("pwemu.json", {"targets": {
            "mine": {"base": BOARD, "semihosting": True, "timeout": "5s"},
            "child": {"base": "mine", "timeout": "6s", "qemu": {"args": ["-x"], "channels": {"chardevs": {"serial1": {"id": "serial1", "type": "pty"}}}}},
            BOARD: {"base": BOARD, "eol": "lf"}}})
        values = self.values("child")
        self.assertEqual(values["qemu.machine"], ("lm3s6965evb", f"preset {BOARD}"))
        self.assertEqual(values["timeout"][0], "6s")
        self.assertEqual(values["semihosting"][0], "true")
        self.assertEqual((values["channels.serial1.type"][0], values["channels.serial2.type"][0]), ("pty", "none"))
        self.assertEqual(values["qemu.args[0]"][0], "-x")
        self.assertEqual(self.target.name, "child")
        self.assertEqual(self.values(BOARD)["eol"][0], "lf")
        self.pwemu("config", "check")
        self.put("pwemu.json", {"targets": {"a": {"base": "b"}, "b": {"base": "c"}, "c": {"base": "a"}}})
        self.refused("config", "check", says='targets.c.base: "a" is based on itself, by way of this')
        self.put("pwemu.json", {"targets": {"a": {"base": "qemu-lm3s6965evv"}}})
        self.refused("config", "check", says=f'pwemu.json:4: targets.a.base: no target "qemu-lm3s6965evv" (did you mean "{BOARD}"')

    def test_all_errors_are_told(self):
        self.put("pwemu.json", """{
 "gdb": 1,
 "qemu": {"executable": "e", "argz": []},
 "targets": {
  "a": {"timuot": "1s",
   "eol": 5, "qemu": {"machine": "m"}},
  "b": {"qemu": {"machine": "$pw_env{PWEMU_UNSET}",
    "args": ["$pw_emu_wdir{x}", "$pw_emu_cannel_port{a}"]}},
  "c": {"qemu": {"machine": "m", "args": ["$pw_emu_channel_port{sreial0}"], "channels": {"chardevs": {"serial0": {"id": "serial0", "type": "pty"}}}}},
  "d": {"pre-start-cmds": {"x": ["$pw_emu_channel_port{serial0}", "$pw_emu_channel_path{gdb}", "$pw_emu_channel_path{qmp}"]},
   "qemu": {"machine": "m", "channels": {"gdb": {"type": "tcp"}, "chardevs": {"serial0": {"id": "serial0", "type": "pty"}}}}},
  "e": {"description": "$pw_emu_wdir{}", "qemu": {"machine": "m"}}
 }
}""")
        said = self.refused("config", "check")
        for part in (
            ":2: gdb: must be a string or a list",
            ':3: qemu.argz: unknown key (did you mean "args"?)',
            ':5: targets.a.timuot: unknown key (did you mean "timeout"?)',
            ":6: targets.a.eol: must be a string",
            ":7: targets.b.qemu.machine: environment variable PWEMU_UNSET is not set",
            ':8: targets.b.qemu.args[1]: $pw_emu_cannel_port{} is no expression (did you mean "$pw_emu_channel_port"',
            ':9: targets.c.qemu.args[0]: $pw_emu_channel_port{sreial0}: the target has no channel of that name (did you mean "serial0"?)',
            ":10: targets.d.pre-start-cmds.x[0]: $pw_emu_channel_port{serial0}: the channel's type is pty, it would have to be tcp",
            ":10: targets.d.pre-start-cmds.x[1]: $pw_emu_channel_path{gdb}: the channel's type is tcp, it would have to be pty",
            ":10: targets.d.pre-start-cmds.x[2]: $pw_emu_channel_path{qmp}: the channel has no endpoint",
            ":12: targets.e.description: $pw_emu_wdir{} can stand in",
        ):
            self.assertIn(part, said)

    def test_a_misspelt_base_is_named(self):
        self.put("pwemu.json", '{"targets": {"b": {"bsae": "qemu-lm3s6965evb"}}}')
        for command in (("config", "check"), ("start", "b")):
            self.assertIn('pwemu.json:1: targets.b.bsae: unknown key (did you mean "base"?)', self.refused(*command))

    def test_without_emulator_too(self):
        self.put("pwemu.json", '{"targets": {"b": {"eol": 5,\n"qmeu": {},\n"timeout": "x"}}}')
        said = self.refused("config", "check")
        for part in (":1: targets.b.eol: must be a string", ":2: targets.b.qmeu: unknown key", ":3: targets.b.timeout: ",
                     "targets.b: could not determine emulator"):
            self.assertIn(part, said)

    def test_count(self):
        self.put("pwemu.json", {"targets": {"t": {"base": BOARD}}})
        self.pwemu("config", "check")
        self.assertIn("pwemu.json: 1 target, no errors\n", self.last_err)

    def test_unknown_keys_of_a_pigweed_json(self):
        self.put("pigweed.json", pigweed(targets={"t": {"gbd": [], "newer": 1, "qemu": QEMU}}))
        self.pwemu("config", "check")
        self.assertIn('pw.pw_emu.targets.t.gbd: unknown key (did you mean "gdb"?); ignored', self.last_err)
        self.assertIn('pw.pw_emu.targets.t.newer: unknown key (valid here: "architecture", "base", ', self.last_err)
        self.assertIn("hello", self.pwemu("run", "t", HELLO, "--expect", "hello"))
        self.assertIn("targets.t.gbd", self.last_err)

    def test_names_of_commands(self):
        for commands, says in (
            ({"pre-start-cmds": {"qemu": ["x"]}}, "as the emulator is"),
            ({"pre-start-cmds": {"a/b": ["x"]}}, "must be of letters"),
            ({"post-start-cmds": {".": ["x"]}}, "must be of letters"),
            ({"post-start-cmds": {"": ["x"]}}, "is empty"),
            ({"pre-start-cmds": {"a": ["x"]}, "post-start-cmds": {"a": ["y"]}}, 'commands are named "a"'),
        ):
            self.put("pwemu.json", {"targets": {"t": {"qemu": QEMU, **commands}}})
            self.refused("config", "check", says=says)

    def test_not_there(self):
        self.put("pwemu.json", {"targets": {"board": {"qemu": QEMU}}})
        self.refused("start", "baord", says='no target "baord"')


class RunTest(ConfigCase):
    def test_defaults(self):
        self.put("pwemu.json", {"targets": {"t": {"base": BOARD, "file": os.path.relpath(HELLO, self.work), "expect": "hello"},
                                            "f": {"base": BOARD, "file": [HELLO], "fail": "hel+o"},
                                            "n": {"base": BOARD, "file": HELLO, "expect": "never said", "timeout": "300ms"}}})
        self.assertIn("hello", self.pwemu("run", "t"))
        self.assertIn("hello", self.pwemu("run", "f", code=1))
        self.pwemu("run", "f", "--fail", "never said", "--expect", "hello")
        self.pwemu("run", "n", "--expect", "hello", "--timeout", "30s")
        self.assertIn(self.run_any("run", "n").returncode, (1, 124))
        self.pwemu("start", "t", "-i", "i")
        self.assertEqual([os.path.realpath(p) for p in self.first_status("i")["images"]], [os.path.realpath(HELLO)])
        self.pwemu("start", "t", "-i", "other", "-f", ECHO)
        self.assertEqual([os.path.realpath(p) for p in self.first_status("other")["images"]], [os.path.realpath(ECHO)])

    def first_status(self, name):
        found = self.status("-i", name)
        return found[0] if isinstance(found, list) else found

    def test_without_file(self):
        self.put("pwemu.json", {"targets": {"t": {"base": BOARD}}})
        self.assertIn("wants a FILE", self.run_any("run", "t").err)
        self.assertEqual(self.run_any("run", "t").returncode, 2)
        self.assertEqual(self.run_any("run", BOARD).returncode, 2)

    def test_wrong_pattern(self):
        self.put("pwemu.json", {"targets": {"t": {"base": BOARD, "file": HELLO, "expect": "("}}})
        self.assertEqual(self.run_any("run", "t").returncode, 125)

    def test_environment_and_restart(self):
        self.put("pwemu.json", {"targets": {"t": {"base": BOARD, "env": {"FROM_TARGET": "1", "BOTH": "t"}, "restart": "always"}}})
        self.pwemu("start", "t", "-f", HELLO, "--set-env", "BOTH=o")
        inst = self.first_status("default")
        with open(f"/proc/{inst['pid']}/environ", "rb") as file:
            environ = file.read().split(b"\0")
        self.assertIn(b"FROM_TARGET=1", environ)
        self.assertIn(b"BOTH=o", environ)
        self.assertNotIn(b"BOTH=t", environ)

    def test_argv(self):
        self.put("pwemu.json", {"targets": {"t": {"base": BOARD, "file": HELLO, "qemu": {"args": ["-append", "it's $pw_emu_wdir{x}"]}}}})
        line = self.pwemu("config", "explain", "t", "--argv")
        self.assertEqual(line.count("\n"), 1)
        argv = shlex.split(line)
        self.assertEqual(argv[:7], ["qemu-system-arm", "-nographic", "-nodefaults", "-display", "none", "-machine", "lm3s6965evb"])
        self.assertEqual(argv[-4:], ["-kernel", os.path.realpath(HELLO) if argv[-3] != HELLO else HELLO, "-append", "it's $pw_emu_wdir{x}"])
        self.assertIn("path=RUN/serial0", line)
        preset = shlex.split(self.pwemu("config", "explain", BOARD, "--argv"))
        self.assertEqual(preset[:7], argv[:7])

    def test_no_console(self):
        self.put("pwemu.json", {"targets": {"t": {"qemu": {"executable": "qemu-system-arm", "machine": "lm3s6965evb"}}}})
        self.pwemu("start", "t", "-f", HELLO)
        for command in ("term", "logs", "pipe"):
            words = [""] if command == "pipe" else []
            self.refused(command, *words, says='target "t" of instance "default" has no console; name a channel; there is: emulator')

    def test_chardev_that_is_no_serial_port(self):
        """Its id is for arguments that refer to it."""
        chardevs = {"chardevs": {"serial0": {"id": "serial0"}, "extra": {"id": "mychar"}}}
        self.put("pwemu.json", {"targets": {"t": {"qemu": {**QEMU, "args": ["-serial", "chardev:mychar"], "channels": chardevs}}}})
        self.pwemu("start", "t", "-f", HELLO)
        inst = self.first_status("default")
        self.assertIn("extra", [channel["name"] for channel in inst["channels"]])
        self.assertEqual(inst["state"], "running")

class MisplacedTest(ConfigCase):
    """A key that is right elsewhere: where."""

    def test_where_it_belongs(self):
        chardevs = {"serial0": {"id": "serial0"}}
        for target, says in (
            ({"qemu": QEMU, "channels": {"chardevs": chardevs}}, 'targets.t.channels: unknown key here: "channels" belongs to "qemu" or "renode"'),
            ({"qemu": {**QEMU, "chardevs": chardevs}}, 'targets.t.qemu.chardevs: unknown key here: "chardevs" belongs to "channels" below "qemu"'),
            ({"qemu": {**QEMU, "channels": {"terminals": {}}}}, 'qemu.channels.terminals: unknown key here: "terminals" belongs to "channels" below'),
            ({"qemu": {**QEMU, "channels": chardevs}}, 'qemu.channels.serial0: unknown key (valid here: "chardevs", "gdb", "monitor", "qmp", "type")'),
            ({"qemu": QEMU, "machine": "x"}, 'targets.t.machine: unknown key here: "machine" belongs to "qemu" or "renode" of a target'),
        ):
            self.put("pwemu.json", {"targets": {"t": target}})
            self.refused("config", "check", says=says)
            self.put("pwemu.json", pigweed(targets={"t": target}))
            path = self.put("p/pigweed.json", pigweed(targets={"t": target}))
            self.pwemu("config", "check", path)
            self.assertIn("warning: ", self.last_err)
            self.assertIn(says, self.last_err)

    def test_defaults(self):
        self.put("pwemu.json", {"qemu": {"channels": {"chardevs": {}}}, "targets": {}})
        self.refused("config", "check", says='qemu.channels.chardevs: unknown key here: "chardevs" belongs to "channels" below "qemu" of a target')


class InferredTest(ConfigCase):
    """Targets that name a machine and nothing of it, as all of a pigweed.json do: images are checked all the same."""

    def write(self, executable="qemu-system-arm", machine="lm3s6965evb", args=(), **keys):
        qemu = {**QEMU, "executable": executable, "machine": machine, "args": list(args)}
        self.put("pigweed.json", pigweed(targets={"t": {"qemu": qemu, **keys}}))

    def test_architecture(self):
        for executable, machine, image, says in (
            ("qemu-system-arm", "lm3s6965evb", firmware("hello.elf", "riscv32-virt"), "is for 32-bit RISC-V, but t is 32-bit ARM"),
            ("qemu-system-arm", "virt", firmware("hello.elf", "riscv32-virt"), "is for 32-bit RISC-V, but t is 32-bit ARM"),
            ("qemu-system-aarch64", "lm3s6965evb", firmware("hello.elf", "riscv32-virt"), "is for 32-bit RISC-V, but t is 32-bit ARM"),
            ("qemu-system-aarch64", "virt", firmware("hello.elf", "riscv64-virt"), "is for 64-bit RISC-V, but t is 64-bit ARM"),
            ("qemu-system-riscv32", "virt", firmware("hello.elf", "riscv64-virt"), "is for 64-bit RISC-V, but t is 32-bit RISC-V"),
            ("/usr/bin/qemu-system-riscv64", "virt", HELLO, "is for 32-bit ARM, but t is 64-bit RISC-V"),
            ("qemu-system-avr", "no-preset", HELLO, "is for 32-bit ARM, but t is AVR"),
        ):
            self.write(executable, machine)
            self.refused("start", "t", "-f", image, says=says)
            self.refused("run", "t", image, code=125, says=says)
        self.write(file=HELLO)
        self.put("pwemu.json", {"targets": {"t": {"qemu": QEMU, "file": firmware("hello.elf", "riscv32-virt")}}})
        self.refused("config", "explain", "t", "--argv", says="is for 32-bit RISC-V, but t is 32-bit ARM")

    def test_32bit_on_aarch64(self):
        """All boards of qemu-system-arm are boards of qemu-system-aarch64."""
        self.write("qemu-system-aarch64")
        self.assertIn("hello", self.pwemu("run", "t", HELLO, "--expect", "hello"))
        self.write("qemu-system-aarch64", "virt", args=["-cpu", "cortex-a15"])
        self.pwemu("start", "t", "-f", HELLO)

    def test_memory(self):
        """The machine's own, as the preset has it: a raw binary goes to its flash; what does not fit is refused."""
        self.write()
        path = firmware("hello.bin")
        self.assertIn("hello", self.pwemu("run", "t", path, "--expect", "hello"))
        self.refused("start", "t", "-f", path + "@0x40000000", says="does not fit into memory of t at 0x40000000; it has flash 0x00000000")
        self.refused("start", "t", "-f", firmware("hello.elf", "stm32vldiscovery"), says="addresses that t does not have")
        self.pwemu("start", "t", "-f", HELLO)
        self.refused("load", firmware("hello.elf", "riscv32-virt"), says="is for 32-bit RISC-V, but t is 32-bit ARM")
        self.pwemu("load", path)
        self.put("pwemu.json", {"targets": {"t": {"qemu": QEMU, "file": path}}})
        self.assertIn(f"loader,file={path},addr=0x0", self.pwemu("config", "explain", "t", "--argv"))

    def test_another_board_of_it(self):
        """-m and the like: nobody knows its memory, here or on the command line."""
        self.write(args=["-m", "1M"])
        self.refused("start", "t", "-f", firmware("hello.bin"), says="where t boots is not known")
        self.write()
        self.refused("start", "t", "--args", "-m 1M", "-f", firmware("hello.bin"), says="where t boots is not known")
        self.write("qemu-system-arm", "no-preset")
        self.refused("start", "t", "-f", firmware("hello.bin"), says="where t boots is not known")

    def test_what_the_target_says_stays(self):
        memory = [{"name": "own", "base": "0x20000000", "size": "64K"}]
        self.write(memory=memory)
        self.refused("start", "t", "-f", HELLO, says="Its memory: own 0x20000000-0x2000ffff")
        self.write(architecture="avr")
        self.refused("start", "t", "-f", HELLO, says="t is AVR")

    def test_riscv_begins_as_before(self):
        """Its -bios may have to begin it: the ELF goes to -kernel wherever it begins."""
        image = firmware("hello.elf", "riscv32-virt")
        self.put("pwemu.json", {"targets": {"t": {"qemu": {**QEMU, "executable": "qemu-system-riscv32", "machine": "virt"}, "file": image}}})
        self.assertIn(f"-kernel {image}", self.pwemu("config", "explain", "t", "--argv"))

    def test_explain(self):
        self.write()
        values = self.values("t")
        self.assertEqual(values["architecture"], ("arm", f"like {BOARD}"))
        self.assertEqual(values["memory"][1], f"like {BOARD}")
        self.write("/opt/bin/qemu-system-arm", "no-preset")
        self.assertEqual(self.values("t")["architecture"], ("arm", "like qemu-system-arm"))
        self.write("/opt/bin/my-qemu", "no-preset")
        self.assertNotIn("architecture", self.values("t"))


if __name__ == "__main__":
    unittest.main()
