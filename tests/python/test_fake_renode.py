# SPDX-License-Identifier: Apache-2.0
"""The fake Renode against the recorded session of the real one, and against what else is known of its console.

With PWEMU_TEST_RENODE=/path/to/renode the same is asked of a real one, save what only the fake can do.
"""
import ast
import os
import re
import signal
import subprocess
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

from renode_console import BOARD, DEADLINE_S, FAKE, OPTIONS, PROGRAM, Case, Stream, firmware, listening_ports, only_fake  # noqa: E402

RECORD = os.path.join(os.path.dirname(FAKE), "renode-console.txt")
CUT = re.compile(r" \.\.\. \[(\d+) bytes in all\] \.\.\. ")


# ---------------------------------------------------------------- the record

def read_record():
    """[(arguments, [(what, bytes or text)], status)] of each session; a cut reply stays text."""
    with open(RECORD, encoding="ascii") as file:
        lines = file.read().splitlines()[1:]
    sessions = []
    for line in filter(None, lines):
        if line.startswith("# renode "):
            options, *commands = line[len("# renode "):].split(" -e ")
            sessions.append(([*options.split(), *(word for command in commands for word in ("-e", command))], []))
            continue
        match = re.match(r"(?:[\d.]+ )?(>|<|EOF|exit|stderr) (.*)$", line)
        what, text = match.groups()
        if text.startswith("shutdown"):
            what, text = "shutdown", ""
        sessions[-1][1].append((what, text if what == "exit" or CUT.search(text) or not text else ast.literal_eval(text)))
    return sessions


class Recorded(Case):
    """Each byte of the three sessions, with the path of our firmware for that of the recorder's."""

    def replay(self, number):
        arguments, steps = read_record()[number]
        self.console = self.run_renode(*arguments, options=())
        for what, data in steps:
            with self.subTest(what=what, data=data):
                getattr(self, "do_" + self.NAMES[what])(self.with_our_image(data))

    NAMES = {">": "send", "<": "receive", "EOF": "end", "exit": "exit", "stderr": "stderr", "shutdown": "shutdown"}

    @staticmethod
    def with_our_image(data):
        return data.replace(b"/fw/fw.elf", firmware("parked.elf").encode()) if isinstance(data, bytes) else data

    def do_send(self, line):
        self.last = line
        if line.startswith(b"emulation CreateServerSocketTerminal"):
            self.before = listening_ports(self.console.process.pid)
        self.console.send(line)

    def do_receive(self, wanted):
        if isinstance(wanted, str):
            return self.receive_cut(wanted)
        self.assertEqual(self.console.read_exactly(len(wanted)), wanted)
        self.after_reply()

    def receive_cut(self, text):
        """Head, tail and length."""
        count = int(CUT.search(text)[1])
        head, tail = CUT.sub("\0", text).split("\0")
        got = self.console.read_exactly(count)
        self.assertEqual(repr(got)[:len(head)], head)
        self.assertEqual(repr(got)[-len(tail):], tail)
        self.assertEqual(len(got), count)

    def after_reply(self):
        """The recorder waited; we know when the guest is where it was."""
        if getattr(self, "last", b"").startswith(b"connector Connect"):
            self.uart = Stream((listening_ports(self.console.process.pid) - self.before).pop())
            self.addCleanup(self.uart.close)
        elif getattr(self, "last", b"") == b"start\n":
            self.uart.read_until(b"parked\n")

    def do_end(self, _data):
        self.assertEqual(self.console.read_end(), b"")

    def do_shutdown(self, _data):
        self.console.socket.shutdown(1)

    def do_exit(self, status):
        self.assertEqual(self.console.wait_exit(), int(status))

    def do_stderr(self, data):
        self.assertEqual(self.console.errors(), data)

    def test_commands(self):
        self.replay(0)

    def test_execute(self):
        self.replay(1)

    def test_execute_fails(self):
        self.replay(2)

    def test_the_record_is_whole(self):
        sessions = read_record()
        self.assertEqual([len(steps) for _, steps in sessions], [60, 8, 8])


