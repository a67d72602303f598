# SPDX-License-Identifier: Apache-2.0
"""A channel as a raw stream, on one `Channels.Attach` call.

A thread takes the call's replies and puts the output into a socket pair, which gives the stream its timeouts, its file descriptor for
select, and its back-pressure: what is not read stays in the daemon's log. The thread knows the `_Link` only, never the stream, so that
a stream nobody has any more closes itself.
"""

from __future__ import annotations

import contextlib
import io
import queue
import socket
import threading
import time
from typing import Any, Callable, Iterator, Optional, Protocol

import grpc

from pwemu import connection, lost
from pwemu.errors import Error, reason_of
from pwemu.v1 import channels_pb2

OPEN_DEADLINE_S = 10.0
CLOSE_DEADLINE_S = 1.0
INPUT_PIECE = 4096

def input_adrift(channel: str, count: int) -> Error:
    """What a write says after a loss."""
    error = Error(
        f"{channel}: the connection was lost; whether the emulator has taken the last {count} bytes of the input is not known, they are not "
        "sent again"
    )
    error.reason = "input-adrift"
    return error


class Way(Protocol):
    """Opens the call, and makes a lost connection again.

    Raises, from `again`:
        Error: it cannot be made again.
    """

    address: connection.Address

    def open(self, requests: Iterator[channels_pb2.AttachRequest]) -> Any: ...

    def again(self) -> None: ...


class _Link:
    """The call and what its replies said. After a loss there is another one, which goes on at the same byte."""

    def __init__(self, way: Way, opening: channels_pb2.AttachOpen) -> None:
        self._way = way
        self._opening = opening
        self.ours, self.theirs = socket.socketpair()
        self.changed = threading.Condition()
        self.opened: Optional[channels_pb2.AttachOpened] = None
        self.is_writer = False
        self.reason = ""
        self.sent = 0
        self.taken = 0
        self.adrift = 0  # bytes of input that were on their way when a connection was lost; never less
        self.is_up = False
        self.is_over = False
        self.error: Optional[Exception] = None
        self._is_closing = False
        self._progress = lost.Resume(opening, way.address, None)
        self._open()
        threading.Thread(target=self._collect, name="pwemu-stream", daemon=True).start()

    def _open(self) -> None:
        self._outgoing: "queue.SimpleQueue[Optional[channels_pb2.AttachRequest]]" = queue.SimpleQueue()
        self._outgoing.put(channels_pb2.AttachRequest(open=self._opening))
        self._progress.begin()
        self.call = self._way.open(iter(self._outgoing.get, None))

    def _forward(self) -> None:
        for reply in self.call:
            if reply.WhichOneof("kind") == "data":
                self.theirs.sendall(reply.data.bytes)
                getattr(self._opening, "from").offset = reply.data.offset + len(reply.data.bytes)
                self._progress.take(reply)
            else:
                self._note(reply)

    def _reopen(self, error: grpc.RpcError) -> None:
        """What was on its way is not sent again: nobody knows whether it has arrived."""
        with self.changed:
            self.is_up = False
            self.adrift += self.sent - self.taken
            self.sent = self.taken = 0
            self.changed.notify_all()
        self.end_input()
        self._progress.note_loss(error)
        self._way.again()
        self._open()
        if self._is_closing:
            self.call.cancel()

    def _collect(self) -> None:
        while True:
            try:
                self._forward()
                break
            except grpc.RpcError as error:
                is_lost = error.code() == grpc.StatusCode.UNAVAILABLE and not reason_of(error)
                if self._is_closing or not is_lost:
                    self.error = error
                    break
                try:
                    self._reopen(error)
                except Exception as trouble:  # pylint: disable=broad-exception-caught
                    self.error = trouble  # for who reads or writes
                    break
            except OSError:
                break  # the stream was closed
        with self.changed:
            self.is_over = True
            self.changed.notify_all()
        self.theirs.close()
        self.end_input()
        self.call.cancel()

    def _note(self, reply: channels_pb2.AttachReply) -> None:
        kind = reply.WhichOneof("kind")
        with self.changed:
            if kind == "opened":
                self.opened = self.opened or reply.opened
                getattr(self._opening, "from").offset = reply.opened.offset
                self.is_up = True
                self.is_writer, self.reason = reply.opened.writer, reply.opened.reason
            elif kind == "writer":
                self.is_writer, self.reason = reply.writer.writer, reply.writer.reason
            elif kind == "input_taken":
                self.taken = reply.input_taken
            self.changed.notify_all()

    def wait(self, condition: Callable[[], bool], timeout: Optional[float]) -> bool:
        """Until the condition holds or the call is over; false when time is up."""
        with self.changed:
            return self.changed.wait_for(lambda: condition() or self.is_over, timeout)

    def put(self, data: bytes, more: bool) -> None:
        """With `more` nobody else's input comes between this and the next."""
        with self.changed:
            self.sent += len(data)
            self._outgoing.put(channels_pb2.AttachRequest(input=data, more=more))

    def end_input(self) -> None:
        self._outgoing.put(None)

    def close(self, timeout: float) -> None:
        """Gives input that is under way that much time, in seconds."""
        if self.sent > self.taken and not self.is_over:
            self.wait(lambda: self.taken >= self.sent or not self.is_writer, timeout)
        self._is_closing = True
        self.call.cancel()
        self.end_input()
        self.ours.close()


