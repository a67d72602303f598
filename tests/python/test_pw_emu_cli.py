# SPDX-License-Identifier: Apache-2.0
"""Every command and option that pw_emu has, as its users and scripts spell them, on real QEMU; and its configuration.

Not repeated here: where a configuration is found, target files and their precedence, every key, the types of channels and their
precedence, the emulator of a target, unknown keys (test_config.py); expressions in commands (test_helpers.py); gdb's exit codes and
which gdb it is (test_gdb.py); values of properties (test_properties.py)."""

import fcntl
import json
import os
import pty
import select
import subprocess
import sys
import termios
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from pwemu_cli import PWEMU, CliCase  # noqa: E402
from pwemu_fixture import firmware, read_proc, wait_for  # noqa: E402

BOARD = "qemu-lm3s6965evb"
HELLO, ECHO, EXIT = (firmware(name + ".elf") for name in ("hello", "echo", "exit"))
QEMU = {"executable": "qemu-system-arm", "machine": "lm3s6965evb", "channels": {"chardevs": {"serial0": {"id": "serial0"}}}}


class Peer(CliCase):
    def configure(self, name="pigweed.json", **keys):
        path = os.path.join(self.work, name)
        with open(path, "w", encoding="utf-8") as file:
            json.dump({"pw": {"pw_emu": keys}}, file, indent=1)
        return path

    def state(self, *words, **options):
        return self.status(*words, **options)["state"]

    def argv(self, *words):
        return read_proc(self.status(*words)["pid"], "cmdline").decode().split("\0")[:-1]

    def place(self, *words, **options):
        return self.status(*words, **options)["working_dir"]

    def popen_on_terminal(self, *words):
        """The command with a terminal; stdout and stderr go there too. Returns the process and the terminal's other side."""
        ours, theirs = pty.openpty()
        self.addCleanup(os.close, ours)
        process = subprocess.Popen([PWEMU, *words], stdin=theirs, stdout=theirs, stderr=theirs, cwd=self.work, env=self.environment,
                                   start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        self.processes.append(process)
        os.close(theirs)
        return process, ours

    def see(self, terminal, text, deadline=30):
        """Reads from a terminal until the text was there."""
        seen, end = b"", time.monotonic() + deadline
        while text not in seen:
            self.assertLess(time.monotonic(), end, seen)
            if select.select([terminal], [], [], 1)[0]:
                try:
                    seen += os.read(terminal, 4096)
                except OSError:  # the other side is closed
                    self.fail(f"no {text!r} in {seen!r}")
        return seen


class Globals(Peer):
    def test_instance(self):
        """-i and --instance, their prefixes, before the command; `default` without."""
        for words in (["-i", "a"], ["-ib"], ["--instance", "c"], ["--instance=d"], ["--inst", "e"], ["--ins=f"], []):
            self.pwemu(*words, "start", BOARD, "-p")
            name = words[-1].removeprefix("-i").rpartition("=")[2] if words else "default"
            self.assertEqual(self.status("-i", name)["name"], name)
            self.assertEqual(self.state(*words), "paused")
            self.pwemu(*words, "stop")

    def test_working_dir(self):
        """-C and --working-dir, absolute or not, beat -i and the variable; with the variable alone a command finds the same instance."""
        place = os.path.join(os.path.realpath(self.work), "w")
        self.pwemu("-C", place, "start", BOARD, "-f", HELLO, "-p")
        self.assertEqual(os.stat(place).st_mode & 0o777, 0o700)
        for words in (["-C", "w"], ["--working-dir", place], ["--working-dir=w"], ["--work", "./w"], ["-i", "x", "-C", place]):
            self.assertEqual(self.place(*words), place, words)
        self.assertEqual(self.place(environment={"PW_EMU_WDIR": place}), place)
        self.assertEqual(self.place("-C", place, environment={"PW_EMU_WDIR": "/nowhere"}), place)
        self.refused("-C", place, "start", BOARD, says="already running")
        self.pwemu("resume", environment={"PW_EMU_WDIR": place})
        self.assertEqual(self.state("-C", place), "running")
        self.pwemu("stop", environment={"PW_EMU_WDIR": place})
        other = os.path.join(os.path.realpath(self.work), "other")
        self.pwemu("start", BOARD, "-p", environment={"PW_EMU_WDIR": other})
        self.assertEqual(self.place("-C", other), other)
        self.pwemu("-C", other, "stop")

    def test_project_root(self):
        self.configure(targets={"t": {"qemu": QEMU}})
        root = {"PW_PROJECT_ROOT": self.work}
        self.pwemu("-i", "one", "start", "t", "-p", environment=root, cwd=self.dir)
        self.assertEqual(self.place("-i", "one", environment=root, cwd=self.dir), os.path.join(self.work, ".pw_emu/one"))
        self.pwemu("-i", "one", "stop", environment=root, cwd=self.dir)

    def test_config(self):
        self.configure(targets={"t": {"qemu": {**QEMU, "machine": "nonsense"}}})
        own = self.configure("own.json", targets={"t": {"qemu": QEMU}})
        for words in (["-c", own], ["-cown.json"], ["--config", own], ["--config=own.json"], ["--conf", own]):
            self.pwemu(*words, "start", "t", "-p")
            os.rename(own, own + ".gone")
            self.pwemu("stop")  # it is not read again
            os.rename(own + ".gone", own)

    def test_usage(self):
        """2, with the reason on stderr."""
        for words in ([], ["nonsense"], ["start"], ["run", BOARD], ["load"], ["prop-ls"], ["prop-get", "/machine"], ["gdb-cmds"],
                      ["prop-set", "/machine", "graphics"], ["start", BOARD, "extra"], ["start", BOARD, "--nonsense"], ["-i"],
                      ["stop", "extra"], ["load", HELLO, "-o", "nonsense"]):
            done = self.run_any(*words)
            self.assertEqual((done.returncode, done.out), (2, ""), words)
            self.assertNotEqual(done.err, "", words)

    def test_help(self):
        for words in (["-h"], ["--help"], ["start", "-h"], ["run", "--help"]):
            self.assertIn("pwemu", self.pwemu(*words))
        for command in ("start", "restart", "run", "stop", "load", "reset", "gdb", "prop-ls", "prop-get", "prop-set", "gdb-cmds", "term", "resume"):
            self.assertIn(command, self.pwemu(command, "--help"))


class Starting(Peer):
    def test_spellings(self):
        """One target, every option of `start`, short and long; it says nothing on stdout and returns when the emulator answers."""
        for words in (["-f", ECHO, "-r", "qemu", "-a", "-name n", "-p", "-d"],
                      ["--file", ECHO, "--runner", "qemu", "--args=-name n", "--pause", "--debug"],
                      ["--file=" + ECHO, "--run=qemu", "--arg", "-name n", "--pau", "--deb"]):
            self.assertEqual(self.pwemu("start", BOARD, *words), "", words)
            argv = self.argv()
            self.assertEqual(self.state(), "paused")
            self.assertEqual(argv[argv.index("-kernel") + 1], ECHO)
            self.assertEqual(argv[argv.index("-name") + 1], "n")
            self.assertEqual(argv[argv.index("-d") + 1], "guest_errors")
            self.pwemu("stop")

    def test_args(self):
        """Quoted as in a shell, repeatable, a leading dash by `=`; two blanks are one."""
        name = os.path.join(self.work, "a b.log")
        self.pwemu("start", BOARD, "-p", "--args=-D  'a b.log' -d guest_errors", "-a",
                   '-name "it\'s"', "-a", r"-uuid 00000000-0000-0000-0000-00000000000\1")
        argv = self.argv()
        at = argv.index("-D")
        self.assertEqual(argv[at:], ["-D", "a b.log", "-d", "guest_errors", "-name", "it's", "-uuid", "00000000-0000-0000-0000-000000000001"])
        self.assertTrue(os.path.exists(name))
        self.refused("-i", "x", "start", BOARD, "-a", "'no end", says="a quote does not end")

    def test_pause_and_resume(self):
        self.pwemu("start", BOARD, "-f", HELLO, "-p")
        self.assertEqual((self.state(), self.logs()), ("paused", b""))
        self.assertEqual(self.pwemu("resume"), "")
        self.pwemu("wait", "--expect", "hello", "--timeout", "30s")
        self.assertEqual(self.state(), "running")
        self.assertEqual(self.pwemu("stop"), "")

    def test_foreground(self):
        """It stays until the emulator ends, by `stop` too, and ends as the firmware did."""
        for option in ("-F", "--foreground"):
            process = self.popen("start", BOARD, "-f", ECHO, option)
            self.pwemu_until_running()
            self.assertIsNone(process.poll())
            self.pwemu("stop")
            process.wait(30)
        self.pwemu("start", BOARD, "-f", EXIT, "-F", "--semihosting", code=42)

    def pwemu_until_running(self):
        wait_for(lambda: self.run_any("wait", "--state", "running", "--timeout", "10s").returncode == 0, "it to run")

    def test_restart(self):
        """Of a running instance, with another image and options; of one that has ended; of one that never was."""
        self.assertEqual(self.pwemu("restart", BOARD, "-f", HELLO, "--pause"), "")
        first = self.status()
        self.assertEqual(first["state"], "paused")
        self.pwemu("restart", BOARD, "--file", ECHO, "-r", "qemu", "-a", "-name again", "-d")
        second = self.status()
        self.assertNotEqual(second["pid"], first["pid"])
        self.assertEqual((second["state"], second["images"]), ("running", [ECHO]))
        self.assertIn("again", self.argv())
        self.assertEqual(read_proc(first["pid"], "cmdline"), b"")
        self.pwemu("stop")
        self.pwemu("restart", BOARD, "-f", ECHO)
        self.assertEqual(self.state(), "running")

    def test_runner(self):
        for name in ("nonsense", "None"):
            self.refused("start", BOARD, "-r", name, says=f'emulator "{name}" is not supported')


class Running(Peer):
    def test_run(self):
        """The options of `run`; it prints what the channel does, from the first byte, without a terminal too."""
        self.configure(targets={"t": {"qemu": {**QEMU, "channels": {"chardevs": {
            "zeta": {"id": "serial0"}, "alpha": {"id": "serial1"}}}}}})
        for words in ([], ["-n", "zeta"], ["--channel", "zeta"], ["--chan=zeta", "--args=-name n"], ["-a", "-name n"]):
            self.assertIn("hello", self.pwemu("run", "t", HELLO, *words, "--expect", "hello"))
        self.assertNotIn("hello", self.pwemu("run", "t", HELLO, "-n", "alpha", "--timeout", "300ms", code=124))

    def test_exit_code(self):
        self.pwemu("run", BOARD, EXIT, "--semihosting", code=42)
        self.assertEqual(self.pwemu("run", BOARD, EXIT, "--args=-semihosting-config enable=on,arg=x,arg=7", code=7).count("exit on"), 1)

    def test_on_a_terminal(self):
        """The banner with the channel's name, Enter to the firmware, Ctrl+] ends it and stops the instance."""
        process, terminal = self.popen_on_terminal("-i", "mine", "run", BOARD, ECHO, "-n", "serial0")
        seen = self.see(terminal, b"ready> ")
        self.assertRegex(seen, rb"(?m)^--- mine/serial0 .*Ctrl\+\].*Ctrl\+T.* ---\r$")
        os.write(terminal, b"word\r")
        self.see(terminal, b"got: word")
        os.write(terminal, b"\x1d")
        self.assertEqual(process.wait(30), 0)
        self.refused("-i", "mine", "stop", says="not running")

    def test_term(self):
        """On a terminal Ctrl+] leaves it and the instance runs on; a second one may look; without a terminal stdin is typed."""
        self.pwemu("start", BOARD, "-f", ECHO)
        process, terminal = self.popen_on_terminal("term", "serial0")
        self.assertIn(b"--- default/serial0 ", self.see(terminal, b"ready> "))
        os.write(terminal, b"one\r")
        self.see(terminal, b"got: one")
        second, other = self.popen_on_terminal("term", "--read-only", "serial0")
        self.see(other, b"got: one")
        os.write(terminal, b"\x03\r")  # Ctrl-C is the guest's
        self.see(other, b"got: \x03")
        for side, ended in ((terminal, process), (other, second)):
            os.write(side, b"\x1d")
            self.assertEqual(ended.wait(30), 0)
        self.assertEqual(self.state(), "running")
        piped = self.popen("term", "serial0", stdin=subprocess.PIPE)
        piped.stdin.write(b"two\r")
        piped.stdin.flush()
        self.pwemu("wait", "--expect", "got: two", "--timeout", "30s")


class Acting(Peer):
    def test_machine(self):
        """reset, load, prop-*, gdb and gdb-cmds of one instance."""
        self.assertEqual(self.pwemu("start", BOARD, "-f", HELLO), "")
        self.pwemu("wait", "--expect", "hello", "--timeout", "30s")
        self.assertEqual(self.pwemu("reset"), "")
        wait_for(lambda: self.logs().count(b"hello") == 2, "the second hello")

        with self.subTest("prop-ls, prop-get, prop-set"):
            rows = json.loads(self.pwemu("prop-ls", "/machine"))
            self.assertIn({"name": "graphics", "type": "bool"}, rows)
            self.assertIn('\n    {\n        "name": ', self.pwemu("prop-ls", "/machine"))
            self.assertEqual(self.pwemu("prop-get", "/machine", "type"), "lm3s6965evb-machine\n")
            for value in ("true", "false"):
                self.assertEqual(self.pwemu("prop-set", "/machine", "graphics", value), "")
                self.assertEqual(self.pwemu("prop-get", "/machine", "graphics"), value + "\n")
            self.refused("prop-get", "/machine", "nope", says="Property 'lm3s6965evb-machine.nope' not found")
            self.refused("prop-ls", "/nope", says="Device '/nope' not found")
            self.refused("prop-set", "/machine", "graphics", "maybe", says="graphics")

        with self.subTest("gdb-cmds"):
            for words in (["-e", ECHO], ["--executable", ECHO], ["--exec=" + ECHO]):
                self.assertIn(ECHO, self.pwemu("gdb-cmds", *words, "info files", "print 1"))
                self.assertEqual(self.state(), "running")
            for option in ("-p", "--pause"):
                self.assertIn("pc ", self.pwemu("gdb-cmds", option, "info registers pc"))
                self.assertEqual(self.state(), "paused")
                self.pwemu("gdb-cmds", "print 1")  # leaves it as it is
                self.assertEqual(self.state(), "paused")
                self.pwemu("resume")
            self.pwemu("gdb-cmds", "nonsense", code=1)

        with self.subTest("gdb"):
            for words in ([], ["-e", ECHO], ["--executable=" + ECHO]):
                said = self.pwemu("gdb", *words, stdin=b"info files\nquit\n")
                self.assertIn(words[-1].rpartition("=")[2] if words else HELLO, said)
            self.assertEqual(self.state(), "running")

        with self.subTest("load"):
            self.assertEqual(self.pwemu("load", ECHO), "")
            self.pwemu("wait", "--expect", "ready", "--timeout", "30s")
            for option in ("-p", "--pause"):
                self.pwemu("load", HELLO, option)
                self.assertEqual(self.state(), "paused")
            pc = self.pwemu("gdb-cmds", "-p", "-e", HELLO, "info symbol $pc")
            self.assertRegex(pc, r"(?m)^(reset|start|_start|Reset)\w* ")
            for words in (["-o", "0x400"], ["--offset", "1K"], ["--offset=1024"]):
                self.pwemu("load", firmware("hello.bin"), *words, "-p")
                self.assertRegex(self.pwemu("gdb-cmds", "-p", "x/2xw 0x400"), self.words_of(firmware("hello.bin")))
            self.refused("load", "/nowhere.elf", says="No such file")

    @staticmethod
    def words_of(path):
        with open(path, "rb") as file:
            first, second = (int.from_bytes(file.read(4), "little") for _ in range(2))
        return rf"0x400.*:\s+0x{first:08x}\s+0x{second:08x}"


class Refused(Peer):
    """The rows of pw_emu's table of errors."""

    def test_not_running(self):
        for words in (["stop"], ["reset"], ["resume"], ["load", HELLO], ["gdb"], ["gdb-cmds", "print 1"], ["prop-ls", "/machine"],
                      ["prop-get", "/machine", "type"], ["prop-set", "/machine", "graphics", "true"], ["term", "serial0"]):
            self.refused(*words, says="no instance runs here")
            self.refused("-i", "x", *words, says="x")
            self.refused("-C", "w", *words, says="w")

    def test_already_running(self):
        self.pwemu("start", BOARD, "-p")
        self.refused("start", BOARD, says="already running")
        self.refused("term", "nope", says='no channel "nope"; there is: serial0')
        self.pwemu("-i", "default", "run", BOARD, HELLO, code=125)
        self.assertIn("already running", self.last_err)

    def test_configuration(self):
        chardev = {"channels": {"chardevs": {"a": {}}}}
        for target, says in (
            ({}, "could not determine emulator"),
            ({"qemu": {"executable": "qemu-system-arm"}}, '"machine" is missing'),
            ({"qemu": {"machine": "lm3s6965evb"}}, '"executable" is missing'),
            ({"qemu": {**QEMU, "args": "-x"}}, "qemu.args: must be a list"),
            ({"qemu": {**QEMU, "machine": "$pw_env{NOBODY_SETS_THIS}"}}, "environment variable NOBODY_SETS_THIS is not set"),
            ({"qemu": {**QEMU, "machine": "$pw_nonsense{X}"}}, "$pw_nonsense{} is no expression"),
            ({"qemu": {**QEMU, **chardev}}, 'chardevs.a: "id" is missing'),
            ({"qemu": {**QEMU, "channels": {"type": "nonsense"}}}, "'nonsense' is not one of tcp, pty"),
        ):
            path = self.configure(targets={"t": target})
            self.assertIn(f"{path}:", self.refused("start", "t", says=says))
        self.refused("start", "nope", says='no target "nope"')

    def test_emulator(self):
        """Told at once, with the emulator's own words."""
        for qemu, says, code in (({"executable": "no-such-emulator"}, "not found", 127), ({"machine": "nope"}, "unsupported machine type", 125)):
            self.configure(targets={"t": {"qemu": {**QEMU, **qemu}}})
            self.assertIn(says, self.run_any("start", "t").err)
            self.assertEqual(self.run_any("start", "t").returncode, 1)
            done = self.run_any("run", "t", HELLO)
            self.assertIn(says, done.err)
            self.assertEqual(done.returncode, code)
        self.pwemu("start", BOARD, "--args=-nonsense", code=1)
        self.assertIn("-nonsense: invalid option", self.last_err)

    def test_channels_and_gdb(self):
        self.configure(targets={"t": {"gdb": ["no-such-gdb"], "qemu": {"executable": "qemu-system-arm", "machine": "lm3s6965evb"}}})
        self.pwemu("run", "t", HELLO, "-n", "nope", code=125)
        self.assertIn('no channel "nope"', self.last_err)
        self.pwemu("run", BOARD, HELLO, "-n", "gdb", "--timeout", "30s", code=125)
        self.assertIn('channel "gdb" is a debugger\'s', self.last_err)
        self.assertIn("QMP", self.pwemu("run", BOARD, HELLO, "-n", "qmp", "--timeout", "300ms", code=124))
        self.pwemu("start", "t", "-f", ECHO)
        self.refused("term", says="has no console")
        self.refused("gdb", code=127, says='gdb "no-such-gdb"')
        self.refused("gdb-cmds", "print 1", code=127, says='gdb "no-such-gdb"')


class Configuration(Peer):
    def test_all_of_it(self):
        """Arguments of emulator, target and command line in this order; $pw_env; commands before and after with their files."""
        sleep = "echo \"$@\"; exec sleep 100000"
        self.configure(
            qemu={"executable": "$pw_env{MY_QEMU}", "args": ["-name", "$pw_env{WORD}-1"], "channels": {"type": "tcp", "monitor": {"type": "pty"}}},
            targets={"t": {
                "ignore1": None, "unknown": 1,
                "pre-start-cmds": {"before": ["sh", "-c", sleep, "sh", "$pw_emu_wdir{log}", "$pw_emu_channel_port{serial0}"]},
                "post-start-cmds": {"after": ["sh", "-c", sleep, "sh", "$pw_emu_channel_host{serial0}:$pw_emu_channel_port{serial0}",
                                              "$pw_emu_channel_path{line}"]},
                "qemu": {"machine": "$pw_env{WORD}6965evb", "args": ["-uuid", "00000000-0000-0000-0000-000000000001"],
                         "channels": {"chardevs": {"serial0": {"id": "serial0"}, "line": {"id": "serial1", "type": "pty"}}}}}})
        self.pwemu("-C", "w", "start", "t", "-f", HELLO, "-a", "-D x", environment={"MY_QEMU": "qemu-system-arm", "WORD": "lm3s"})
        status = self.status("-C", "w")
        argv = self.argv("-C", "w")
        self.assertEqual(argv[argv.index("-machine") + 1], "lm3s6965evb")
        order = [argv.index(word) for word in ("-name", "-uuid", "-D")]
        self.assertEqual(order, sorted(order))
        self.assertEqual(argv[order[0] + 1], "lm3s-1")
        place = status["working_dir"]
        with open(os.path.join(place, "handles.json"), encoding="utf-8") as file:
            handles = json.load(file)
        channels = handles["channels"]
        self.assertEqual({name: row["type"] for name, row in channels.items()},
                         {"serial0": "tcp", "line": "pty", "gdb": "tcp", "qmp": "tcp", "monitor": "pty"})
        self.assertEqual((handles["emu"], handles["target"], list(handles["procs"])), ("qemu", "t", ["before", "qemu", "after"]))
        port = channels["serial0"]["port"]
        for name, text in (("before", f"{place}/log {port}\n"), ("after", f"127.0.0.1:{port} {channels['line']['path']}\n")):
            wait_for(lambda n=name: self.text(place, n + ".log").endswith("\n"), name)
            self.assertEqual(self.text(place, name + ".log"), text)
            self.assertEqual(self.text(place, name + ".pid"), str(handles["procs"][name]["pid"]))
        self.pwemu("-C", "w", "stop")
        self.assertEqual([read_proc(row["pid"], "cmdline") for row in handles["procs"].values()], [b""] * 3)
        self.assertFalse(os.path.exists(os.path.join(place, "handles.json")))

    @staticmethod
    def text(*path):
        with open(os.path.join(*path), encoding="utf-8") as file:
            return file.read()


if __name__ == "__main__":
    unittest.main()
