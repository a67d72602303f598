# SPDX-License-Identifier: Apache-2.0
"""Exceptions: those of `pw_emu.core`, with its constructors and the meaning of its texts, and what the daemon's answers become.

Every exception is an `Error`. Where the daemon had more to say (the nearest names, what to do), that is in `details` and in the text.
"""

from __future__ import annotations

import pathlib
from typing import Callable, Dict, Iterable, NamedTuple, Optional

import grpc

__all__ = [
    "AlreadyRunning",
    "ConfigError",
    "Error",
    "HandlesError",
    "InvalidChannelName",
    "InvalidChannelType",
    "InvalidEmulator",
    "InvalidProperty",
    "InvalidPropertyPath",
    "InvalidTarget",
    "NotRunning",
    "RunError",
    "UnexpectedOutput",
    "WrongEmulator",
]


class Error(Exception):
    """Anything that was refused or failed; `pw_emu.core.Error`.

    Attributes:
        details: what the daemon said, for people; empty if nothing.
        reason: the daemon's word for it, for programs ("not-running"); empty if none.
    """

    details: str = ""
    reason: str = ""

    def __str__(self) -> str:
        text = super().__str__()
        return f"{text}: {self.details}" if text and self.details else text or self.details


class ConfigError(Error):
    """The configuration is missing or wrong. `details` or `err` name file, line and JSON path."""

    def __init__(self, config: Optional[pathlib.Path], err: str) -> None:
        self.config = config
        self.err = err
        super().__init__(f"{config}: {err}" if config is not None else err)


class InvalidTarget(ConfigError):
    """No such target, neither in the configuration nor among the presets.

    A `ConfigError` too, since that is what `pw_emu.frontend.Emulator.start` raises for it.
    """

    def __init__(self, config: Optional[pathlib.Path], emu: Optional[str], target: str) -> None:
        self.emu = emu
        self.target = target
        super().__init__(config, f"invalid target `{target}`" + (f" for `{emu}`" if emu else ""))


class AlreadyRunning(Error):
    """An emulator runs in the working directory already."""

    def __init__(self, wdir: pathlib.Path) -> None:
        self.wdir = wdir
        super().__init__(f"{wdir}: emulator already started")


class NotRunning(Error):
    """No emulator runs in the working directory."""

    def __init__(self, wdir: pathlib.Path) -> None:
        self.wdir = wdir
        super().__init__(f"{wdir}: emulator not started")


class InvalidEmulator(Error):
    """No such emulator."""

    def __init__(self, emu: str) -> None:
        self.emu = emu
        super().__init__(f"invalid emulator `{emu}`")


class InvalidChannelName(Error):
    """The instance has no such channel."""

    def __init__(self, name: str, target: str, valid: Iterable[str]) -> None:
        self.name = name
        self.target = target
        self.valid = list(valid)
        super().__init__(f"`{name}` is not a valid device name for `{target}`; try: {' '.join(self.valid)}")

    def about(self, target: str, valid: Iterable[str]) -> "InvalidChannelName":
        """The same, once more is known."""
        result = InvalidChannelName(self.name, target, valid)
        result.reason = self.reason
        return result


class InvalidChannelType(Error):
    """The channel is of another type: it has a path and no address, or the other way round."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"`{name}` is not a valid channel type")


class WrongEmulator(Error):
    """Another emulator runs than the one that was asked for."""

    def __init__(self, exp: str, found: str) -> None:
        self.exp = exp
        self.found = found
        super().__init__(f"wrong emulator: expected `{exp}`, found `{found}`")


class RunError(Error):
    """A program could not be run, or ended where it should not have."""

    def __init__(self, proc: str, msg: str) -> None:
        self.proc = proc
        self.msg = msg
        super().__init__(f"error running `{proc}`: {msg}")


class InvalidPropertyPath(Error):
    """The emulator has no device of that path."""

    def __init__(self, path: str) -> None:
        self.path = path
        super().__init__(f"invalid property path `{path}`")


class InvalidProperty(Error):
    """The device has no property of that name."""

    def __init__(self, path: str, name: str) -> None:
        self.path = path
        self.name = name
        super().__init__(f"invalid property `{name}` at `{path}`")


class HandlesError(Error):
    """Kept for what imports it; never raised, here as there."""

    def __init__(self, msg: str) -> None:
        super().__init__(msg)


class UnexpectedOutput(Error):
    """A text that was waited for can come no more, or one that means failure came. Not in pw_emu.

    Attributes:
        output: the end of what was seen, at most 64 KiB.
    """

    def __init__(self, what: str, output: bytes) -> None:
        self.output = output
        super().__init__(f"{what}; last output: {output[-200:]!r}")


class Subject(NamedTuple):
    """What a call was about, so that an answer can name it."""

    wdir: pathlib.Path
    config: Optional[pathlib.Path] = None
    target: str = ""
    emulator: str = ""
    channel: str = ""
    channels: Iterable[str] = ()
    path: str = ""
    prop: str = ""


# The daemon's `pwemu-reason` trailer, and what it becomes.
_BY_REASON: Dict[str, Callable[[Subject, str], Error]] = {
    "already-running": lambda s, text: AlreadyRunning(s.wdir),
    "not-running": lambda s, text: NotRunning(s.wdir),
    "no-instance": lambda s, text: NotRunning(s.wdir),
    "invalid-target": lambda s, text: InvalidTarget(s.config, s.emulator or None, s.target),
    "invalid-emulator": lambda s, text: InvalidEmulator(s.emulator),
    "invalid-channel": lambda s, text: InvalidChannelName(s.channel, s.target, s.channels),
    "invalid-channel-type": lambda s, text: InvalidChannelType(s.channel),
    "invalid-property-path": lambda s, text: InvalidPropertyPath(s.path),
    "invalid-property": lambda s, text: InvalidProperty(s.path, s.prop),
    "emulator-refused": lambda s, text: RunError(s.emulator or "emulator", "it could not be started"),
    "emulator-not-found": lambda s, text: RunError(s.emulator or "emulator", "it could not be started"),
    "emulator-not-executable": lambda s, text: RunError(s.emulator or "emulator", "it could not be started"),
    "command-failed": lambda s, text: RunError("command", "it failed the start"),
}


def reason_of(error: grpc.RpcError) -> str:
    """The `pwemu-reason` trailer of a failed call; empty if there is none."""
    for key, value in error.trailing_metadata() or ():
        if key == "pwemu-reason":
            return value if isinstance(value, str) else value.decode()
    return ""


def from_rpc(error: grpc.RpcError, subject: Subject, what: str) -> Exception:
    """The exception for a failed call: by its reason, else by its status."""
    return from_status(error.code(), reason_of(error), error.details() or "", subject, what)


def from_status(code: grpc.StatusCode, reason: str, text: str, subject: Subject, what: str) -> Exception:
    """The same, for a refusal that came in another way."""
    result: Exception
    if reason in _BY_REASON:
        result = _BY_REASON[reason](subject, text)
    elif reason == "queue-timeout":
        return TimeoutError(text)
    elif code == grpc.StatusCode.DEADLINE_EXCEEDED:
        return TimeoutError(f"{what}: the daemon did not answer in time")
    elif code == grpc.StatusCode.UNAVAILABLE:
        result = Error(f"{what}: the daemon has gone")
    else:
        result = Error()
    if isinstance(result, Error):
        result.reason = reason
        result.details = text
    return result
