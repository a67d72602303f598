# SPDX-License-Identifier: Apache-2.0
"""The CPU of a machine: a QEMU that runs exactly while everything that could hold the CPU lets it.

`lock` is held by whoever looks at or changes anything here. Only sync() lets QEMU run; only stop() stops it.
"""
import contextlib
import os
import signal
import threading

from renode_fake.qemu import Gone, Qemu
from renode_fake.stub import Stub

STOP_REPLIES = (b"T05", b"S05")


class Engine:
    def __init__(self, board, log, may_run):
        self.board = board
        self.log = log
        self.may_run = may_run  # () -> is the emulation started, the machine not paused
        self.lock = threading.RLock()
        self.halted = False  # IsHalted
        self.stepping = False  # a debugger has the CPU
        self.paused = False  # a debugger's Ctrl-C, until `cpu Resume`
        self.has_pc = False
        self.vectors = None  # where a Cortex-M finds stack pointer and PC when it starts
        self.running = False
        self.stub = None  # of a debugger's session
        self.missed_stop = None  # a breakpoint's stop reply that stop() came across
        self.on_guest_reset = lambda: None
        self.uarts = board.make_uarts()
        self.start_qemu()

    def start_qemu(self):
        self.qemu = Qemu(self.board.program, self.board.arguments, len(self.uarts))
        self.running = False
        for uart, end in zip(self.uarts, self.qemu.uarts):
            uart.plug(end)
        threading.Thread(target=self.watch, args=(self.qemu,), daemon=True, name="watch").start()

    def watch(self, qemu):
        """A reset by the guest; the end of QEMU (a lockup), which is an abort of the CPU."""
        while True:
            event = qemu.events.get()
            if event == "gone":
                if qemu.process.wait() == -signal.SIGKILL and qemu is self.qemu and not qemu.is_unwanted:
                    os.kill(os.getpid(), signal.SIGKILL)  # the real one is a single process
                with self.lock:
                    if qemu is self.qemu:
                        self.running, self.halted = False, True
                self.log("ERROR", "cpu: CPU abort: lockup")
                return
            with self.lock:
                if qemu is self.qemu:
                    if self.stub and self.running and self.stub.has_packet(1):
                        self.stub.receive()  # that it stopped: of no interest to the debugger, it goes on
                    self.running = False
                    self.on_guest_reset()

    # ------------------------------------------------------------ running and stopping

    def sync(self):
        with self.lock:
            if not self.may_run() or self.paused or self.stepping:
                return self.stop()
            if not self.has_pc and not self.halted and not self.take_vectors():
                self.log("ERROR", "cpu: PC does not lie in memory or PC and SP are equal to zero. CPU was halted.")
                self.halted = True
            if self.halted:
                return self.stop()
            return self.run()

    def run(self):
        if self.running:
            return
        self.running = True
        with contextlib.suppress(Gone, OSError):
            if self.stub:
                self.stub.send(b"c")
            else:
                self.qemu.ask("cont")

    def stop(self):
        """Returns with all that the guest has printed taken from QEMU: hangs while a terminal's reader does not."""
        if not self.running:
            return
        self.running = False
        with contextlib.suppress(Gone, OSError):
            self.qemu.ask("stop")
            if self.stub:
                reply = self.stub.receive()
                if reply[:3] in STOP_REPLIES:
                    self.missed_stop = reply
        for uart in self.uarts:
            uart.wait_idle()

    def is_gone(self):
        return self.qemu.process.poll() is not None

    def reset(self):
        """The caller loads an image and lets sync() do the rest."""
        with self.lock:
            self.stop()
            self.halted = self.has_pc = False
            self.vectors = None
            if self.is_gone():
                self.start_qemu()
            else:
                self.qemu.reset()

    def end(self):
        with self.lock:
            self.stop()
            self.qemu.kill()

    # ------------------------------------------------------------ memory and registers

    @contextlib.contextmanager
    def debugging(self):
        """QEMU's stub for a moment."""
        with self.lock:
            if self.is_gone():
                raise Gone("The CPU has aborted; only a reset of the machine helps.")
            was_running = self.running
            self.stop()
            stub = self.stub or Stub(self.qemu.gdb_address)
            try:
                yield stub
            finally:
                if stub is not self.stub:
                    stub.close()
                if was_running and not self.missed_stop:
                    self.run()

    def remove_points(self):
        """A debugger's breakpoints are hooks of the CPU, and stay when it goes."""
        with self.debugging() as stub:
            stub.ask(b"?")

    def write(self, address, data):
        with self.debugging() as stub:
            for at in range(0, len(data), 1024):
                piece = data[at:at + 1024]
                if stub.ask(b"M%x,%x:%s" % (address + at, len(piece), piece.hex().encode())) != b"OK":
                    raise RuntimeError(f"nothing to write to at 0x{address + at:X}")

    def read(self, address, length):
        with self.lock:
            text = self.qemu.hmp(f"xp /1x{ {1: 'b', 2: 'h', 4: 'w', 8: 'g'}[length] } {address}")
            value = text.rpartition(":")[2].strip()
            return int(value, 16) if value.startswith("0x") else 0

    def set_register(self, number, value):
        with self.debugging() as stub:
            stub.ask(b"P%x=%s" % (number, value.to_bytes(4, "little").hex().encode()))

    def get_pc(self):
        with self.lock:
            if not self.has_pc or self.is_gone():
                return 0
            text = self.qemu.hmp("info registers")
            for name in self.board.pc_names:
                at = text.find(name)
                if at >= 0:
                    return int(text[at + len(name):].split()[0], 16)
            return 0

    def set_pc(self, value):
        with self.lock:
            self.set_register(self.board.pc_number, value & ~1 if self.board.is_arm else value)
            self.has_pc = True

    def take_vectors(self):
        """A Cortex-M's first steps, or False."""
        if self.vectors is None:
            return False
        stack, start = self.read(self.vectors, 4), self.read(self.vectors + 4, 4)
        if not stack and not start:
            return False
        self.set_register(13, stack)
        self.set_register(25, 0x01000000)  # Thumb
        self.set_pc(start)
        return True

    def load(self, pieces, entry=None):
        """A Cortex-M takes nothing from an ELF but where it begins, and that only when it starts."""
        with self.lock:
            for address, data in pieces:
                self.write(address, data)
            if entry is None:
                return
            if not self.board.is_arm:
                self.set_pc(entry)
            elif self.vectors is None:
                self.vectors = min(address for address, _ in pieces)