class ChannelStream(io.RawIOBase):
    """A channel of a running instance; what `Emulator.get_channel_stream` returns.

    Reading, whatever the type of the channel (pw_emu's tcp streams, without their dying after the first timeout):

    | timeout | nothing there | the instance has ended |
    |---|---|---|
    | None | waits | b"" |
    | 0 | None | b"" |
    | seconds | TimeoutError after that time; the stream stays usable | b"" |

    `readline`, `readall` and `read(-1)` lose nothing to a timeout either: what they had read is what the next read returns first.
    Writing returns when the emulator has taken the bytes, which it does at the guest's pace, at most 4 KiB ahead of it; with a timeout of seconds TimeoutError when it has not by then (they are
    still on their way), with 0 at once, or None when earlier bytes are still on their way.

    A connection that is lost is made again by itself, and reading goes on at the exact byte. Input that was on its way then is not sent
    again, since nobody knows whether it has arrived: `write` says how much that was (an Error, with the reason "input-adrift"); with a timeout of
    0 it is the next `write` that says so.

    Raises from all of these:
        Error: the daemon has gone and does not come back, or the channel takes no input.
        TimeoutError: see above.
    """

    def __init__(
        self,
        way: Way,
        opening: channels_pb2.AttachOpen,
        timeout: Optional[float],
        explain: Callable[[grpc.RpcError], Exception],
    ) -> None:
        super().__init__()
        self._explain_rpc = explain
        self._held = b""
        self._told = 0  # of the input that is adrift
        self._link: Optional[_Link] = None
        link = _Link(way, opening)
        self._link = link
        is_answered = link.wait(lambda: link.opened is not None, OPEN_DEADLINE_S)
        if link.opened is None:
            self.close()
            if link.error is not None:
                raise self._explain(link.error)
            raise Error("the channel ended before it was open") if is_answered else TimeoutError("the channel did not open in time")
        self.offset = link.opened.offset
        self.channel = link.opened.channel
        self.timeout = timeout

    def _explain(self, error: Exception) -> Exception:
        return self._explain_rpc(error) if isinstance(error, grpc.RpcError) else error

    # ---------------------------------------------------------------- what io asks for

    @property
    def _open_link(self) -> _Link:
        if self.closed or self._link is None:
            raise ValueError("I/O operation on closed stream")
        return self._link

    @property
    def name(self) -> str:
        """Name of the channel."""
        return self.channel

    @property
    def timeout(self) -> Optional[float]:
        """Seconds, 0 or None, see the class; may be set at any time."""
        return self._timeout

    @timeout.setter
    def timeout(self, seconds: Optional[float]) -> None:
        self._open_link.ours.settimeout(seconds)
        self._timeout = seconds

    def readable(self) -> bool:
        """True."""
        return True

    def writable(self) -> bool:
        """True; whether the channel takes input is seen when writing."""
        return True

    def fileno(self) -> int:
        """For select and poll, reading only."""
        return self._open_link.ours.fileno()

    def close(self) -> None:
        """Leaves the channel. What was written reaches the emulator, if it takes it within a second."""
        if not self.closed and getattr(self, "_link", None) is not None:
            self._link.close(CLOSE_DEADLINE_S)  # type: ignore[union-attr]
        super().close()

    # ---------------------------------------------------------------- reading

    def _receive(self, size: int) -> Optional[bytes]:
        """Up to that many bytes; None: there are none yet and the stream is non-blocking; b"": it has ended."""
        link = self._open_link
        if self._held:
            data, self._held = self._held[:size], self._held[size:]
            return data
        try:
            data = link.ours.recv(size)
        except BlockingIOError:
            return None
        except socket.timeout:
            raise TimeoutError(f"{self.channel}: nothing within {self._timeout} s") from None
        error = link.error
        if not data and size and error is not None and not (isinstance(error, grpc.RpcError) and error.code() == grpc.StatusCode.CANCELLED):
            raise self._explain(error)
        self.offset += len(data)
        return data

    def readinto(self, buffer: memoryview) -> Optional[int]:  # type: ignore[override]
        """See `io.RawIOBase.readinto` and the class."""
        data = self._receive(len(buffer))
        if data is None:
            return None
        buffer[: len(data)] = data
        return len(data)

    def _gather(self, is_done: Callable[[bytes], int]) -> Optional[bytes]:
        """Reads until is_done gives the length wanted, or the end. What is over, and on an exception all of it, is kept."""
        data = b""
        length = 0
        try:
            while not length:
                piece = self._receive(65536)
                if not piece:
                    length = len(data)
                    if piece is None and not data:
                        return None
                    break
                data += piece
                length = is_done(data)
        finally:
            self._held = data[length:] + self._held
        return data[:length]

    def readall(self) -> Optional[bytes]:  # type: ignore[override]
        """Everything until the instance has ended; non-blocking: what is there."""
        return self._gather(lambda data: 0)

    def readline(self, size: Optional[int] = -1) -> bytes:  # type: ignore[override]
        """A line with its LF; the rest at the end of the stream, and what is there when non-blocking."""
        limit = -1 if size is None else size
        if limit == 0:
            return b""

        def length(data: bytes) -> int:
            end = data.find(b"\n", 0, limit if limit > 0 else None) + 1
            return end or (limit if 0 < limit <= len(data) else 0)

        return self._gather(length) or b""

    # ---------------------------------------------------------------- writing

    def write(self, data: "bytes | bytearray | memoryview") -> Optional[int]:  # type: ignore[override]
        """All of it; see the class."""
        link = self._open_link
        content = bytes(data)
        if self._timeout == 0 and link.sent > link.taken and link.is_writer and not link.is_over:
            return None
        deadline = time.monotonic() + self._timeout if self._timeout else None
        for at in range(0, len(content), INPUT_PIECE):
            self._await_link(deadline)
            self._check_writer()
            link.put(content[at : at + INPUT_PIECE], at + INPUT_PIECE < len(content))
            if self._timeout != 0:
                self._await_taken(deadline)
        return len(content)

    def _check_writer(self) -> None:
        link = self._open_link
        if link.error is not None and link.is_over:
            raise self._explain(link.error)
        if link.is_over:
            raise Error(f"{self.channel}: the instance has ended")
        if not link.is_writer:
            raise Error(f"{self.channel}: cannot be written: {link.reason or 'it takes no input'}")

    @staticmethod
    def _left(deadline: Optional[float]) -> Optional[float]:
        return None if deadline is None else max(0.0, deadline - time.monotonic())

    def _await_link(self, deadline: Optional[float]) -> None:
        """A connection that was lost is being made again."""
        link = self._open_link
        if not link.wait(lambda: link.is_up, 0 if self._timeout == 0 else self._left(deadline)):
            raise TimeoutError(f"{self.channel}: the connection was lost, and is not there again within {self._timeout} s")
        self._check_adrift()

    def _check_adrift(self) -> None:
        count, self._told = self._open_link.adrift - self._told, self._open_link.adrift
        if count:
            raise input_adrift(self.channel, count)

    def _await_taken(self, deadline: Optional[float]) -> None:
        link = self._open_link
        if not link.wait(lambda: link.taken >= link.sent or not link.is_writer or link.adrift != self._told, self._left(deadline)):
            raise TimeoutError(f"{self.channel}: the emulator has not taken all input within {self._timeout} s")
        self._check_adrift()
        if link.taken < link.sent:
            self._check_writer()

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            self.close()
