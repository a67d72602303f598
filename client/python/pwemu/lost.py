# SPDX-License-Identifier: Apache-2.0
"""Connections that were lost: how long they are tried to be made again, and what streams go on with afterwards."""

from __future__ import annotations

import os
import re
import time
from typing import Any, Optional, Set

import grpc

from pwemu import connection
from pwemu.errors import Error
from pwemu.v1 import channels_pb2, instances_pb2

REMOTE_PATIENCE_S = 30.0
LOCAL_PATIENCE_S = 3.0  # a daemon that is replaced takes tenths of a second
DELAY_S = 0.05  # from try to try, doubled each time ...
DELAY_MAX_S = 2.0
MAX_FRUITLESS = 20  # losses in a row, each soon after a connection, with nothing achieved
STABLE_S = 1.0

_UNITS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}

PROBE_DEADLINE_S = 10.0

_answered: Set[str] = set()  # addresses at which a daemon has answered this process


def note_answer(address: "connection.Address") -> None:
    """A daemon is there; from now on its absence is a loss."""
    _answered.add(address.path)


def patience_s(address: "connection.Address") -> float:
    """How long a lost connection is tried to be made again: $PWEMU_RECONNECT ("500ms", "2m"), by default half a minute for one that leads over
    a network.

    Raises:
        Error: $PWEMU_RECONNECT is no duration.
    """
    text = os.environ.get("PWEMU_RECONNECT", "")
    if not address.is_remote or not text:
        return REMOTE_PATIENCE_S if address.is_remote else LOCAL_PATIENCE_S
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|)", text)
    if match is None:
        raise Error(f"PWEMU_RECONNECT: '{text}' is no duration; write 500ms, 20s or 10m")
    return float(match[1]) * _UNITS[match[2]]


def is_absence(error: grpc.RpcError) -> bool:
    """Nobody has answered."""
    return error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


class Loss:
    """A loss, and the tries to make up for it."""

    def __init__(self, address: "connection.Address", deadline: Optional[float] = None) -> None:
        """`deadline`: of what it is for (`time.monotonic`), None: none."""
        self.address = address
        self._begin = time.monotonic()
        self._deadline = deadline
        self._delay = DELAY_S

    def next_delay(self, why: Exception) -> float:
        """Seconds until the next try.

        Raises:
            Error: patience is at its end.
            TimeoutError: what it is for is late.
        """
        now = time.monotonic()
        if self._deadline is not None and now >= self._deadline:
            raise TimeoutError(f"the connection to {self.address} was lost, and time is up")
        spent = now - self._begin
        left = patience_s(self.address) - spent if self.address.path in _answered else 0.0
        if left <= 0:
            raise given_up(self.address, spent, why)
        delay, self._delay = self._delay, min(2 * self._delay, DELAY_MAX_S)
        if self._deadline is not None:
            left = min(left, self._deadline - now)
        return min(delay, max(left, 0.001))


def given_up(address: "connection.Address", spent: float, why: Exception) -> Error:
    """For a connection that does not come back."""
    what = why.details() or "" if isinstance(why, grpc.RpcError) else str(why)
    what = connection.explain(address, what)
    if address.is_remote and address.path not in _answered:
        error = Error(f"the daemon at {address} cannot be reached")
    elif address.is_remote:
        error = Error(f"the connection to {address} was lost and could not be made again within {spent:.1f} s; its instances may still run")
    else:
        error = Error("the daemon has gone")
    error.details = what
    error.reason = "connection-lost"
    return error


class Resume:
    """Remembers of a server stream's replies where the next call has to begin: `request` is changed to that. `take` says whether a reply is
    wanted: of a boot that is read again its beginning is not."""

    def __init__(self, request: Any, address: "connection.Address", timeout: Optional[float]) -> None:
        """`timeout`: of all of it, in seconds."""
        self.request = request
        self.deadline = None if timeout is None else time.monotonic() + timeout
        self._address = address
        self._next = 0  # offset after what came
        self._fruitless = 0
        self._begin = 0.0

    def begin(self) -> Optional[float]:
        """Before each call; its timeout.

        Raises:
            TimeoutError: time is up.
        """
        self._begin = time.monotonic()
        if self.deadline is None:
            return None
        if self.deadline <= self._begin:
            raise TimeoutError("time is up")
        return self.deadline - self._begin

    def note_loss(self, why: Exception) -> None:
        """Raises:
        Error: it is lost again and again, and nothing comes.
        """
        now = time.monotonic()
        self._fruitless = 0 if now - self._begin >= STABLE_S else self._fruitless + 1
        if self._fruitless > MAX_FRUITLESS:
            raise given_up(self._address, now - self._begin, why)

    def take(self, reply: Any) -> Any:
        """The reply, or what of it was not there yet; None: nothing."""
        self._fruitless = 0
        if isinstance(reply, channels_pb2.ReadReply):
            return self._take_data(reply)
        if isinstance(reply, instances_pb2.Event):
            self.request.from_seq = reply.seq + 1
        return reply

    def _take_data(self, reply: channels_pb2.ReadReply) -> Any:
        data = reply.data
        end = data.offset + len(data.bytes)
        if end <= self._next:
            return None
        if data.offset < self._next:
            data.bytes = data.bytes[self._next - data.offset :]
            data.offset = self._next
        self._next = end
        start = getattr(self.request, "from")
        if not self.request.one_boot:
            start.offset = end
        elif data.boot:
            start.boot_number = data.boot  # its end may be the beginning of the next one
        return reply


def fixed_start(request: Any, instance: instances_pb2.Instance) -> None:
    """A place that is counted from the end, "now" or "-4K", as an offset: a later call begins there, too."""
    start = getattr(request, "from")
    at = start.WhichOneof("at")
    name = request.channel or instance.console
    for channel in instance.channels:
        if channel.name == name and at in ("now", "tail"):
            start.offset = max(channel.first_offset, channel.offset - (start.tail if at == "tail" else 0), 0)


def is_from_end(request: Any) -> bool:
    """See `fixed_start`."""
    return isinstance(request, channels_pb2.ReadRequest) and request.follow and getattr(request, "from").WhichOneof("at") in ("now", "tail")
