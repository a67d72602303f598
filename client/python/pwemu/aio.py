# SPDX-License-Identifier: Apache-2.0
"""The same for asyncio: every method of `Emulator` as a coroutine (or an asynchronous iterator), with its arguments, results and
exceptions; see there. A foreground start is the one thing that is not here: `start`, then `follow("emulator")`."""

from __future__ import annotations

import asyncio
import json
import time
from types import TracebackType
from typing import Any, AsyncIterator, Dict, Iterator, List, Mapping, Optional, Sequence, Set, Tuple, Type, Union

import grpc
import grpc.aio

from pwemu import calls, connection, gdb, lost, upload
from pwemu.calls import Call, Identity, StrPath, Stubs
from pwemu.emulator import WAIT_TIMEOUT_S
from pwemu.errors import Error, InvalidChannelName, NotRunning, RunError, Subject, from_rpc, reason_of
from pwemu.matching import Matcher, Patterns
from pwemu.streams import INPUT_PIECE, input_adrift
from pwemu.v1 import channels_pb2, common_pb2, daemon_pb2, instances_pb2
from pwemu.values import End, Event, Party, Position, state_word


async def _later(pieces: Iterator[Any]) -> AsyncIterator[Any]:
    """Read from a file without keeping the loop waiting."""
    end = object()
    while True:
        piece = await asyncio.to_thread(next, pieces, end)
        if piece is end:
            return
        yield piece