# ---------------------------------------------------------------- start and console

class Start(Case):
    def run_to_end(self, *arguments, **environment):
        settings = {**os.environ, "HOME": self.directory, "XDG_CONFIG_HOME": self.directory, "TMPDIR": self.directory, **environment}
        return subprocess.run([PROGRAM, *arguments], stdin=subprocess.DEVNULL, capture_output=True, timeout=DEADLINE_S, env=settings)

    def test_bad_option(self):
        result = self.run_to_end(*OPTIONS, "--no-such-option")
        self.assertEqual(result.returncode, 0)
        self.assertIn(b"usage: ", result.stdout)
        self.assertNotIn(b"(monitor)", result.stdout)

    def test_console_and_hidden_monitor(self):
        result = self.run_to_end("--console", "--hide-monitor")
        self.assertEqual(result.returncode, 0)
        self.assertIn(b"--hide-monitor and --console cannot be set at the same time", result.stdout)

    def test_version(self):
        self.assertRegex(self.run_to_end("--version").stdout, rb"Renode v1\.\d+\.\d+")

    def test_unwritable_home(self):
        blocked = self.write("file", "")
        result = self.run_to_end(*OPTIONS, HOME=blocked, XDG_CONFIG_HOME=blocked)
        self.assertNotEqual(result.returncode, 0)
        self.assertIn(b"xception", result.stderr + result.stdout)

    def test_temporary_directories(self):
        """Those of dead processes go, whoever made them; another's that lives, and other names, stay."""
        tmp = self.path("tmp")
        dead = subprocess.Popen(["true"])
        dead.wait()
        for name in (f"renode-{dead.pid}", "renode-x", f"renode-{os.getpid()}", "pwemu-renode-1", "renode"):
            os.makedirs(os.path.join(tmp, name, "inside"))
        console = self.run_renode()
        console.read_prompt()
        left = set(os.listdir(tmp))
        self.assertEqual(left & {f"renode-{dead.pid}", "renode-x"}, set())
        self.assertLessEqual({f"renode-{os.getpid()}", "pwemu-renode-1", "renode"}, left)
        own = [name for name in left if name.startswith("renode-") and name != f"renode-{os.getpid()}"]
        self.assertEqual(own, [f"renode-{console.program_pid()}"])
        self.assertTrue(os.path.isdir(self.path("renode")))

    def test_launcher(self):
        """It does not exec: SIGTERM to it leaves an orphan, that still answers."""
        console = self.run_renode()
        console.read_prompt()
        child = console.program_pid()
        os.kill(console.process.pid, signal.SIGTERM)
        self.assertEqual(console.wait_exit(), -signal.SIGTERM)
        self.assertIn("Renode, version", console.command("version"))
        os.kill(child, signal.SIGKILL)
        self.assertEqual(console.read_end(), b"")

    def test_launcher_passes_the_status_on(self):
        console = self.run_renode()
        console.read_prompt()
        os.kill(console.program_pid(), signal.SIGKILL)
        self.assertEqual(console.wait_exit(), 128 + signal.SIGKILL)


