# SPDX-License-Identifier: Apache-2.0
"""The fake Renode against the recorded session of the real one, and against what else is known of it.

With PWEMU_TEST_RENODE=/path/to/renode the same is asked of a real one, save what only the fake can do.
"""
import ast
import fcntl
import os
import re
import select
import signal
import subprocess
import sys
import tempfile
import termios
import time
import tty
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

from renode_console import (BOARD, DEADLINE_S, FAKE, OPTIONS, PROGRAM, QUIET_S, REAL, Console, Gdb, Stream, children_of,  # noqa: E402
                            firmware, listening_ports, wait_for)

RECORD = os.path.join(os.path.dirname(FAKE), "renode-console.txt")
CUT = re.compile(r" \.\.\. \[(\d+) bytes in all\] \.\.\. ")
only_fake = unittest.skipIf(REAL, "optional: fake: a knob of the fake, or more than the real one's record says")


class Case(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="fake-renode-")
        self.addCleanup(directory.cleanup)
        self.directory = directory.name

    def run_renode(self, *arguments, **settings):
        console = Console(self.directory, *arguments, **settings)
        self.addCleanup(console.kill)
        return console

    def path(self, name):
        return os.path.join(self.directory, name)

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)
        return self.path(name)

    def start_board(self, image, **settings):
        """(console, what its UART prints): the emulation is not started."""
        console = self.run_renode()
        stream = console.start_board(firmware(image) if image else None, **settings)
        self.addCleanup(stream.close)
        return console, stream

    def assert_clean_end(self, console):
        self.assertEqual(console.wait_exit(), 0)
        self.assertEqual(console.errors(), b"")


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
        self.assertIn("sysbus.usart2 does not provide a field, method or property Nothing.\r\n", self.console.command("sysbus.usart2 Nothing"))
        self.assertIn("Could not convert", self.console.command("cpu PerformanceInMips true"))

    def test_memory(self):
        self.console.command("sysbus WriteDoubleWord 0x20000000 0x12345678")
        self.assertEqual(self.console.value("sysbus ReadDoubleWord 0x20000000"), "0x12345678")
        self.assertEqual(self.console.value("sysbus ReadByte 0x20000001"), "0x56")


# ---------------------------------------------------------------- running and reset

class Running(Case):
    def test_pause(self):
        console, stream = self.start_board("slow.elf")
        self.assertEqual(console.value("emulation IsStarted"), "False")
        console.command("start")
        stream.read_until(b"tick 2\n")
        console.command("pause")
        self.assertEqual(console.value("machine IsPaused"), "True")
        self.assertEqual(console.value("emulation IsStarted"), "False")
        self.assertTrue(stream.is_quiet())
        console.command("s")
        stream.read_until(b"tick ")

    def test_no_image(self):
        console, stream = self.start_board(None)
        console.command("start")
        self.assertEqual(console.value("cpu IsHalted"), "True")
        self.assertTrue(stream.is_quiet())

    def test_reset_without_macro(self):
        console, stream = self.start_board("hello.elf")
        console.command("start")
        stream.read_until(b"\n")
        console.command("machine Reset")
        self.assertEqual(console.value("cpu PC"), "0x0")
        self.assertEqual(console.value("cpu IsHalted"), "True")
        self.assertTrue(stream.is_quiet())

    def test_reset_with_macro(self):
        console, stream = self.start_board("hello.elf")
        console.command(f'macro reset "sysbus LoadELF @{firmware("hello.elf")}"')
        console.command("start")
        for _ in range(3):
            stream.read_until(b"hello from stm32f4_discovery\n")
            console.command("machine Reset")
        stream.read_until(b"hello from stm32f4_discovery\n")
        self.assertEqual(console.value("machine IsPaused"), "False")

    def test_reset_while_paused(self):
        console, stream = self.start_board("hello.elf")
        console.command(f'macro reset "sysbus LoadELF @{firmware("hello.elf")}"')
        console.command("start")
        stream.read_until(b"\n")
        console.command("pause; machine Reset")
        self.assertTrue(stream.is_quiet())
        console.command("start")
        stream.read_until(b"hello from stm32f4_discovery\n")

    def test_reset_by_the_guest(self):
        console, stream = self.start_board("reset.elf")
        console.command(f'macro reset "sysbus LoadELF @{firmware("reset.elf")}"')
        console.command("start")
        self.assertEqual(stream.read_until(b"boot 2\n"), b"boot 1\nboot 2\n")
        self.assertTrue(stream.is_quiet())

    def test_reset_by_the_guest_without_macro(self):
        console, stream = self.start_board("reset.elf")
        console.command("start")
        self.assertEqual(stream.read_until(b"\n"), b"boot 1\n")
        wait_for(lambda: console.value("cpu IsHalted") == "True", "the CPU to halt")
        self.assertTrue(stream.is_quiet())

    def test_binary_and_hex(self):
        for line in (f"LoadBinary @{firmware('hello.bin')} 0x08000000", f"LoadHEX @{firmware('hello.hex')}"):
            console, stream = self.start_board(None)
            console.command("sysbus " + line)
            console.command("cpu VectorTableOffset 0x08000000")
            console.command("start")
            stream.read_until(b"hello from stm32f4_discovery\n")

    def test_input(self):
        console, stream = self.start_board("echo.elf")
        console.command("start")
        stream.read_until(b"ready> ")
        stream.send(b"hello\r")
        stream.read_until(b"got: hello\r\nready> ")


