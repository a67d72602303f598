# SPDX-License-Identifier: Apache-2.0
"""The guest of the fake Renode: running and reset, terminals, gdb; and the knobs. As test_fake_renode.py for a real one too."""
import fcntl
import os
import select
import signal
import subprocess
import sys
import termios
import time
import tty
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

from renode_console import (BOARD, DEADLINE_S, QUIET_S, Case, Gdb, Stream, children_of, firmware, only_fake,  # noqa: E402
                            wait_for)


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
            stream.read_until(b"hello from stm32f4-discovery\n")
            console.command("machine Reset")
        stream.read_until(b"hello from stm32f4-discovery\n")
        self.assertEqual(console.value("machine IsPaused"), "False")

    def test_reset_while_paused(self):
        console, stream = self.start_board("hello.elf")
        console.command(f'macro reset "sysbus LoadELF @{firmware("hello.elf")}"')
        console.command("start")
        stream.read_until(b"\n")
        console.command("pause; machine Reset")
        self.assertTrue(stream.is_quiet())
        console.command("start")
        stream.read_until(b"hello from stm32f4-discovery\n")

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

    def test_lockup(self):
        """The CPU aborts, the rest lives; a reset makes a new one."""
        console, stream = self.start_board("lockup.elf")
        console.command("start")
        wait_for(lambda: console.value("cpu IsHalted") == "True", "the CPU to abort")
        self.assertEqual(console.value("machine IsPaused"), "False")
        console.command(f'macro reset "sysbus LoadELF @{firmware("hello.elf")}"')
        console.command("machine Reset")
        stream.read_until(b"hello from stm32f4-discovery\n")

    def test_binary_and_hex(self):
        for line in (f"LoadBinary @{firmware('hello.bin')} 0x08000000", f"LoadHEX @{firmware('hello.hex')}"):
            console, stream = self.start_board(None)
            console.command("sysbus " + line)
            console.command("cpu VectorTableOffset 0x08000000")
            console.command("start")
            stream.read_until(b"hello from stm32f4-discovery\n")

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
        for line in ('mach create "m"', f"machine LoadPlatformDescription {BOARD}",
                     f'emulation CreateUartPtyTerminal "serial0" "{link}" true', "connector Connect sysbus.usart2 serial0", f"sysbus LoadELF @{firmware(image)}", *more):
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
            self.assertEqual(self.read(fd, 29), b"hello from stm32f4-discovery\n")
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
        reply = console.command("machine StartGdbServer 0 false")
        self.assertIn("There was an error executing command", reply)
        self.assertIn(f"running on port :{self.port}\r\n", reply)
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
        stream.read_until(b"hello from stm32f4-discovery\n")

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
