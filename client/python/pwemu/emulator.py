# SPDX-License-Identifier: Apache-2.0
"""Start, control and talk to an emulated board: `pw_emu.frontend` (SEED-0108, "Python APIs"), and what goes beyond it."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple, Union

import grpc

from pwemu import calls, connection, gdb, lost, upload
from pwemu.calls import Call, Identity, StrPath, Stubs
from pwemu.errors import Error, InvalidChannelName, NotRunning, RunError, Subject, from_rpc, reason_of
from pwemu.matching import Matcher, Patterns
from pwemu.streams import ChannelStream
from pwemu.v1 import channels_pb2, common_pb2, daemon_pb2, instances_pb2
from pwemu.values import End, Event, Party, Position, state_word

WAIT_TIMEOUT_S = 60.0


class _Way:
    """To a channel, for a stream."""

    def __init__(self, emulator: "Emulator") -> None:
        self._emulator = emulator
        self._stubs = emulator._connect()
        self.address = emulator._address

    def open(self, requests: Iterator[channels_pb2.AttachRequest]) -> Any:
        """The call."""
        return self._stubs.method("Channels.Attach")(requests)

    def again(self) -> None:
        """After a loss."""
        self._stubs = self._emulator._reconnect(self._stubs)


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
            A connection that was lost is made again: streams (`follow`, `wait`, `events`, `get_channel_stream`) go on at the exact byte
            or event, and what can be repeated without harm is. Where that does not succeed within $PWEMU_RECONNECT (by default 30 s for
            a daemon of another machine, 3 s for one here), the reason is "connection-lost".
        TimeoutError: the daemon did not answer within half a minute (`start`: three), or within the method's own timeout.
    """

    def __init__(self, wdir: StrPath, config_path: Optional[StrPath] = None) -> None:
        super().__init__(wdir, config_path)
        self._address = connection.find_address()
        self._stubs: Optional[Stubs] = None
        self._is_elsewhere = self._address.is_remote
        self._own_stubs: Optional[Stubs] = None  # of a foreground start
        self._own_lock = threading.Lock()
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

    def _renew(self, old: Stubs) -> Stubs:
        with self._own_lock:
            if self._own_stubs is None:
                connection.renew_channel(self._address, old.channel)
            elif self._own_stubs is old:
                self._own_stubs = Stubs(connection.open_channel(self._address))
        return self._connect()

    def _reconnect(self, old: Stubs, deadline: Optional[float] = None) -> Stubs:
        """After a loss; returns when a daemon has answered.

        Raises:
            Error, TimeoutError: as `Loss`, and what the daemon refuses.
        """
        loss = lost.Loss(self._address, deadline)
        stubs = old
        while True:
            try:
                if stubs is old or not self._address.is_remote:
                    stubs = self._renew(stubs)
                stubs.method("Daemon.Info")(daemon_pb2.InfoRequest(), timeout=lost.PROBE_DEADLINE_S)
                lost.note_answer(self._address)
                if stubs is self._own_stubs:
                    self._bind(stubs)
                return stubs
            except grpc.RpcError as error:
                if not lost.is_absence(error):
                    raise from_rpc(error, self._subject(), "Daemon.Info") from None
                why: Exception = error
            except RunError:
                raise
            except Error as error:
                why = error
            time.sleep(loss.next_delay(why))

    def _bind(self, stubs: Stubs) -> None:
        """The lease of a foreground start to its next connection."""
        request = self._watch_request(stop_on_disconnect=True, no_follow=True)
        list(stubs.method("Instances.Watch")(request, timeout=lost.PROBE_DEADLINE_S))

    def _call(self, call: Call) -> Any:
        """Makes it, again where the connection was lost and that can do no harm, or where the daemon turns out to see other files."""
        if self._is_elsewhere:
            self._send_images(call)
        losses = adaptations = 0
        while True:
            stubs = self._connect()
            try:
                reply = stubs.method(call.method)(call.request, timeout=call.deadline_s)
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
                    self._send_images(call)
                elif losses < lost.MAX_FRUITLESS and (calls.was_not_sent(error) or (call.is_repeatable and calls.is_lost(error))):
                    losses += 1
                    self._reconnect(stubs)
                else:
                    raise self._explain(error, call.subject, call.method) from None

    def _send_images(self, call: Call) -> None:
        """To a daemon that does not see them, as far as it does not have them."""
        for image in calls.images_of(call.request):
            content = upload.look_at(image.path)
            self._upload(content, call.subject)
            content.fill(image)

    def _upload(self, content: upload.Upload, subject: Subject) -> None:
        losses = 0
        while True:
            stubs = self._connect()
            send = stubs.method("Channels.Upload")
            try:
                if not send(content.probe(), timeout=upload.PROBE_DEADLINE_S).present:
                    send(content.pieces(), timeout=content.deadline_s)
                lost.note_answer(self._address)
                return
            except grpc.RpcError as error:
                losses += 1
                if not calls.is_lost(error) or losses > lost.MAX_FRUITLESS:
                    raise self._explain(error, subject, f'upload of "{content.path}"') from None
                self._reconnect(stubs)

    def _explain(self, error: grpc.RpcError, subject: Subject, what: str) -> Exception:
        result = from_rpc(error, subject, what)
        if isinstance(result, InvalidChannelName):
            instance = self._instance()
            return result.about(instance.target, [channel.name for channel in instance.channels])
        return result

    def _stream(self, method: str, request: Any, subject: Subject, timeout: Optional[float] = None) -> Iterator[Any]:
        """A server stream, over cut connections. Ends when it is closed or done; DEADLINE_EXCEEDED is a TimeoutError."""
        resume = lost.Resume(request, self._address, timeout)
        if lost.is_from_end(request):
            lost.fixed_start(request, self._instance())
        while True:
            stubs = self._connect()
            call = stubs.method(method)(request, timeout=resume.begin())
            try:
                for reply in call:
                    wanted = resume.take(reply)
                    if wanted is not None:
                        yield wanted
                return
            except grpc.RpcError as error:
                if not calls.is_lost(error):
                    raise self._explain(error, subject, method) from None
                resume.note_loss(error)
                self._reconnect(stubs, resume.deadline)
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
        lease: Optional[str] = None,
        queue_timeout: Optional[float] = None,
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
            environment: variables for the emulator beside this process's own; a daemon of another machine gets these alone.
            lease: on whose behalf it lives, it is stopped when that is gone: "client" (this process, over cut connections), "pid:NUMBER"
                (a process on the daemon's machine), "ttl:TIME" ("ttl:10m"); by default $PWEMU_LEASE, else nobody's.
            queue_timeout: seconds that it may wait where the daemon lets it wait for its turn (the setting `max-running`); None: as long
                as it takes.

        Raises:
            TimeoutError: `queue_timeout` is over.
            ValueError: `lease` is none.
            AlreadyRunning: an emulator runs in the working directory.
            InvalidTarget: no such target (a ConfigError too).
            ConfigError: the configuration is wrong.
            RunError: the emulator cannot be executed or refused its arguments; its own words are in the text.
        """
        foreground = foreground or debug
        flags = {"pause": pause, "debug": debug, "foreground": foreground, "semihosting": semihosting}
        flags["passed_on"] = connection.is_passed_on(self._address)
        call = self._start_call(target, file, args, environment, restart, lease, queue_timeout, **flags)
        self._wdir.mkdir(mode=0o700, parents=True, exist_ok=True)
        if foreground:
            self._start_foreground(call)
        else:
            self._start(call)

    def _start(self, call: Call) -> None:
        try:
            instance = self._await_turn(self._call(call), call.subject)
        except RunError as error:
            if error.reason != "emulator-refused":
                raise
            failure = calls.failed_start(error.proc, error.details, self._last_words())
            failure.reason = error.reason
            raise failure from None
        self._is_known = True
        if not calls.went_well(instance):
            raise calls.failed_start(instance.emulator, instance.reason or instance.end.message, self._last_words())
        if calls.is_client_lease(call.request):
            threading.Thread(target=self._keep_lease, args=(call.subject,), name="pwemu-lease", daemon=True).start()

    def _await_turn(self, instance: instances_pb2.Instance, subject: Subject) -> instances_pb2.Instance:
        """Of a start that was answered because it has to wait in the queue: until it is ready, or over."""
        if instance.state != instances_pb2.STATE_QUEUED:
            return instance
        request = instances_pb2.WatchRequest(instance=common_pb2.InstanceRef(id=instance.id), snapshots=True)
        for event in self._stream("Instances.Watch", request, subject):
            instance = event.snapshot if event.HasField("snapshot") else instance
            if not calls.is_waiting(instance):
                break
        refusal = calls.refused(instance, subject)
        if refusal is not None:
            raise refusal
        return instance

    def _keep_lease(self, subject: Subject) -> None:
        """A client's lease is bound to the connection, and to the next one after a loss."""
        try:
            for _ in self._stream("Instances.Watch", self._watch_request(stop_on_disconnect=True), subject):
                pass
        except (Error, TimeoutError, ValueError):
            pass  # for the daemon it is over, too

    def _last_words(self) -> bytes:
        try:
            return self.logs("emulator")
        except (Error, TimeoutError):
            return b""

    def _start_foreground(self, call: Call) -> None:
        """On a connection of its own, since the instance ends with it."""
        self._own_stubs = Stubs(connection.open_channel(self._address))
        try:
            self._start(call)
            for piece in self.follow("emulator"):
                sys.stdout.write(piece.decode(errors="replace"))
                sys.stdout.flush()
        except KeyboardInterrupt:
            self.stop()
            raise
        finally:
            stubs, self._own_stubs = self._own_stubs, None
            stubs.channel.close()

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
            for state_now in calls.states_of(event, instance) if wanted is not None else ():
                if state_now in wanted:
                    return state_now
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

    # ---------------------------------------------------------------- others

    def share(self, name: str, right: str, *, group: bool = False) -> None:
        """Lets another user of the daemon's machine use the instance; `info().shares` tells who may.

        Args:
            name: user or group, by name or number; where both are of that name it is the user.
            right: "view" (state, logs, output), "write" (input to serial channels besides) or "control" (everything). Replaces what he had.
            group: take `name` for a group.

        Raises:
            Error: there is no such user (reason "no-user"), or the instance is not ours to share.
        """
        self._call(self._share_call(name, right, group))

    def unshare(self, name: Optional[str] = None, *, group: bool = False) -> None:
        """Takes that back, and closes the streams that needed it.

        Args:
            name, group: as in `share`; None: everybody's.
        """
        self._call(self._unshare_call(name, group))

    def who(self) -> List[Party]:
        """Who is attached to the instance, sorted by channel, then time."""
        return [Party.from_message(party) for party in self._call(self._who_call()).parties]

    def renew_lease(self, ttl: Optional[float] = None) -> None:
        """Makes a ttl lease last from now on; `info().lease` tells how long.

        Args:
            ttl: its new length in seconds; None: the old one.

        Raises:
            Error: there is none (reason "no-lease"), or it is of another kind ("invalid-lease").
        """
        self._call(self._renew_lease_call(ttl))

    def remove_lease(self) -> None:
        """The instance lives on without.

        Raises:
            Error: there is none (reason "no-lease").
        """
        self._call(self._remove_lease_call())

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

        return ChannelStream(_Way(self), self._attach_open(channel, start), timeout, explain)

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