# ---------------------------------------------------------------- terminals

class Terminals(Case):
    def start_pty(self, image, *more):
        """(console, the link): started, the slave raw but not read."""
        console = self.run_renode()
        console.read_prompt()
        link = self.path("serial link")
        for line in ('mach create "m"', f"machine LoadPlatformDescription {BOARD}", f'emulation CreateUartPtyTerminal "serial0" "{link}" true',
                     "connector Connect sysbus.usart2 serial0", f"sysbus LoadELF @{firmware(image)}", *more):
            self.assertEqual(console.command(line), "")
        self.set_raw(link)
        return console, link

    @staticmethod
    def set_raw(link):
        slave = os.open(link, os.O_RDWR | os.O_NOCTTY)
        tty.setraw(slave)
        os.close(slave)

    @staticmethod
    def read(fd, count):
        data, deadline = b"", time.monotonic() + DEADLINE_S
        while len(data) < count and select.select([fd], [], [], max(0, deadline - time.monotonic()))[0]:
            data += os.read(fd, count - len(data))
        return data

    def open(self, link):
        fd = os.open(link, os.O_RDWR | os.O_NOCTTY)
        self.addCleanup(os.close, fd)
        return fd

    def test_freeze(self):
        """Nobody reads: the guest stops after some KB, then pause waits; a reader gets every byte, and all goes on."""
        console, link = self.start_pty("seq.elf")
        console.command("start")
        fd = self.open(link)
        kept = self.wait_full(fd)
        self.assertLess(kept, 65536)
        console.send(b"pause\n")
        with self.assertRaises(TimeoutError):
            console.read_prompt(QUIET_S)
        data = self.read(fd, 200000)
        self.assertEqual(data, b"".join(b"%08x\n" % number for number in range(200000 // 9 + 1))[:len(data)])

    def wait_full(self, fd):
        """What the slave's buffer holds, once it grows no more."""
        last = -1
        while True:
            size = int.from_bytes(fcntl.ioctl(fd, termios.FIONREAD, b"\0\0\0\0"), sys.byteorder)
            if size and size == last:
                return size
            last = size
            select.select([], [], [], QUIET_S)

    def test_pause_ends_when_drained(self):
        console, link = self.start_pty("seq.elf")
        console.command("start")
        fd = self.open(link)
        self.wait_full(fd)
        console.send(b"pause\n")
        got = b""
        while not got.endswith(b"(m) "):
            ready = select.select([fd, console.socket], [], [], DEADLINE_S)[0]
            self.assertTrue(ready)
            if fd in ready:
                os.read(fd, 4096)
            if console.socket in ready:
                got += console.socket.recv(4096)
        self.assertEqual(got, b"pause\n\rPausing emulation...\r\n\r(m) ")

    def test_quit_hangs_too(self):
        console, link = self.start_pty("seq.elf")
        console.command("start")
        self.wait_full(self.open(link))
        console.send(b"quit\n")
        with self.assertRaises(subprocess.TimeoutExpired):
            console.process.wait(QUIET_S)

    def test_pause_leaves_nothing_behind(self):
        """What the guest printed before `pause` answered is in the terminal."""
        console, link = self.start_pty("slow.elf")
        fd = self.open(link)
        console.command("start")
        self.read(fd, len(b"tick 0\ntick 1\n"))
        console.command("pause")
        termios.tcflush(fd, termios.TCIFLUSH)
        self.assertFalse(select.select([fd], [], [], QUIET_S)[0])

    def test_backlog_and_reopening(self):
        console, link = self.start_pty("hello.elf")
        console.command("start")
        for _ in range(2):
            fd = os.open(link, os.O_RDWR | os.O_NOCTTY)
            self.assertEqual(self.read(fd, 29), b"hello from stm32f4_discovery\n")
            os.close(fd)
            console.command(f'macro reset "sysbus LoadELF @{firmware("hello.elf")}"')
            console.command("machine Reset")

    def test_input(self):
        console, link = self.start_pty("echo.elf")
        fd = self.open(link)
        console.command("start")
        self.assertEqual(self.read(fd, 7), b"ready> ")
        os.write(fd, b"a\xffb\r")
        self.assertEqual(self.read(fd, 15), b"a\xffb\r\ngot: a\xffb\r\n")

    @only_fake
    def test_uninitialised(self):
        """Who does not set the slave raw has echo, lines and changed bytes."""
        console = self.run_renode()
        console.read_prompt()
        console.command(f'emulation CreateUartPtyTerminal "serial0" "{self.path("link")}" true')
        flags = termios.tcgetattr(self.open(self.path("link")))
        self.assertTrue(flags[3] & termios.ECHO and flags[3] & termios.ICANON and flags[0] & termios.ISTRIP and flags[1] & termios.OPOST)

    def test_link_goes_with_quit(self):
        console, link = self.start_pty("silent.elf")
        self.assertTrue(os.path.islink(link))
        console.send(b"quit\n")
        self.assert_clean_end(console)
        self.assertFalse(os.path.lexists(link))

    def test_link_stays_after_a_signal(self):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            console, link = self.start_pty("silent.elf")
            os.kill(console.program_pid(), number)
            self.assertEqual(console.wait_exit(), 128 + number)
            self.assertTrue(os.path.islink(link))
            self.assertFalse(os.path.exists(link) and os.readlink(link) in os.listdir("/dev/pts"))

    def test_stale_link(self):
        os.symlink("/dev/pts/none", self.path("link"))
        console = self.run_renode()
        console.read_prompt()
        create = f'emulation CreateUartPtyTerminal "serial0" "{self.path("link")}"'
        self.assertIn("already exists", console.command(create))
        self.assertEqual(console.command(create + " true"), "")

    def test_socket_keeps_everything(self):
        """Far more than a PTY: nobody connected, and the guest runs on."""
        console = self.run_renode()
        console.read_prompt()
        port = console.new_ports('mach create "m"', f"machine LoadPlatformDescription {BOARD}",
                                 'emulation CreateServerSocketTerminal 0 "serial0" false', "connector Connect sysbus.usart2 serial0",
                                 f"sysbus LoadELF @{firmware('seq.elf')}")[0]
        console.command("start")
        stream = Stream(port)
        stream.read_until(b"%08x\n" % 9000)
        stream.close()
        stream = Stream(port)
        self.addCleanup(stream.close)
        stream.read_until(b"%08x\n" % 30000)


# ---------------------------------------------------------------- gdb

class GdbServer(Case):
    def start_server(self, image="slow.elf", arguments="0 false", start=True):
        console, stream = self.start_board(image)
        self.port = console.new_ports(f"machine StartGdbServer {arguments}")[0]
        if start:
            console.command("start")
            stream.read_until(b"\n")
        return console, stream

    def attach(self):
        gdb = Gdb(self.port)
        self.addCleanup(gdb.close)
        gdb.ask(b"?")
        return gdb

    def test_attach_and_close(self):
        _, stream = self.start_server()
        gdb = self.attach()
        self.assertTrue(stream.is_quiet())
        self.assertEqual(gdb.ask(b"D"), b"OK")
        self.assertTrue(stream.is_quiet())
        gdb.close()
        stream.read_until(b"tick ")

    def test_continue_and_interrupt(self):
        console, stream = self.start_server()
        gdb = self.attach()
        gdb.post(b"c")
        stream.read_until(b"tick ")
        gdb.send(b"\x03")
        self.assertTrue(gdb.packet().startswith((b"S02", b"T02")))
        gdb.close()
        self.assertTrue(stream.is_quiet())
        self.assertEqual(console.value("machine IsPaused"), "False")
        console.command("cpu Resume")
        stream.read_until(b"tick ")

    def test_interrupt_then_continue(self):
        _, stream = self.start_server()
        gdb = self.attach()
        gdb.post(b"c")
        gdb.send(b"\x03")
        gdb.packet()
        gdb.post(b"c")
        stream.read_until(b"tick ")

    def test_not_started(self):
        """`c` runs nothing while the emulation does not."""
        console, stream = self.start_server(start=False)
        gdb = self.attach()
        gdb.post(b"c")
        self.assertTrue(stream.is_quiet())
        self.assertEqual(console.value("emulation IsStarted"), "False")
        console.command("start")
        stream.read_until(b"tick ")

    def test_autostart(self):
        """Unless told otherwise the first client starts the emulation; the CPU waits for it."""
        console, stream = self.start_server(arguments="0", start=False)
        gdb = self.attach()
        wait_for(lambda: console.value("emulation IsStarted") == "True", "the start")
        self.assertTrue(stream.is_quiet())
        gdb.close()
        stream.read_until(b"tick ")

    def test_second_server(self):
        console, _ = self.start_server()
        self.assertIn("There was an error executing command", console.command("machine StartGdbServer 0 false"))
        self.assertEqual(console.command("machine StopGdbServer"), "")
        self.assertEqual(len(console.new_ports("machine StartGdbServer 0 false")), 1)

    def test_one_client(self):
        _, stream = self.start_server()
        first = self.attach()
        second = Gdb(self.port)
        self.addCleanup(second.close)
        second.post(b"?")
        self.assertTrue(second.is_quiet())
        first.close()
        second.data = b""
        self.assertTrue(second.packet().startswith((b"S", b"T")))

    def test_breakpoint(self):
        _, stream = self.start_server("hello.elf", start=False)
        gdb = self.attach()
        main = self.address_of("main", "hello.elf")
        self.assertEqual(gdb.ask(b"Z1,%x,2" % main), b"OK")
        gdb.post(b"c")
        self.console_of_last().command("start")
        self.assertTrue(gdb.packet().startswith(b"T05"))
        self.assertEqual(gdb.ask(b"pf"), (main).to_bytes(4, "little").hex().encode())
        self.assertTrue(stream.is_quiet())
        gdb.ask(b"z1,%x,2" % main)
        gdb.post(b"c")
        stream.read_until(b"hello from stm32f4_discovery\n")

    def console_of_last(self):
        return self.consoles[-1]

    def run_renode(self, *arguments, **settings):
        self.consoles = [*getattr(self, "consoles", []), super().run_renode(*arguments, **settings)]
        return self.consoles[-1]

    @staticmethod
    def address_of(symbol, image):
        text = subprocess.run(["arm-none-eabi-nm", firmware(image)], capture_output=True, text=True, check=True).stdout
        return next(int(line.split()[0], 16) & ~1 for line in text.splitlines() if line.split()[-1] == symbol)

    def test_monitor(self):
        self.start_server()
        gdb = self.attach()
        reply = gdb.ask(b"qRcmd," + b"emulation IsStarted".hex().encode())
        self.assertEqual(bytes.fromhex(reply[1:].decode()).strip(), b"True")
        self.assertEqual(gdb.packet(), b"OK")

    def test_pause_tells_gdb(self):
        console, stream = self.start_server()
        gdb = self.attach()
        gdb.post(b"c")
        stream.read_until(b"tick ")
        console.command("pause")
        self.assertTrue(gdb.packet().startswith((b"S02", b"T02")))

    def test_real_gdb(self):
        self.start_server("parked.elf")
        result = subprocess.run(["gdb-multiarch", "-nx", "-batch", firmware("parked.elf"), "-ex", f"target remote 127.0.0.1:{self.port}",
                                 "-ex", "info registers pc", "-ex", "x/i $pc", "-ex", "monitor version", "-ex", "detach"],
                                capture_output=True, text=True, timeout=DEADLINE_S)
        self.assertIn("0x80000bc", result.stdout, result)
        self.assertIn("Renode, version", result.stdout + result.stderr, result)


# ---------------------------------------------------------------- the fake's own

def is_dead(pid):
    """A zombie is: whether somebody reaps it is not ours to say."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@only_fake
class Knobs(Case):
    def test_hang(self):
        console = self.run_renode(FAKE_RENODE_HANG="mach clear")
        console.read_prompt()
        console.command("version")
        console.send(b"mach clear\n")
        with self.assertRaises(TimeoutError):
            console.read_prompt(QUIET_S)

    def test_crash(self):
        console = self.run_renode(FAKE_RENODE_CRASH="version")
        console.read_prompt()
        console.send(b"version\n")
        self.assertEqual(console.wait_exit(), 128 + signal.SIGABRT)

    def test_times(self):
        begin = time.monotonic()
        console = self.run_renode(FAKE_RENODE_START_MS="400", FAKE_RENODE_DELAY="version:400")
        console.read_prompt()
        self.assertGreater(time.monotonic() - begin, 0.4)
        begin = time.monotonic()
        console.command("version")
        self.assertGreater(time.monotonic() - begin, 0.4)

    def test_load_is_silent(self):
        console = self.run_renode(FAKE_RENODE_LOAD_MS="600")
        console.read_prompt()
        console.command('mach create "m"')
        console.send(f"machine LoadPlatformDescription {BOARD}\n".encode())
        with self.assertRaises(TimeoutError):
            console.read_prompt(0.3)
        self.assertEqual(console.read_prompt()[-4:], b"(m) ")

    def test_qemu_dies_with_it(self):
        console, _ = self.start_board("slow.elf")
        child = console.program_pid()
        qemu = wait_for(lambda: list(children_of(child)), "QEMU")
        os.kill(child, signal.SIGKILL)
        for pid in qemu:
            wait_for(lambda pid=pid: is_dead(pid), "QEMU to die")


if __name__ == "__main__":
    unittest.main()
