# SPDX-License-Identifier: Apache-2.0
"""What the package gives and takes besides plain types: ends, events, positions in a channel's log."""

from __future__ import annotations

import dataclasses
import re
from typing import Optional, Union

from pwemu.v1 import common_pb2, instances_pb2

# Where in a channel's log a reader begins: an absolute offset in bytes, or a word: "start" (the first byte since the latest explicit
# start), "boot" (of the current boot), "now" (only what comes), "-4K" (that much before the end; also plain bytes, M and G).
Position = Union[int, str]

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def position(start: Optional[Position]) -> common_pb2.Position:
    """The message for a position; None is "start".

    Raises:
        ValueError: it is none.
    """
    if start is None or start == "start":
        return common_pb2.Position(start=True)
    if start == "boot":
        return common_pb2.Position(boot=True)
    if start == "now":
        return common_pb2.Position(now=True)
    match = re.fullmatch(r"(-?)(\d+)([KMG]?)", str(start))
    if not match:
        raise ValueError(f"position {start!r}: an offset, 'start', 'boot', 'now' or, before the end, '-4K'")
    size = int(match[2]) * _UNITS[match[3]]
    return common_pb2.Position(tail=size) if match[1] else common_pb2.Position(offset=size)


def _word(enum: object, prefix: str, number: int) -> str:
    try:
        name = enum.Name(number)  # type: ignore[attr-defined]
    except ValueError:
        return str(number)  # of a newer daemon
    return name[len(prefix) :].lower().replace("_", "-")


def state_word(number: int) -> str:
    """ "running" for STATE_RUNNING, as `pwemu ls` shows it."""
    return _word(instances_pb2.State, "STATE_", number)


@dataclasses.dataclass(frozen=True)
class End:
    """How a boot (one life of the emulator) ended.

    Attributes:
        cause: "finished", "guest-fault", "stopped", "guest-reset", "bad-config", "crashed", "killed", "gdb", "unknown",
            "host-rebooted" or "hung".
        code: the emulator's exit code, which is the guest's own where it ended itself; -1 if a signal ended it.
        signal: number of the signal that ended it, 0 if none.
        message: one line for people.
        details: more lines where there are any: the register dump of a lockup.
        time: when, in seconds since the Unix epoch.
        boot: which boot, from 1.
    """

    cause: str
    code: int
    signal: int
    message: str
    details: str
    time: float
    boot: int

    @classmethod
    def from_message(cls, message: instances_pb2.End) -> "End":
        """From the daemon's own."""
        cause = _word(instances_pb2.EndCause, "END_CAUSE_", message.cause)
        return cls(cause, message.code, message.signal, message.message, message.details, message.time_ns / 1e9, message.boot)


@dataclasses.dataclass(frozen=True)
class Party:
    """Somebody who is attached to an instance.

    Attributes:
        user: name or number, where it is known; else empty.
        who: for people: "client of alice (process 12)".
        channel: its name; empty: the instance's events.
        kind: "attach", "read", "watch", "tcp" or "pty".
        is_writer: has the writer role of the channel.
        since: seconds since the Unix epoch; 0: not known.
    """

    user: str
    who: str
    channel: str
    kind: str
    is_writer: bool
    since: float

    @classmethod
    def from_message(cls, message: instances_pb2.Party) -> "Party":
        """From the daemon's own."""
        return cls(message.user, message.who, message.channel, message.kind, message.writer, message.since_ns / 1e9)


@dataclasses.dataclass(frozen=True)
class Event:
    """One thing that happened to an instance.

    Attributes:
        seq: its number, from 1 without gaps, over all instances of the daemon.
        time: when, in seconds since the Unix epoch.
        kind: "state", "end", "restart", "writer", "attach", "detach", "adopted", "warning", "hang", "reset", "removed", "daemon",
            "process", "share", "request" or "lease".
        state: state of the instance after it, "running".
        reason: why or what, for people.
        boot: boot it belongs to, 0 if none.
        end: of kind "end": how the boot ended.
        channel, process: what it is about; empty if nothing.
        actor: who did it, for people; empty: the daemon by itself.
    """

    seq: int
    time: float
    kind: str
    state: str
    reason: str
    boot: int
    end: Optional[End]
    channel: str
    process: str
    actor: str

    @classmethod
    def from_message(cls, message: instances_pb2.Event) -> "Event":
        """From the daemon's own."""
        return cls(
            seq=message.seq,
            time=message.time_ns / 1e9,
            kind=_word(instances_pb2.EventKind, "EVENT_KIND_", message.kind),
            state=state_word(message.state),
            reason=message.reason,
            boot=message.boot,
            end=End.from_message(message.end) if message.HasField("end") else None,
            channel=message.channel,
            process=message.process,
            actor=message.actor,
        )