class AsyncStream:
    """A channel of a running instance; what `AsyncEmulator.get_channel_stream` returns. For `async with`. A lost connection is as in
    `ChannelStream`."""

    def __init__(self, emulator: "AsyncEmulator", opening: channels_pb2.AttachOpen, channel: str, subject: Subject) -> None:
        self._emulator = emulator
        self._opening = opening
        self._subject = subject
        self._stubs: Optional[Stubs] = None
        self._call: Any = None
        self._is_up = False
        self._adrift = self._told = 0  # input that was on its way when a connection was lost
        self._progress = lost.Resume(opening, emulator._address, None)  # pylint: disable=protected-access
        self._held = b""
        self._sent = self._taken = 0
        self._opened: Optional[channels_pb2.AttachOpened] = None
        self._is_writer = False
        self._changed = asyncio.Event()
        self._queue: "asyncio.Queue[bytes]" = asyncio.Queue(64)
        self._error: Optional[Exception] = None
        self._is_over = False
        self._task = asyncio.ensure_future(self._collect())
        self.channel = channel
        self.offset = 0

    async def _open(self) -> "AsyncStream":
        await self._until(lambda: self._opened is not None)
        if self._opened is None:
            await self.close()
            raise self._error or Error(f"{self.channel}: the channel ended before it was open")
        self.offset = self._opened.offset
        return self

    async def _until(self, condition: Any) -> None:
        while not condition() and not self._is_over:
            self._changed.clear()
            await self._changed.wait()

    async def _begin(self) -> None:
        self._stubs = self._stubs or await self._emulator._connect()  # pylint: disable=protected-access
        self._progress.begin()
        self._call = self._stubs.method("Channels.Attach")()
        await self._call.write(channels_pb2.AttachRequest(open=self._opening))

    async def _reopen(self, error: grpc.RpcError) -> None:
        """See `pwemu.streams`."""
        if self._stubs is None or not calls.is_lost(error):
            raise error
        self._is_up = False
        self._adrift += self._sent - self._taken
        self._sent = self._taken = 0
        self._changed.set()
        self._progress.note_loss(error)
        self._stubs = await self._emulator._reconnect(self._stubs)  # pylint: disable=protected-access

    async def _collect(self) -> None:
        try:
            while True:
                try:
                    await self._begin()
                    await self._forward()
                    return
                except asyncio.InvalidStateError:  # a write to a call that has ended: it says why
                    code, text = await self._call.code(), await self._call.details()
                    metadata = (await self._call.initial_metadata(), await self._call.trailing_metadata())
                    await self._reopen(grpc.aio.AioRpcError(code, *metadata, details=text))
                except grpc.RpcError as error:
                    await self._reopen(error)
        except grpc.RpcError as error:
            self._error = from_rpc(error, self._subject, "Channels.Attach")
        except (Error, TimeoutError) as error:
            self._error = error
        finally:
            self._is_over = True
            self._changed.set()
            if not self._queue.full():
                self._queue.put_nowait(b"")

    async def _forward(self) -> None:
        async for reply in self._call:
            kind = reply.WhichOneof("kind")
            if kind == "data":
                await self._queue.put(reply.data.bytes)
                getattr(self._opening, "from").offset = reply.data.offset + len(reply.data.bytes)
                self._progress.take(reply)
            elif kind == "opened":
                self._opened, self._is_writer, self._is_up = self._opened or reply.opened, reply.opened.writer, True
                getattr(self._opening, "from").offset = reply.opened.offset
            elif kind == "writer":
                self._is_writer = reply.writer.writer
            elif kind == "input_taken":
                self._taken = reply.input_taken
            self._changed.set()

    async def read(self, size: int = 65536) -> bytes:
        """At least one byte, at most `size`; b"": the instance has ended. For a timeout: `asyncio.wait_for`."""
        while not self._held:
            if self._is_over and self._queue.empty():
                if self._error is not None:
                    raise self._error
                return b""
            self._held = await self._queue.get()
        data, self._held = self._held[:size], self._held[size:]
        self.offset += len(data)
        return data

    async def readline(self) -> bytes:
        """A line with its LF; the rest at the end of the stream."""
        line = b""
        try:
            while not line.endswith(b"\n"):
                piece = await self.read()
                if not piece:
                    break
                end = piece.find(b"\n") + 1 or len(piece)
                line += piece[:end]
                self._give_back(piece[end:])
        except BaseException:
            self._give_back(line)  # a timeout loses nothing
            raise
        return line

    def _give_back(self, data: bytes) -> None:
        self._held = data + self._held
        self.offset -= len(data)

    async def write(self, data: bytes) -> int:
        """Returns when the emulator has taken all of it."""
        await self._until(lambda: self._is_up)
        self._check_adrift()
        if not self._is_writer or self._is_over:
            reason = self._opened.reason if self._opened is not None else ""
            raise self._error or Error(f"{self.channel}: cannot be written: {reason or 'the instance has ended'}")
        for at in range(0, len(data), INPUT_PIECE):
            piece = data[at : at + INPUT_PIECE]
            self._sent += len(piece)
            try:
                await self._call.write(channels_pb2.AttachRequest(input=piece, more=at + INPUT_PIECE < len(data)))
            except (grpc.RpcError, asyncio.InvalidStateError):
                await self._until(lambda: self._adrift != self._told)  # who reads the replies sees why
            await self._until(lambda: self._taken >= self._sent or not self._is_writer or self._adrift != self._told)
            self._check_adrift()
            if self._taken < self._sent:
                raise self._error or Error(f"{self.channel}: the input was not taken")
        return len(data)

    def _check_adrift(self) -> None:
        count, self._told = self._adrift - self._told, self._adrift
        if count:
            raise input_adrift(self.channel, count)

    async def close(self) -> None:
        """Leaves the channel."""
        if self._call is not None:
            self._call.cancel()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def __aenter__(self) -> "AsyncStream":
        return self

    async def __aexit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], traceback: Optional[TracebackType]
    ) -> None:
        await self.close()


