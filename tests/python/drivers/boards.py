# SPDX-License-Identifier: Apache-2.0
"""What differs between the drivers, and nothing else: a board for each. The suite's tests know a board by its members alone.

QEMU needs nothing. Renode is the one of $PWEMU_TEST_RENODE, a path, or the fake of tests/fake; where neither is there its suites are
skipped."""

import os

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "../../.."))
FIRMWARE = os.path.abspath(os.environ.get("PWEMU_FIRMWARE", os.path.join(ROOT, "build/firmware")))

KIB = 1024


class Property:
    """A property of a device: how it is named, and the row that lists it."""

    def __init__(self, path, name, **row):
        self.path, self.name = path, name
        self.row = dict(row, name=name)


class Board:
    """A Cortex-M4 with a serial port that the test firmware knows, on one emulator."""

    driver = ""  # as in `emulator` of status
    firmware_board = ""  # the directory of its images
    program = ""  # the emulator's, as its processes show it
    console = ""  # the channel that the firmware prints on
    consoles = ()  # (channel, text) for each port that uarts.elf prints on
    controls = ()  # channels besides serials and "emulator"
    memory = [
        {"name": "flash", "base": "0x08000000", "size": "1M", "boot": True},
        {"name": "sram", "base": "0x20000000", "size": "128K"},
    ]

    number = None  # Property: can be read, a whole number
    writable = None  # Property: can be read and written, a whole number
    values = ()  # two of them
    read_only = None  # Property: can be read alone
    no_path = ""  # no device
    monitor_prompt = b""
    monitor_question, monitor_answer = b"", b""
    monitor_quit = b""

    bad_machine = ""
    bad_machine_says = ""  # the emulator's own words
    bad_option_says = ""

    output = 0  # so many bytes are printed in a moment
    block = 0  # so many bytes are typed in a moment
    start_s = 0.0  # about what a start takes
    answer_ms = 0  # within this time it answers when it is well

    def missing(self):
        """Why there is no such emulator; None if there is one."""
        return None

    def firmware(self, name):
        return name if "/" in name else os.path.join(FIRMWARE, self.firmware_board, name)

    def channels(self):
        return [name for name, _ in self.consoles] + ["emulator", *self.controls]

    def emulator(self, types, **changes):
        """The key of the driver in a target; types: {channel: "tcp" or "pty"}."""
        raise NotImplementedError

    def target(self, types=None, **changes):
        """In a pwemu.json: all that pwemu has for a board. `changes` are those of the emulator's keys."""
        return {"architecture": "arm", "cpu": "cortex-m4", "memory": self.memory, "gdb": ["gdb-multiarch"],
                self.driver: self.emulator(types or {}, **changes)}

    def pigweed_target(self, types=None, **changes):
        """In a pigweed.json: what pw_emu knows."""
        return {self.driver: self.emulator(types or {}, **changes)}


class Qemu(Board):
    driver = "qemu"
    firmware_board = "netduinoplus2"
    program = "qemu-system-arm"
    console = "usart1"
    consoles = (("usart1", b"uart0\n"), ("usart2", b"uart1\n"))
    controls = ("gdb", "monitor", "qmp")

    number = Property("/machine", "phandle-start", type="int")
    writable = number
    values = (16, 4096)
    read_only = Property("/machine", "type", type="string")
    no_path = "/machine/nothing"
    monitor_prompt = b"(qemu) "
    monitor_question, monitor_answer = b"info status", b"VM status: running"
    monitor_quit = b"quit"

    bad_machine = "no-such-machine"
    bad_machine_says = "unsupported machine type"
    bad_option_says = "no-such-option"

    output = 300 * KIB
    block = 64 * KIB
    start_s = 0.1
    answer_ms = 600

    def emulator(self, types, **changes):
        chardevs = {name: dict({"id": f"serial{n}"}, **({"type": types[name]} if name in types else {}))
                    for n, (name, _) in enumerate(self.consoles)}
        return {"executable": self.program, "machine": "netduinoplus2", "channels": {"type": "none", "chardevs": chardevs}, **changes}


class Renode(Board):
    driver = "renode"
    firmware_board = "stm32f4-discovery"
    console = "usart2"
    consoles = (("usart2", b"uart0\n"),)
    controls = ("gdb", "monitor")

    number = Property("sysbus.usart2", "BaudRate", type="UInt32", readable=True, writable=False)
    writable = Property("sysbus.cpu", "PerformanceInMips", type="UInt32", readable=True, writable=True)
    values = (50, 100)
    read_only = number
    no_path = "sysbus.nothing"
    monitor_prompt = b") "  # (the machine's name)
    monitor_question, monitor_answer = b"version", b"Renode, version "
    monitor_quit = b"quit"

    bad_machine = "/nowhere/no_such_board.repl"
    bad_machine_says = "Could not find file"
    bad_option_says = "refused to start"  # it shows its usage and ends with 0

    output = 20 * KIB
    block = 16 * KIB
    start_s = 4.0
    answer_ms = 3000

    def __init__(self, has_network=bool(os.environ.get("PWEMU_TEST_RENODE"))):
        """The real one's board asks for descriptions of its registers, by https."""
        self.keys = {"isolate": "off"} if has_network else {}
        fake = os.path.join(ROOT, "tests/fake/renode")
        self.executable = os.environ.get("PWEMU_TEST_RENODE") or fake
        self.program = os.path.basename(self.executable)

    def target(self, types=None, **changes):
        return {**super().target(types, **changes), **self.keys}

    def pigweed_target(self, types=None, **changes):
        return {**super().pigweed_target(types, **changes), **self.keys}

    def missing(self):
        if not os.access(self.executable, os.X_OK):
            return f"there is no {self.executable}; PWEMU_TEST_RENODE names another one"
        return None

    def emulator(self, types, **changes):
        terminals = {name: dict({"device-path": "sysbus." + name}, **({"type": types[name]} if name in types else {}))
                     for name, _ in self.consoles}
        return {"executable": self.executable, "machine": "platforms/boards/stm32f4_discovery-kit.repl",
                "channels": {"type": "none", "terminals": terminals}, **changes}


BOARDS = {board.driver: board for board in (Qemu, Renode)}
