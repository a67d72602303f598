# SPDX-License-Identifier: Apache-2.0
"""Renode's platform files that this fake knows, and the QEMU machine that plays each."""
import os
import re

from renode_fake import peripherals
from renode_fake.terminals import Uart


class Board:
    def __init__(self, row):
        self.program, self.arguments, self.kind, self.architecture, self.model, self.svd, self.uarts, self.tree = row
        self.is_arm = self.architecture == "arm-m"
        self.pc_names, self.pc_number = (("R15=",), 15) if self.is_arm else ((" pc ",), 32)

    def make_uarts(self):
        return [Uart(name, address) for name, address in self.uarts]


STM32F4 = ("qemu-system-arm", ("-M", "netduinoplus2"), "STM32_UART", "arm-m", "cortex-m4", "STM32F40x", (
    ("usart1", 0x40011000), ("usart2", 0x40004400), ("usart3", 0x40004800), ("uart4", 0x40004c00), ("uart5", 0x40005000)))
FE310 = ("qemu-system-riscv32", ("-M", "sifive_e", "-bios", "none"), "SiFive_UART", "rv32", "rv32imac_zicsr_zifencei", "FE310", (
    ("uart0", 0x10013000), ("uart1", 0x10023000)))

BOARDS = {
    "platforms/boards/stm32f4_discovery-kit.repl": (*STM32F4, peripherals.DISCOVERY),
    "platforms/boards/stm32f4_discovery.repl": (*STM32F4, peripherals.STM32F4),
    "platforms/cpus/stm32f4.repl": (*STM32F4, peripherals.STM32F4),
    "platforms/cpus/sifive-fe310.repl": (*FE310, peripherals.FE310),
    "platforms/boards/hifive1.repl": (*FE310, peripherals.FE310),
}

SVD_ADDRESS = "https://dl.antmicro.com/projects/renode/svd/{}.svd.gz"
USING = re.compile(r'^\s*using\s+"([^"]*)"')
SVD = re.compile(r"\bApplySVD\s+@(https?://\S+)")
ENTRY = re.compile(r"^([A-Za-z_]\w*)\s*:(\s*(\S+)\s*@\s*\S.*)?$")


class BadPlatform(Exception):
    """As Renode tells it: code, what, where."""

    def __init__(self, code, text, path, number, line, column=1):
        super().__init__(f"Error E{code:02}: {text}\r\nAt {path}:{number}:{column}:\r\n{line}\r\n" + " " * (column - 1) + "^")


class Platform:
    """A board, and what its files ask to be fetched."""

    def __init__(self, board, downloads):
        self.board = board
        self.downloads = downloads


def known(path):
    """The board of a file of Renode's own: no such file is on this machine."""
    for name, row in BOARDS.items():
        if path == name or path.endswith("/" + name) and not os.path.exists(path):
            return Board(row)
    return None


def exists(path):
    return known(path) is not None or os.path.isfile(path)


def read(path):
    board = known(path)
    if board:
        return Platform(board, [SVD_ADDRESS.format(board.svd)] if os.environ.get("FAKE_RENODE_SVD") else [])
    downloads = []
    with open(path, encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file.read().splitlines(), 1):
            board = read_line(path, number, line, downloads, board)
    if board is None:
        raise BadPlatform(0, "This fake knows only platform files that are `using` a known one: " + ", ".join(BOARDS), path, 1, "")
    return Platform(board, downloads)


def read_line(path, number, line, downloads, board):
    """The board so far. Only the shape of a line is looked at."""
    using = USING.match(line)
    if using:
        board = known(using[1])
        if board is None:
            raise BadPlatform(24, f"Using '{using[1]}' does not exist.", path, number, line, line.find('"') + 1)
        return board
    downloads += SVD.findall(line)
    text = line.partition("//")[0].rstrip()
    if text and not text[0].isspace() and text[0] not in "/*}" and not ENTRY.match(text):
        raise BadPlatform(2, f"Syntax error, unexpected '{text[0]}'; expected end of input.", path, number, line)
    return board


def has_way_out():
    """Is there a default route in this network namespace?"""
    with open("/proc/self/net/route", encoding="ascii") as file:
        return any(line.split()[1] == "00000000" and line.split()[0] != "lo" for line in file.read().splitlines()[1:])