class Monitor(Case):
    def open(self, *arguments):
        console = self.run_renode(*arguments)
        console.read_prompt()
        return console

    def test_line_ends(self):
        """Each of \\r and \\n is an Enter."""
        console = self.open()
        console.send(b"\r\n")
        self.assertEqual(console.read_exactly(2 * len(b"\n\r(monitor) ")), b"\n\r(monitor) \n\r(monitor) ")
        console.send(b"foo\r")
        self.assertEqual(console.read_prompt(), b"foo\n\rNo such command or device: foo\r\n(monitor) ")

    def test_control_d(self):
        console = self.open()
        console.send(b"versio\x04n\n")
        self.assertIn(b"Renode, version", console.read_prompt())
        console.send(b"\x04")
        self.assertEqual(console.read_end(), b"^D\n\r")
        self.assert_clean_end(console)

    def test_control_c(self):
        console = self.open()
        console.send(b"vers\x03")
        self.assertEqual(console.read_prompt(), b"vers^C\n\r(monitor) ")

    def test_end_of_input(self):
        console = self.open()
        console.socket.shutdown(1)
        self.assertEqual(console.read_end(), b"")
        self.assert_clean_end(console)

    def test_first_error_ends_the_line(self):
        console = self.open()
        reply = console.command('mach create "m"; foo; mach clear')
        self.assertEqual(reply, "No such command or device: foo\r\n")
        console.send(b"\n")
        self.assertEqual(console.read_prompt(), b"\n\r(m) ")

    def test_machines(self):
        console = self.open()
        console.command("mach create")
        console.send(b"\n")
        self.assertEqual(console.read_prompt(), b"\n\r(machine-0) ")
        console.command('mach add "other"')
        self.assertIn("Current machine: machine-0", console.command("mach"))
        console.command('mach set "other"')
        self.assertIn("Current machine: other", console.command("mach"))
        console.command('mach rem "other"')
        self.assertIn("No machine selected.", console.command("mach"))
        self.assertEqual(console.command('mach set "other"'), "Machine other not found.\r\n")
        console.command("mach set 0; mach clear")
        self.assertEqual(console.command("machine IsPaused"), "No such command or device: machine\r\n")

    def test_no_tokens(self):
        console = self.open()
        self.assertEqual(console.command("version !"), "Could not tokenize here:\r\nversion !\r\n        ^\r\n")

    def test_script(self):
        script = self.write("a script.resc", 'mach create "scripted"\nmacro reset\n"""\n    version\n"""\nfoo\nmach clear\n')
        console = self.open()
        self.assertIn("No such command or device: foo", console.command("include @" + script.replace(" ", "\\ ")))
        console.send(b"\n")
        self.assertEqual(console.read_prompt(), b"\n\r(scripted) ")
        self.assertIn("Renode, version", console.command("runMacro $reset"))

    def test_script_argument(self):
        console = self.run_renode(self.write("s.resc", 'mach create "scripted"\n'))
        data = b""
        while b"(scripted) " not in data:
            data += console.read_prompt()
        self.assertRegex(data, rb"\(monitor\) i @.*s\.resc\n\r\(scripted\) $")

    def test_relative_script_argument(self):
        self.write("s.resc", 'mach create "scripted"\n')
        console = self.run_renode("s.resc", cwd=self.directory)
        data = b""
        while b"(scripted) " not in data:
            data += console.read_prompt()
        self.assertIn(b"(monitor) i $CWD/s.resc\n\r(scripted) ", data)

    def test_log_file(self):
        console = self.open()
        self.assertEqual(console.command(f"logFile @{self.path('log')} true"), "")
        self.assertEqual(console.command("logLevel 0"), "")
        self.assertTrue(os.path.exists(self.path("log")))

    def test_log_file_that_exists(self):
        """It is moved away, whatever it is: a FIFO too."""
        os.mkfifo(self.path("log"))
        console = self.open()
        self.assertEqual(console.command(f"logFile @{self.path('log')} true"), "")
        self.assertTrue(os.path.isfile(self.path("log")))
        self.assertFalse(os.path.isfile(self.path("log.1")))
        self.assertTrue(os.path.exists(self.path("log.1")))

    def test_help(self):
        console = self.open()
        self.assertIn("peripherals", console.command("help"))
        self.assertTrue(console.command("help start").startswith("start [ s ]\r\r\nstarts the emulation.\r\n\r"))


# ---------------------------------------------------------------- platforms, properties

