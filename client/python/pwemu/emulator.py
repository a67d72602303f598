# SPDX-License-Identifier: Apache-2.0
"""Start, control and talk to an emulated board: `pw_emu.frontend` (SEED-0108, "Python APIs"), and what goes beyond it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple, Union

import grpc

from pwemu import calls, connection, gdb
from pwemu.calls import Call, Identity, StrPath, Stubs
from pwemu.errors import Error, InvalidChannelName, NotRunning, RunError, Subject, from_rpc
from pwemu.matching import Matcher, Patterns
from pwemu.streams import ChannelStream
from pwemu.v1 import channels_pb2, instances_pb2
from pwemu.values import End, Event, Position, state_word

WAIT_TIMEOUT_S = 60.0


class Emulator(Identity):
    """An emulator instance, by its working directory; `pw_emu.frontend.Emulator`.

    Several objects, processes and the command line (`pwemu -C WDIR`, or with $PW_EMU_WDIR) may use one instance at the same time. An
    object may start and stop as often as it likes.

    Args:
        wdir: working directory of the instance; made by `start`.
        config_path: configuration to use instead of the project's pigweed.json or pwemu.json.

    Raises, from every method:
        NotRunning: where the method needs a running instance.
        Error: the daemon has gone under the call; what failed otherwise, with the daemon's reason. All exceptions are `Error`s.
        TimeoutError: the daemon did not answer within half a minute (`start`: three), or within the method's own timeout.
    """

    def __init__(self, wdir: StrPath, config_path: Optional[StrPath] = None) -> None:
        super().__init__(wdir, config_path)
        self._address = connection.find_address()
        self._stubs: Optional[Stubs] = None
        self._own_stubs: Optional[Stubs] = None  # of a foreground start
        self._is_known = False  # it was seen running by this object
        self._streamed: Dict[str, int] = {}  # channel -> boot in which this object has opened it

    # ---------------------------------------------------------------- calls

    def _connect(self) -> Stubs:
        if self._own_stubs is not None:
            return self._own_stubs
        channel = connection.shared_channel(self._address)
        if self._stubs is None or self._stubs.channel is not channel:
            self._stubs = Stubs(channel)
        return self._stubs

    def _reconnect(self, old: Stubs) -> Stubs:
        if self._own_stubs is None:
            connection.renew_channel(self._address, old.channel)
        return self._connect()

    def _call(self, call: Call) -> Any:
        """Makes it, once more where the daemon went away and that can do no harm."""
        stubs = self._connect()
        try:
            try:
                reply = stubs.method(call.method)(call.request, timeout=call.deadline_s)
            except grpc.RpcError as error:
                if not (calls.was_not_sent(error) or (call.is_repeatable and calls.is_lost(error))):
                    raise
                reply = self._reconnect(stubs).method(call.method)(call.request, timeout=call.deadline_s)
        except grpc.RpcError as error:
            raise self._explain(error, call.subject, call.method) from None
        return reply

    def _explain(self, error: grpc.RpcError, subject: Subject, what: str) -> Exception:
        result = from_rpc(error, subject, what)
        if isinstance(result, InvalidChannelName):
            instance = self._instance()
            return result.about(instance.target, [channel.name for channel in instance.channels])
        return result

    def _stream(self, method: str, request: Any, subject: Subject, timeout: Optional[float] = None) -> Iterator[Any]:
        """A server stream. Ends when it is closed or done; DEADLINE_EXCEEDED is a TimeoutError."""
        stubs = self._connect()
        call = stubs.method(method)(request, timeout=timeout)
        is_begun = False
        try:
            while True:
                try:
                    for reply in call:
                        is_begun = True
                        yield reply
                    return
                except grpc.RpcError as error:
                    if is_begun or not calls.is_lost(error):
                        raise self._explain(error, subject, method) from None
                    is_begun = True  # once
                    stubs = self._reconnect(stubs)
                    call = stubs.method(method)(request, timeout=timeout)
        finally:
            call.cancel()

    def _instance(self) -> instances_pb2.Instance:
        return self._call(self._get_call())

    def _running_instance(self) -> instances_pb2.Instance:
        instance = self._instance()
        if not calls.is_live(instance.state):
            raise calls.not_running(self._wdir, instance)
        self._is_known = True
        return instance

    # ---------------------------------------------------------------- life

    def start(
        self,
        target: str,
        file: Union[None, StrPath, Sequence[StrPath]] = None,
        pause: bool = False,
        debug: bool = False,
        foreground: bool = False,
        args: Union[None, str, Sequence[str]] = None,
        *,
        semihosting: bool = False,
        restart: Optional[str] = None,
        environment: Optional[Mapping[str, str]] = None,
    ) -> None:
        """Starts the emulator; returns when it is ready (SEED-0108, `Emulator.start`). A guest that is done at once is no error; `wait` and `end`
        say how it ended.

        Args:
            target: a target of the configuration, or a preset (`pwemu targets`).
            file: image to load before the guest runs: ELF, hex, or bin ("FILE@ADDRESS" for other than the flash's base); several
                in a sequence.
            pause: the guest does not run before `cont` or a debugger lets it.
            debug: in the foreground, and the emulator reports errors of the guest.
            foreground: returns when the emulator has ended; its messages go to stdout meanwhile. Ctrl-C and the end of this process
                end it.
            args: further arguments of the emulator: words, or one string quoted as in a shell.
            semihosting: turns semihosting on; its console is the channel "semihosting".
            restart: "no", "on-failure" or "always"; by default the target's, else "no".
            environment: variables for the emulator beside this process's own.

        Raises:
            AlreadyRunning: an emulator runs in the working directory.
            InvalidTarget: no such target (a ConfigError too).
            ConfigError: the configuration is wrong.
            RunError: the emulator cannot be executed or refused its arguments; its own words are in the text.
        """
        foreground = foreground or debug
        flags = {"pause": pause, "debug": debug, "foreground": foreground, "semihosting": semihosting}
        call = self._start_call(target, file, args, environment, restart, **flags)
        self._wdir.mkdir(mode=0o700, parents=True, exist_ok=True)
        if foreground:
            self._start_foreground(call)
        else:
            self._start(call)

    def _start(self, call: Call) -> None:
        try:
            instance = self._call(call)
        except RunError as error:
            if error.reason != "emulator-refused":
                raise
            failure = calls.failed_start(error.proc, error.details, self._last_words())
            failure.reason = error.reason
            raise failure from None
        self._is_known = True
        if not calls.went_well(instance):
            raise calls.failed_start(instance.emulator, instance.reason or instance.end.message, self._last_words())

    def _last_words(self) -> bytes:
        try:
            return self.logs("emulator")
        except (Error, TimeoutError):
            return b""

    def _start_foreground(self, call: Call) -> None:
        """On a connection of its own, since the instance ends with it."""
        channel = connection.open_channel(self._address)
        self._own_stubs = Stubs(channel)
        try:
            self._start(call)
            for piece in self.follow("emulator"):
                sys.stdout.write(piece.decode(errors="replace"))
                sys.stdout.flush()
        except KeyboardInterrupt:
            self.stop()
            raise
        finally:
            self._own_stubs = None
            channel.close()

    def stop(self, grace: float = calls.STOP_GRACE_S) -> None:
        """Stops the emulator and every process below it; returns when nothing is left. Silent when this object has seen it run and it
        has ended meanwhile.

        Args:
            grace: seconds between SIGTERM and SIGKILL.

        Raises:
            NotRunning: none runs, and this object has never seen one.
        """
        try:
            self._call(self._stop_call(grace))
        except NotRunning:
            if not self._is_known:
                raise
        self._is_known = True

    def running(self) -> bool:
        """Whether the emulator runs, or will be started again by its restart policy."""
        try:
            self._running_instance()
        except NotRunning:
            return False
        return True

    def reset(self) -> None:
        """Resets the board. A paused one stays paused."""
        self._call(self._act_call("Reset"))

    def cont(self) -> None:
        """Lets the guest run on; no error where it runs, or where it was done before this returned."""
        begin = time.time()
        try:
            self._call(self._act_call("Resume"))
        except NotRunning:
            if not calls.has_ended_since(self._instance(), begin):
                raise

    def pause(self) -> None:
        """Stops the guest, not the emulator; no error where it is paused."""
        self._call(self._act_call("Pause"))

    def load(self, file: StrPath, pause: bool = False) -> None:
        """Writes an image into the running board, resets it and lets it run from there.

        Args:
            file: as in `start`.
            pause: leave it paused before its first instruction.
        """
        self._call(self._load_call(file, pause))

    # ---------------------------------------------------------------- state and ends

    def info(self) -> instances_pb2.Instance:
        """Everything the daemon knows of the instance, as the message of proto/pwemu/v1/instances.proto."""
        return self._instance()

    @property
    def state(self) -> str:
        """ "starting", "running", "paused", "stopping", "ended", "failed" or "backoff"."""
        return state_word(self._instance().state)

    @property
    def end(self) -> Optional[End]:
        """How the latest boot ended: reason, exit code, message; None while it runs."""
        return calls.end_of(self._instance())

    def events(self, start: Optional[int] = 1, follow: bool = False, timeout: Optional[float] = None) -> Iterator[Event]:
        """What happened to the instance: states, ends and their reasons, restarts, who attached, who writes.

        Args:
            start: number of the first event wanted, 1: the oldest that is kept; None: only what comes.
            follow: go on with what comes, until the instance has ended.
            timeout: of all of it, in seconds; None: none.
        """
        for message in self._stream("Instances.Watch", self._events_request(start, follow), self._subject(), timeout):
            if message.kind != instances_pb2.EVENT_KIND_SNAPSHOT:
                yield Event.from_message(message)

    def wait(
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
        """Waits for a text, a state, or (without both) the end.

        Args:
            match: regular expression that is searched for in the channel's bytes; of several all must be found.
            fail: one or several that mean failure.
            state: a state or several, see `state`.
            exit: until the instance has ended for good.
            channel: where to look; the first console by default.
            start: where to begin to look, see `pwemu.Position`; by default the first byte since the latest start.
            timeout: in seconds; None: for ever.

        Returns:
            For match the `re.Match` (of bytes; a list of them for a list), for state the state, for exit the `End`.

        Raises:
            UnexpectedOutput: a text of `fail` came, or the instance ended without the match.
            NotRunning: the instance ended without the state.
            TimeoutError: time is up; the text has the last output.
        """
        calls.check_wait(match, state, exit)
        if match is not None:
            request = self._read_request(channel, start, follow=True)
            return self._match(Matcher(match, fail), (reply.data.bytes for reply in self._read(request, timeout)), timeout)
        wanted = [state] if isinstance(state, str) else state
        instance = instances_pb2.Instance()
        for event in self._stream("Instances.Watch", self._watch_request(snapshots=True), self._subject(), timeout):
            instance = event.snapshot if event.HasField("snapshot") else instance
            if wanted is not None and state_word(instance.state) in wanted:
                return state_word(instance.state)
        if wanted is not None:
            raise calls.not_running(self._wdir, instance)
        return calls.end_of(instance)

    @staticmethod
    def _match(matcher: Matcher, pieces: Iterator[bytes], timeout: Optional[float]) -> Any:
        try:
            for piece in pieces:
                if matcher.feed(piece):
                    return matcher.result
        except TimeoutError:
            raise matcher.late(timeout) from None
        finally:
            pieces.close()  # type: ignore[attr-defined]
        raise matcher.ended()

    # ---------------------------------------------------------------- gdb

    def get_gdb_remote(self) -> str:
        """What gdb's `target remote` takes: "host:port", or the path of a PTY. A channel without an address gets one."""
        channel = calls.find_channel(self._running_instance(), "gdb")
        if calls.channel_type(channel) == "pty":
            return channel.path
        host, port = self.get_channel_addr("gdb")
        return f"{host}:{port}"

    def get_gdb_cmd(self) -> List[str]:
        """The target's gdb command, first word the program; empty if it has none."""
        return list(self._running_instance().gdb)

    def run_gdb_cmds(
        self,
        commands: List[str],
        executable: Optional[StrPath] = None,
        pause: bool = False,
        *,
        timeout: Optional[float] = gdb.TIMEOUT_S,
    ) -> "subprocess.CompletedProcess[bytes]":
        """Connects gdb and runs commands in batch mode (SEED-0108, `Emulator.run_gdb_cmds`). Needs no port: where the channel has
        none, gdb talks through `pwemu pipe`.

        Args:
            commands: gdb's commands, one after the other.
            executable: ELF file whose symbols some commands need; by default the one the instance was started with.
            pause: leave the guest paused.
            timeout: in seconds; None: none.

        Returns:
            gdb's exit code, stdout and stderr; it is for the caller to look at them.

        Raises:
            ConfigError: the target has no gdb.
            RunError: gdb is not there, with the package that has it, or took too long.
        """
        if pause:
            self.pause()  # who is paused before the debugger comes is paused after
        return gdb.run(self._running_instance(), self._address, commands, executable, timeout)

    # ---------------------------------------------------------------- properties

    def list_properties(self, path: str) -> List[Dict[str, Any]]:
        """Properties of a device, each with "name" and "type" (SEED-0108, `Emulator.list_properties`).

        Where the emulator tells it (Renode), also with "readable" and "writable".

        Args:
            path: the emulator's own: "/machine/soc", for QEMU also an unambiguous part of one.

        Raises:
            InvalidPropertyPath: no such device.
        """
        reply = self._call(self._list_properties_call(path))
        return [calls.property_row(row) for row in reply.properties]

    def get_property(self, path: str, prop: str) -> Any:
        """Value of a property, in the type it has in JSON.

        Raises:
            InvalidPropertyPath, InvalidProperty: with the nearest names.
        """
        return json.loads(self._call(self._get_property_call(path, prop)).json)

    def set_property(self, path: str, prop: str, value: Any) -> None:
        """Sets a property.

        Args:
            value: a bool, number, list or dict as it is; a text is turned into the property's own type ("off" for a bool).

        Raises:
            InvalidPropertyPath, InvalidProperty: with the nearest names.
        """
        self._call(self._set_property_call(path, prop, value))

    # ---------------------------------------------------------------- channels

    def get_channels(self) -> List[str]:
        """Names of the channels, in the order of the configuration (SEED-0108, `Emulator.get_channels`): those that handles.json shows once they
        have endpoints. What the emulator prints is in `logs("emulator")`.
        """
        return calls.channel_names(self._running_instance())

    def get_channel_type(self, name: str) -> str:
        """ "tcp" or "pty" (SEED-0108, `Emulator.get_channel_type`). "tcp" also for a channel without an endpoint, which
        `get_channel_addr` gives it.

        Raises:
            InvalidChannelName: no such channel.
        """
        return calls.channel_type(calls.find_channel(self._running_instance(), name))

    def get_channel_path(self, name: str) -> str:
        """Path of the channel's PTY.

        Raises:
            InvalidChannelName: no such channel.
            InvalidChannelType: it is a tcp channel.
        """
        return calls.channel_path(calls.find_channel(self._running_instance(), name))

    def get_channel_addr(self, name: str) -> Tuple[str, int]:
        """Host and TCP port of the channel, for the life of the instance. Only its owner and root get in.

        Raises:
            InvalidChannelName: no such channel.
            InvalidChannelType: it is a pty channel.
        """
        address = calls.channel_addr(calls.find_channel(self._running_instance(), name))
        if address is None:
            channel = self._call(self._expose_call(name, "tcp"))
            address = (channel.host, channel.port)
        return address

    def get_channel_stream(self, name: str, timeout: Optional[float] = None, *, start: Optional[Position] = None) -> ChannelStream:
        """The channel as a raw stream (SEED-0108, `Emulator.get_channel_stream`); see `ChannelStream` for what timeouts do. Any number
        of streams and terminals may read one channel at the same time.

        Args:
            timeout: None: blocking; 0: non-blocking; else seconds.
            start: where to begin, see `pwemu.Position`. By default an object's first stream of a channel has everything since the
                board booted, whenever it is opened, and later ones what comes from then on.

        Raises:
            InvalidChannelName: no such channel.
        """
        instance = self._running_instance()
        calls.find_channel(instance, name)
        return self._attach(name, calls.stream_start(self._streamed, instance, name, start), timeout)

    def _attach(self, channel: Optional[str], start: Optional[Position], timeout: Optional[float]) -> ChannelStream:
        subject = self._subject(channel=channel or "")

        def explain(error: grpc.RpcError) -> Exception:
            return self._explain(error, subject, "Channels.Attach")

        stubs = self._connect()
        opening = self._attach_open(channel, start)
        return ChannelStream(stubs.method("Channels.Attach"), opening, timeout, explain)

    def _read(self, request: channels_pb2.ReadRequest, timeout: Optional[float]) -> Iterator[channels_pb2.ReadReply]:
        return self._stream("Channels.Read", request, self._subject(channel=request.channel), timeout)

    def logs(self, channel: Optional[str] = None, start: Optional[Position] = None, *, boot: Optional[int] = None) -> bytes:
        """What the channel has printed so far, also of an instance that has ended.

        Args:
            channel: the first console by default; "emulator" has the emulator's own messages.
            start: where to begin, see `pwemu.Position`; by default the first byte since the latest start.
            boot: only this boot: a number from 1, 0 the current one, -1 the one before it.
        """
        request = self._logs_request(channel, start, boot)
        return b"".join(reply.data.bytes for reply in self._read(request, calls.CALL_DEADLINE_S))

    def follow(self, channel: Optional[str] = None, start: Optional[Position] = None, timeout: Optional[float] = None) -> Iterator[bytes]:
        """As `logs`, piece by piece, and then what comes until the instance has ended.

        Raises:
            TimeoutError: after `timeout` seconds of all of it; None: never.
        """
        for reply in self._read(self._read_request(channel, start, follow=True), timeout):
            yield reply.data.bytes

    def send(
        self,
        text: Union[str, bytes],
        expect: Optional[Patterns] = None,
        *,
        fail: Optional[Patterns] = None,
        channel: Optional[str] = None,
        timeout: Optional[float] = WAIT_TIMEOUT_S,
    ) -> Any:
        """Types a text; with `expect` waits for the answer, in what comes after the text only.

        Args:
            text: str is sent as UTF-8; nothing is added (Enter is "\\r" for most boards).
            expect, fail, timeout: as in `wait`.
            channel: the first console by default.

        Returns:
            The match; without `expect` the channel's offset in bytes before the text, for `wait(start=...)`.

        Raises:
            UnexpectedOutput, TimeoutError: as in `wait`.
        """
        end = None if timeout is None else time.monotonic() + timeout
        with self._attach(channel, "now", timeout) as stream:
            offset = stream.offset
            stream.write(text.encode() if isinstance(text, str) else text)
            if expect is None:
                return offset

            def pieces() -> Iterator[bytes]:
                while True:
                    if end is not None:
                        stream.timeout = max(end - time.monotonic(), 0.001)
                    piece = stream.read(65536)
                    if not piece:
                        return
                    yield piece

            return self._match(Matcher(expect, fail), pieces(), timeout)