class AsyncEmulator(Identity):
    """`Emulator` for asyncio. It belongs to the loop in which it is first used; `close` (or `async with`) ends its connection, not the
    instance."""

    def __init__(self, wdir: StrPath, config_path: Optional[StrPath] = None) -> None:
        super().__init__(wdir, config_path)
        self._address = connection.find_address()
        self._stubs: Optional[Stubs] = None
        self._is_elsewhere = self._address.is_remote
        self._retired: List[Any] = []  # channels that were lost; other calls may still have them
        self._keepers: "Set[asyncio.Task[None]]" = set()
        self._is_known = False
        self._streamed: Dict[str, int] = {}

    async def close(self) -> None:
        """Ends the connection; the next call makes another one. An instance with a client's lease is stopped then."""
        for task in self._keepers:
            task.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        channels, self._retired = self._retired, []
        stubs, self._stubs = self._stubs, None
        for channel in [*channels, *([stubs.channel] if stubs is not None else [])]:
            await channel.close()

    async def __aenter__(self) -> "AsyncEmulator":
        return self

    async def __aexit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], traceback: Optional[TracebackType]
    ) -> None:
        await self.close()

    # ---------------------------------------------------------------- calls

    async def _connect(self) -> Stubs:
        if self._stubs is None:
            path = await asyncio.to_thread(connection.ensure_daemon, self._address)
            self._stubs = Stubs(connection.open_async_channel(self._address, path))
        return self._stubs

    async def _renew(self, old: Stubs) -> Stubs:
        if self._stubs is old:
            self._retired.append(old.channel)
            self._stubs = None
        return await self._connect()

    async def _reconnect(self, old: Stubs, deadline: Optional[float] = None) -> Stubs:
        """See `Emulator._reconnect`."""
        loss = lost.Loss(self._address, deadline)
        stubs = old
        while True:
            try:
                if stubs is old or not self._address.is_remote:
                    stubs = await self._renew(stubs)
                await stubs.method("Daemon.Info")(daemon_pb2.InfoRequest(), timeout=lost.PROBE_DEADLINE_S)
                lost.note_answer(self._address)
                return stubs
            except grpc.RpcError as error:
                if not lost.is_absence(error):
                    raise from_rpc(error, self._subject(), "Daemon.Info") from None
                why: Exception = error
            except RunError:
                raise
            except Error as error:
                why = error
            await asyncio.sleep(await asyncio.to_thread(loss.next_delay, why))

    async def _call(self, call: Call) -> Any:
        """See `Emulator._call`."""
        if self._is_elsewhere:
            await self._send_images(call)
        losses = adaptations = 0
        while True:
            stubs = await self._connect()
            try:
                reply = await stubs.method(call.method)(call.request, timeout=call.deadline_s)
                lost.note_answer(self._address)
                return reply
            except grpc.RpcError as error:
                reason = reason_of(error)
                if losses and reason in call.done_reasons:
                    return instances_pb2.Instance()
                if reason in calls.ELSEWHERE and adaptations < calls.MAX_ADAPTATIONS:
                    adaptations += 1
                    if reason == "client-elsewhere":
                        self._move_elsewhere(call)
                    await self._send_images(call)
                elif losses < lost.MAX_FRUITLESS and (calls.was_not_sent(error) or (call.is_repeatable and calls.is_lost(error))):
                    losses += 1
                    await self._reconnect(stubs)
                else:
                    raise await self._explain(error, call.subject, call.method) from None

    async def _send_images(self, call: Call) -> None:
        for image in calls.images_of(call.request):
            content = await asyncio.to_thread(upload.look_at, image.path)
            await self._upload(content, call.subject)
            content.fill(image)

    async def _upload(self, content: upload.Upload, subject: Subject) -> None:
        losses = 0
        while True:
            stubs = await self._connect()
            send = stubs.method("Channels.Upload")
            try:
                if not (await send(_later(content.probe()), timeout=upload.PROBE_DEADLINE_S)).present:
                    await send(_later(content.pieces()), timeout=content.deadline_s)
                lost.note_answer(self._address)
                return
            except grpc.RpcError as error:
                losses += 1
                if not calls.is_lost(error) or losses > lost.MAX_FRUITLESS:
                    raise await self._explain(error, subject, f'upload of "{content.path}"') from None
                await self._reconnect(stubs)

    async def _explain(self, error: grpc.RpcError, subject: Subject, what: str) -> Exception:
        result = from_rpc(error, subject, what)
        if isinstance(result, InvalidChannelName):
            instance = await self.info()
            return result.about(instance.target, [channel.name for channel in instance.channels])
        return result

    async def _stream(self, method: str, request: Any, subject: Subject, timeout: Optional[float] = None) -> AsyncIterator[Any]:
        resume = lost.Resume(request, self._address, timeout)
        if lost.is_from_end(request):
            lost.fixed_start(request, await self.info())
        while True:
            stubs = await self._connect()
            call = stubs.method(method)(request, timeout=resume.begin())
            try:
                async for reply in call:
                    wanted = resume.take(reply)
                    if wanted is not None:
                        yield wanted
                return
            except grpc.RpcError as error:
                if not calls.is_lost(error):
                    raise await self._explain(error, subject, method) from None
                resume.note_loss(error)
                await self._reconnect(stubs, resume.deadline)
            finally:
                call.cancel()

    async def _running_instance(self) -> instances_pb2.Instance:
        instance = await self.info()
        if not calls.is_live(instance.state):
            raise calls.not_running(self._wdir, instance)
        self._is_known = True
        return instance

    # ---------------------------------------------------------------- life

    async def start(
        self,
        target: str,
        file: Union[None, StrPath, Sequence[StrPath]] = None,
        pause: bool = False,
        debug: bool = False,
        args: Union[None, str, Sequence[str]] = None,
        *,
        semihosting: bool = False,
        restart: Optional[str] = None,
        environment: Optional[Mapping[str, str]] = None,
        lease: Optional[str] = None,
        queue_timeout: Optional[float] = None,
    ) -> None:
        """See `Emulator.start`. A lease of "client" is that of this object's connection: it ends with `close`."""
        flags = {"pause": pause, "debug": debug, "foreground": False, "semihosting": semihosting}
        flags["passed_on"] = connection.is_passed_on(self._address)
        call = await asyncio.to_thread(self._start_call, target, file, args, environment, restart, lease, queue_timeout, **flags)
        self._wdir.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            instance = await self._await_turn(await self._call(call), call.subject)
        except RunError as error:
            if error.reason != "emulator-refused":
                raise
            raise calls.failed_start(error.proc, error.details, await self._last_words()) from None
        self._is_known = True
        if not calls.went_well(instance):
            raise calls.failed_start(instance.emulator, instance.reason or instance.end.message, await self._last_words())
        if calls.is_client_lease(call.request):
            task = asyncio.ensure_future(self._keep_lease(call.subject))
            self._keepers.add(task)
            task.add_done_callback(self._keepers.discard)

    async def _await_turn(self, instance: instances_pb2.Instance, subject: Subject) -> instances_pb2.Instance:
        if instance.state != instances_pb2.STATE_QUEUED:
            return instance
        request = instances_pb2.WatchRequest(instance=common_pb2.InstanceRef(id=instance.id), snapshots=True)
        async for event in self._stream("Instances.Watch", request, subject):
            instance = event.snapshot if event.HasField("snapshot") else instance
            if not calls.is_waiting(instance):
                break
        refusal = calls.refused(instance, subject)
        if refusal is not None:
            raise refusal
        return instance

    async def _keep_lease(self, subject: Subject) -> None:
        try:
            async for _ in self._stream("Instances.Watch", self._watch_request(stop_on_disconnect=True), subject):
                pass
        except (Error, TimeoutError):
            pass  # for the daemon it is over, too

    async def _last_words(self) -> bytes:
        try:
            return await self.logs("emulator")
        except (Error, TimeoutError):
            return b""

    async def stop(self, grace: float = calls.STOP_GRACE_S) -> None:
        """See `Emulator.stop`."""
        try:
            await self._call(self._stop_call(grace))
        except NotRunning:
            if not self._is_known:
                raise
        self._is_known = True

    async def running(self) -> bool:
        """See `Emulator.running`."""
        try:
            await self._running_instance()
        except NotRunning:
            return False
        return True

    async def reset(self) -> None:
        """See `Emulator.reset`."""
        await self._call(self._act_call("Reset"))

    async def cont(self) -> None:
        """See `Emulator.cont`."""
        begin = time.time()
        try:
            await self._call(self._act_call("Resume"))
        except NotRunning:
            if not calls.has_ended_since(await self.info(), begin):
                raise

    async def pause(self) -> None:
        """See `Emulator.pause`."""
        await self._call(self._act_call("Pause"))

    async def load(self, file: StrPath, pause: bool = False) -> None:
        """See `Emulator.load`."""
        await self._call(self._load_call(file, pause))

    # ---------------------------------------------------------------- state and ends

    async def info(self) -> instances_pb2.Instance:
        """See `Emulator.info`."""
        return await self._call(self._get_call())

    async def state(self) -> str:
        """See `Emulator.state`."""
        return state_word((await self.info()).state)

    async def end(self) -> Optional[End]:
        """See `Emulator.end`."""
        return calls.end_of(await self.info())

    async def events(self, start: Optional[int] = 1, follow: bool = False, timeout: Optional[float] = None) -> AsyncIterator[Event]:
        """See `Emulator.events`."""
        async for message in self._stream("Instances.Watch", self._events_request(start, follow), self._subject(), timeout):
            if message.kind != instances_pb2.EVENT_KIND_SNAPSHOT:
                yield Event.from_message(message)

    async def wait(
        self,
        match: Optional[Patterns] = None,
        *,
        fail: Optional[Patterns] = None,
        state: Union[None, str, Sequence[str]] = None,
        exit: bool = False,  # pylint: disable=redefined-builtin
        channel: Optional[str] = None,
        start: Optional[Position] = None,
        timeout: Optional[float] = WAIT_TIMEOUT_S,
    ) -> Any:
        """See `Emulator.wait`."""
        calls.check_wait(match, state, exit)
        if match is not None:
            return await self._match(Matcher(match, fail), self.follow(channel, start, timeout), timeout)
        wanted = [state] if isinstance(state, str) else state
        instance = instances_pb2.Instance()
        async for event in self._stream("Instances.Watch", self._watch_request(snapshots=True), self._subject(), timeout):
            instance = event.snapshot if event.HasField("snapshot") else instance
            for state_now in calls.states_of(event, instance) if wanted is not None else ():
                if state_now in wanted:
                    return state_now
        if wanted is not None:
            raise calls.not_running(self._wdir, instance)
        return calls.end_of(instance)

    @staticmethod
    async def _match(matcher: Matcher, pieces: Any, timeout: Optional[float]) -> Any:
        try:
            async for piece in pieces:
                if matcher.feed(piece):
                    return matcher.result
        except (TimeoutError, asyncio.TimeoutError):
            raise matcher.late(timeout) from None
        finally:
            await pieces.aclose()
        raise matcher.ended()

    # ---------------------------------------------------------------- others

    async def share(self, name: str, right: str, *, group: bool = False) -> None:
        """See `Emulator.share`."""
        await self._call(self._share_call(name, right, group))

    async def unshare(self, name: Optional[str] = None, *, group: bool = False) -> None:
        """See `Emulator.unshare`."""
        await self._call(self._unshare_call(name, group))

    async def who(self) -> List[Party]:
        """See `Emulator.who`."""
        return [Party.from_message(party) for party in (await self._call(self._who_call())).parties]

    async def renew_lease(self, ttl: Optional[float] = None) -> None:
        """See `Emulator.renew_lease`."""
        await self._call(self._renew_lease_call(ttl))

    async def remove_lease(self) -> None:
        """See `Emulator.remove_lease`."""
        await self._call(self._remove_lease_call())

    # ---------------------------------------------------------------- gdb, properties

    async def get_gdb_remote(self) -> str:
        """See `Emulator.get_gdb_remote`."""
        channel = calls.find_channel(await self._running_instance(), "gdb")
        if calls.channel_type(channel) == "pty":
            return channel.path
        host, port = await self.get_channel_addr("gdb")
        return f"{host}:{port}"

    async def get_gdb_cmd(self) -> List[str]:
        """See `Emulator.get_gdb_cmd`."""
        return list((await self._running_instance()).gdb)

    async def run_gdb_cmds(
        self,
        commands: List[str],
        executable: Optional[StrPath] = None,
        pause: bool = False,
        *,
        timeout: Optional[float] = gdb.TIMEOUT_S,
    ) -> Any:
        """See `Emulator.run_gdb_cmds`."""
        if pause:
            await self.pause()
        instance = await self._running_instance()
        return await asyncio.to_thread(gdb.run, instance, self._address, commands, executable, timeout)

    async def list_properties(self, path: str) -> List[Dict[str, Any]]:
        """See `Emulator.list_properties`."""
        reply = await self._call(self._list_properties_call(path))
        return [calls.property_row(row) for row in reply.properties]

    async def get_property(self, path: str, prop: str) -> Any:
        """See `Emulator.get_property`."""
        return json.loads((await self._call(self._get_property_call(path, prop))).json)

    async def set_property(self, path: str, prop: str, value: Any) -> None:
        """See `Emulator.set_property`."""
        await self._call(self._set_property_call(path, prop, value))

    # ---------------------------------------------------------------- channels

    async def get_channels(self) -> List[str]:
        """See `Emulator.get_channels`."""
        return calls.channel_names(await self._running_instance())

    async def get_channel_type(self, name: str) -> str:
        """See `Emulator.get_channel_type`."""
        return calls.channel_type(calls.find_channel(await self._running_instance(), name))

    async def get_channel_path(self, name: str) -> str:
        """See `Emulator.get_channel_path`."""
        return calls.channel_path(calls.find_channel(await self._running_instance(), name))

    async def get_channel_addr(self, name: str) -> Tuple[str, int]:
        """See `Emulator.get_channel_addr`."""
        address = calls.channel_addr(calls.find_channel(await self._running_instance(), name))
        if address is None:
            channel = await self._call(self._expose_call(name, "tcp"))
            address = (channel.host, channel.port)
        return address

    async def get_channel_stream(self, name: str, *, start: Optional[Position] = None) -> AsyncStream:
        """See `Emulator.get_channel_stream`."""
        instance = await self._running_instance()
        calls.find_channel(instance, name)
        start = calls.stream_start(self._streamed, instance, name, start)
        return await self._attach(name, start)

    async def _attach(self, channel: Optional[str], start: Optional[Position]) -> AsyncStream:
        stream = AsyncStream(self, self._attach_open(channel, start), channel or "", self._subject(channel=channel or ""))
        return await stream._open()  # pylint: disable=protected-access

    async def logs(self, channel: Optional[str] = None, start: Optional[Position] = None, *, boot: Optional[int] = None) -> bytes:
        """See `Emulator.logs`."""
        request = self._logs_request(channel, start, boot)
        replies = self._stream("Channels.Read", request, self._subject(channel=request.channel), calls.CALL_DEADLINE_S)
        return b"".join([reply.data.bytes async for reply in replies])

    async def follow(
        self, channel: Optional[str] = None, start: Optional[Position] = None, timeout: Optional[float] = None
    ) -> AsyncIterator[bytes]:
        """See `Emulator.follow`."""
        request = self._read_request(channel, start, follow=True)
        async for reply in self._stream("Channels.Read", request, self._subject(channel=request.channel), timeout):
            yield reply.data.bytes

    async def send(
        self,
        text: Union[str, bytes],
        expect: Optional[Patterns] = None,
        *,
        fail: Optional[Patterns] = None,
        channel: Optional[str] = None,
        timeout: Optional[float] = WAIT_TIMEOUT_S,
    ) -> Any:
        """See `Emulator.send`."""
        end = None if timeout is None else time.monotonic() + timeout

        def left() -> Optional[float]:
            return None if end is None else max(0.0, end - time.monotonic())

        async with await self._attach(channel, "now") as stream:
            offset = stream.offset
            await asyncio.wait_for(stream.write(text.encode() if isinstance(text, str) else text), left())
            if expect is None:
                return offset

            async def pieces() -> AsyncIterator[bytes]:
                while True:
                    piece = await asyncio.wait_for(stream.read(), left())
                    if not piece:
                        return
                    yield piece

            return await self._match(Matcher(expect, fail), pieces(), timeout)