class Platform(Case):
    def load(self, path, **settings):
        console = self.run_renode(**settings)
        console.read_prompt()
        console.command('mach create "m"')
        return console, console.command(f"machine LoadPlatformDescription @{path}")

    def test_own_file(self):
        console, reply = self.load(self.write("own.repl", 'using "platforms/cpus/stm32f4.repl"\n'))
        self.assertEqual(reply, "")
        self.assertEqual(console.value("sysbus.usart2 BaudRate"), "0x00000000")

    def test_bad_file(self):
        reply = self.load(self.write("bad.repl", "}{ nonsense\n"))[1]
        self.assertIn("There was an error executing command 'machine LoadPlatformDescription", reply)
        self.assertIn("Error E", reply)

    def test_download(self):
        """In a network namespace without a way out it fails; the rest of the platform is there."""
        address = "https://dl.antmicro.com/projects/renode/svd/STM32F40x.svd.gz"
        path = self.write("own.repl", f'using "platforms/cpus/stm32f4.repl"\n\nsysbus:\n    init:\n        ApplySVD @{address}\n')
        console, reply = self.load(path, prefix=("unshare", "--user", "--map-root-user", "--net"))
        self.assertIn(f"Failed to download {address}, see log for details.\r\n", reply)
        self.assertEqual(console.value("machine IsPaused"), "True")

    @only_fake
    def test_download_of_a_board(self):
        """The real boards want their SVD files too; as those are all that the fake lacks, only when told to."""
        console, reply = self.load("platforms/boards/stm32f4_discovery-kit.repl", prefix=("unshare", "--user", "--map-root-user", "--net"),
                                   FAKE_RENODE_SVD="1")
        self.assertIn("Failed to download https://", reply)
        self.assertEqual(console.value("machine IsPaused"), "True")

    def test_twice(self):
        console, _ = self.load("platforms/boards/stm32f4_discovery-kit.repl")
        reply = console.command(f"machine LoadPlatformDescription {BOARD}")
        self.assertIn("There was an error executing command", reply)

    def test_riscv(self):
        console = self.run_renode()
        stream = console.start_board(firmware("hello.elf", "sifive-fe310"), "@platforms/cpus/sifive-fe310.repl", "uart0")
        self.addCleanup(stream.close)
        console.command("start")
        self.assertEqual(stream.read_until(b"\n"), b"hello from sifive-fe310\n")

    def test_export(self):
        console, _ = self.load("platforms/boards/stm32f4_discovery-kit.repl")
        console.command(f"peripherals export @{self.path('tree.json')}")
        with open(self.path("tree.json"), encoding="utf-8") as file:
            self.assertIn("usart2", file.read())


class Properties(Case):
    def setUp(self):
        super().setUp()
        self.console, _ = self.start_board(None)

    def test_listing(self):
        text = self.console.command("cpu")
        self.assertIn(" - UInt32 PerformanceInMips\r\n\r     available for 'get' and 'set'\r\n\r", text)
        self.assertIn(" - Boolean IsHalted\r\n\r     available for 'get' and 'set'\r\n\r", text)
        self.assertIn(" - String Model\r\n\r", text)
        self.assertIn("Usage:\r\n\r - get: sysbus.cpu PropertyName\r\n\r", text)

    def test_read_only(self):
        before = self.console.value("sysbus.usart2 BaudRate")
        self.assertEqual(self.console.value("usart2 BaudRate 9600"), before)

    def test_enum(self):
        self.assertTrue(self.console.command("usart2 ParityBit").startswith("None\r\r\n\r\n\rPossible values are:\r\n\tOdd\r\n"))

    def test_set(self):
        self.assertEqual(self.console.command("cpu IsHalted true"), "")
        self.assertEqual(self.console.value("cpu IsHalted"), "True")
        self.assertEqual(self.console.value("cpu Model"), "cortex-m4")

    def test_wrong(self):
        reply = self.console.command("sysbus.usart2 Nothing")
        self.assertIn("sysbus.usart2 does not provide a field, method or property Nothing.\r\n", reply)
        self.assertIn("Could not convert", self.console.command("cpu PerformanceInMips true"))

    def test_memory(self):
        self.console.command("sysbus WriteDoubleWord 0x20000000 0x12345678")
        self.assertEqual(self.console.value("sysbus ReadDoubleWord 0x20000000"), "0x12345678")
        self.assertEqual(self.console.value("sysbus ReadByte 0x20000001"), "0x56")


if __name__ == "__main__":
    unittest.main()
