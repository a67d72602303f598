# SPDX-License-Identifier: Apache-2.0
"""Emulated boards in tests and scripts, by pwemud. Takes the place of `pw_emu.frontend` and of the exceptions of `pw_emu.core`.

    from pwemu import TemporaryEmulator

    with TemporaryEmulator() as emu:
        emu.start("qemu-lm3s6965evb", "app.elf")
        emu.wait(match="ready")
"""

from pwemu.aio import AsyncEmulator, AsyncStream
from pwemu.emulator import Emulator
from pwemu.errors import (
    AlreadyRunning,
    ConfigError,
    Error,
    HandlesError,
    InvalidChannelName,
    InvalidChannelType,
    InvalidEmulator,
    InvalidProperty,
    InvalidPropertyPath,
    InvalidTarget,
    NotRunning,
    RunError,
    UnexpectedOutput,
    WrongEmulator,
)
from pwemu.streams import ChannelStream
from pwemu.temporary import AsyncTemporaryEmulator, TemporaryEmulator
from pwemu.values import End, Event, Party, Position

__version__ = "0.1.0"

__all__ = [
    "AlreadyRunning",
    "AsyncEmulator",
    "AsyncStream",
    "AsyncTemporaryEmulator",
    "ChannelStream",
    "ConfigError",
    "Emulator",
    "End",
    "Error",
    "Event",
    "HandlesError",
    "InvalidChannelName",
    "InvalidChannelType",
    "InvalidEmulator",
    "InvalidProperty",
    "InvalidPropertyPath",
    "InvalidTarget",
    "NotRunning",
    "Party",
    "Position",
    "RunError",
    "TemporaryEmulator",
    "UnexpectedOutput",
    "WrongEmulator",
]
