# SPDX-License-Identifier: Apache-2.0
"""The calls that an emulator's methods make, as values: what `Emulator` makes at once and `AsyncEmulator` awaits."""

from __future__ import annotations

import json
import os
import pathlib
import re
import secrets
import shlex
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

import grpc
from google.protobuf import message

from pwemu import config, origin
from pwemu.errors import InvalidChannelName, InvalidChannelType, InvalidEmulator, NotRunning, RunError, Subject, from_status, reason_of
from pwemu.matching import PatternLike
from pwemu.v1 import channels_pb2, channels_pb2_grpc, common_pb2, daemon_pb2_grpc, instances_pb2, instances_pb2_grpc, properties_pb2
from pwemu.v1 import properties_pb2_grpc, targets_pb2, targets_pb2_grpc
from pwemu.values import End, Position, position, state_word

CALL_DEADLINE_S = 30.0
START_DEADLINE_S = 180.0  # the daemon has shorter ones of its own
STOP_GRACE_S = 5.0
EMULATORS = ("qemu", "renode")

StrPath = Union[str, "os.PathLike[str]"]

_STUBS = {
    "Instances": instances_pb2_grpc.InstancesStub,
    "Channels": channels_pb2_grpc.ChannelsStub,
    "Properties": properties_pb2_grpc.PropertiesStub,
    "Targets": targets_pb2_grpc.TargetsStub,
    "Daemon": daemon_pb2_grpc.DaemonStub,
}


class Call(NamedTuple):
    """One unary call.

    Attributes:
        method: "Service.Method".
        is_repeatable: making it twice is as making it once, so that it may be repeated when the daemon went away under it.
        done_reasons: refusals that tell, of a repetition, that the first one did it.
        variables: of a start: those of its environment that somebody has asked for.
    """

    method: str
    request: message.Message
    subject: Subject
    deadline_s: float = CALL_DEADLINE_S
    is_repeatable: bool = False
    done_reasons: Tuple[str, ...] = ()
    variables: Tuple[str, ...] = ()


class Stubs:
    """The methods of all services on one connection, by "Service.Method"."""

    def __init__(self, channel: Any) -> None:
        self.channel = channel
        self._stubs = {name: stub(channel) for name, stub in _STUBS.items()}
        self._methods: Dict[str, Any] = {}

    def method(self, name: str) -> Any:
        """The callable of the method."""
        if name not in self._methods:
            service, _, method = name.partition(".")
            self._methods[name] = getattr(self._stubs[service], method)
        return self._methods[name]


def is_lost(error: grpc.RpcError) -> bool:
    """The daemon went away, or was not there; not what it has said itself."""
    return error.code() == grpc.StatusCode.UNAVAILABLE and not reason_of(error)


def was_not_sent(error: grpc.RpcError) -> bool:
    """... before it saw the call."""
    return is_lost(error) and "failed to connect" in (error.details() or "").lower()


def _umask() -> int:
    """Read where it does no harm to other threads."""
    with open("/proc/self/status", encoding="ascii", errors="replace") as file:
        for line in file:
            if line.startswith("Umask:"):
                return int(line.split()[1], 8)
    return 0o022


def _image(file: StrPath) -> instances_pb2.Image:
    """FILE or FILE@ADDRESS, with what there is to see of it."""
    path, _, address = os.fspath(file).rpartition("@")
    image = instances_pb2.Image()
    if path and re.fullmatch(r"0[xX][0-9a-fA-F]+|[0-9]+", address) and not os.path.exists(os.fspath(file)):
        image.address = int(address, 0)
    else:
        path = os.fspath(file)
    image.path = os.path.abspath(path)
    try:
        st = os.stat(image.path)
    except OSError:
        return image  # the daemon says why
    image.device, image.inode, image.size = st.st_dev, st.st_ino, st.st_size
    return image


def _words(args: Union[None, str, Sequence[str]]) -> List[str]:
    if args is None:
        return []
    return shlex.split(args) if isinstance(args, str) else list(args)


def _variables(environment: Mapping[str, str]) -> List[str]:
    """Those that protobuf can carry: UTF-8."""
    words = (f"{name}={value}" for name, value in environment.items())
    return [word for word in words if word.isascii() or word.encode(errors="replace").decode() == word]


class Identity:
    """An instance by its working directory, and the messages that name it. After `pw_emu.frontend.Emulator`: what it knows of the
    emulator is its directory and the configuration, everything else is asked for."""

    def __init__(self, wdir: StrPath, config_path: Optional[StrPath] = None) -> None:
        self._wdir = pathlib.Path(os.path.abspath(wdir))
        self._config_path = None if config_path is None else pathlib.Path(config_path)
        self._runner = ""
        self._is_elsewhere = False  # the daemon does not see our files

    def _path(self, name: StrPath) -> pathlib.Path:
        """A file in the working directory."""
        return self._wdir / name

    def set_emu(self, emu: str) -> None:
        """Sets the emulator to use at the next start, where the target has several ("qemu", "renode").

        Raises:
            InvalidEmulator: there is no such emulator.
        """
        if emu not in EMULATORS:
            raise InvalidEmulator(emu)
        self._runner = emu

    # ---------------------------------------------------------------- words

    def _ref(self) -> common_pb2.InstanceRef:
        return common_pb2.InstanceRef(working_dir=str(self._wdir), origin=origin.origin(self._is_elsewhere))

    def _subject(self, **fields: Any) -> Subject:
        return Subject(self._wdir, self._config_path, emulator=self._runner, **fields)

    def _name(self) -> str:
        """The directory's own, as pw_emu's instances have it; else the daemon's default."""
        name = self._wdir.name
        return name if re.fullmatch(r"[A-Za-z0-9_+][A-Za-z0-9._+-]{0,63}", name) else ""

    # ---------------------------------------------------------------- calls

    def _get_call(self) -> Call:
        return Call("Instances.Get", instances_pb2.GetRequest(instance=self._ref()), self._subject(), is_repeatable=True)

    def _start_call(
        self,
        target: str,
        file: Union[None, StrPath, Sequence[StrPath]],
        args: Union[None, str, Sequence[str]],
        environment: Optional[Mapping[str, str]],
        restart: Optional[str],
        lease: Optional[str],
        queue_timeout: Optional[float],
        **flags: bool,
    ) -> Call:
        """Resolves the configuration, which runs the program `pwemu` where there is one."""
        resolved = config.resolve_target(self._config_path, target, self._runner)
        defaults = resolved.defaults if resolved is not None else targets_pb2.TargetDefaults()
        files = [file] if isinstance(file, (str, os.PathLike)) else list(file if file is not None else defaults.files)
        changes = dict(word.partition("=")[::2] for word in defaults.environment)
        changes.update(environment or {})
        request = instances_pb2.StartRequest(
            name=self._name(),
            project=config.find_project(),
            working_dir=str(self._wdir),
            runner=self._runner,
            images=[_image(name) for name in files],
            args=_words(args),
            pause=flags["pause"],
            debug=flags["debug"],
            semihosting=flags["semihosting"] or defaults.semihosting,
            environment=instances_pb2.Environment(variables=_variables(changes), umask=_umask()),
            stop_on_disconnect=flags["foreground"],
            answer_queued=True,
            queue_timeout_ms=0 if queue_timeout is None else max(1, int(queue_timeout * 1000)),
            token=secrets.token_hex(16),
        )
        self._settle(request)
        lease = lease or (None if flags["foreground"] else os.environ.get("PWEMU_LEASE"))
        if lease:
            request.lease.CopyFrom(lease_request(lease))
            request.lease.passed_on = flags["passed_on"] and request.lease.kind == instances_pb2.LEASE_KIND_CLIENT
        if resolved is not None:
            request.target_config.CopyFrom(resolved)
        else:
            request.target_name = target
        if restart is not None:
            request.restart.mode = targets_pb2.RestartMode.Value("RESTART_MODE_" + restart.upper().replace("-", "_"))
        elif resolved is None or not resolved.HasField("restart"):
            request.restart.mode = targets_pb2.RESTART_MODE_NO
        subject = self._subject(target=target)._replace(config=config.find_config(self._config_path))
        return Call("Instances.Start", request, subject, START_DEADLINE_S, is_repeatable=True, variables=tuple(_variables(changes)))

    def _settle(self, request: instances_pb2.StartRequest) -> None:
        """The variables of a client elsewhere stay with it, save those that somebody has asked for, and so does its directory."""
        request.origin.CopyFrom(origin.origin(self._is_elsewhere))
        changes = list(request.environment.variables)
        names = {word.partition("=")[0] for word in changes}
        own = {} if self._is_elsewhere else {name: value for name, value in os.environ.items() if name not in names}
        del request.environment.variables[:]
        request.environment.variables.extend([*_variables(own), *changes])
        request.environment.cwd = "" if self._is_elsewhere else os.getcwd()

    def _move_elsewhere(self, call: "Call") -> None:
        """For a daemon that has said that it is."""
        self._is_elsewhere = True
        if call.method == "Instances.Start":
            del call.request.environment.variables[:]
            call.request.environment.variables.extend(call.variables)
            self._settle(call.request)
        else:
            call.request.instance.CopyFrom(self._ref())

    def _stop_call(self, grace: float) -> Call:
        request = instances_pb2.StopRequest(instance=self._ref(), grace_ms=max(1, int(grace * 1000)))
        return Call("Instances.Stop", request, self._subject(), CALL_DEADLINE_S + grace, True, ("not-running", "no-instance"))

    def _remove_call(self) -> Call:
        request = instances_pb2.RemoveRequest(instance=self._ref(), force=True)
        return Call("Instances.Remove", request, self._subject(), is_repeatable=True, done_reasons=("no-instance",))

    def _share_call(self, name: str, right: str, group: bool) -> Call:
        request = instances_pb2.ShareRequest(instance=self._ref(), right=right, group=group)
        setattr(request, "with", name)
        return Call("Instances.Share", request, self._subject(), is_repeatable=True)

    def _unshare_call(self, name: Optional[str], group: bool) -> Call:
        request = instances_pb2.UnshareRequest(instance=self._ref(), group=group)
        setattr(request, "with", name or "")
        return Call("Instances.Unshare", request, self._subject(), is_repeatable=True)

    def _who_call(self) -> Call:
        return Call("Instances.Who", instances_pb2.WhoRequest(instance=self._ref()), self._subject(), is_repeatable=True)

    def _renew_lease_call(self, ttl: Optional[float]) -> Call:
        request = instances_pb2.RenewLeaseRequest(instance=self._ref(), ttl_ms=0 if ttl is None else max(1, int(ttl * 1000)))
        return Call("Instances.RenewLease", request, self._subject(), is_repeatable=True)

    def _remove_lease_call(self) -> Call:
        request = instances_pb2.RemoveLeaseRequest(instance=self._ref())
        return Call("Instances.RemoveLease", request, self._subject(), is_repeatable=True, done_reasons=("no-lease",))

    def _load_call(self, file: StrPath, pause: bool) -> Call:
        request = instances_pb2.LoadRequest(instance=self._ref(), image=_image(file), pause=pause)
        return Call("Instances.Load", request, self._subject(), is_repeatable=True)

    def _act_call(self, action: str) -> Call:
        request = getattr(instances_pb2, action + "Request")(instance=self._ref())
        return Call("Instances." + action, request, self._subject(), is_repeatable=action != "Reset")

    def _list_properties_call(self, path: str) -> Call:
        request = properties_pb2.ListPropertiesRequest(instance=self._ref(), path=path)
        return Call("Properties.List", request, self._subject(path=path), is_repeatable=True)

    def _get_property_call(self, path: str, prop: str) -> Call:
        request = properties_pb2.GetPropertyRequest(instance=self._ref(), path=path, property=prop)
        return Call("Properties.Get", request, self._subject(path=path, prop=prop), is_repeatable=True)

    def _set_property_call(self, path: str, prop: str, value: Any) -> Call:
        request = properties_pb2.SetPropertyRequest(instance=self._ref(), path=path, property=prop)
        if isinstance(value, str):
            request.text = value
        else:
            request.json = json.dumps(value)
        return Call("Properties.Set", request, self._subject(path=path, prop=prop))

    def _expose_call(self, name: str, kind: str) -> Call:
        request = channels_pb2.ExposeRequest(instance=self._ref(), channel=name, type=kind)
        return Call("Channels.Expose", request, self._subject(channel=name), is_repeatable=True)

    def _read_request(self, channel: Optional[str], start: Optional[Position], **fields: Any) -> channels_pb2.ReadRequest:
        request = channels_pb2.ReadRequest(instance=self._ref(), channel=channel or "", **fields)
        getattr(request, "from").CopyFrom(position(start))
        return request

    def _attach_open(self, channel: Optional[str], start: Optional[Position]) -> channels_pb2.AttachOpen:
        """Beside the writer: neither a terminal of the same user's nor another stream is in the way."""
        request = channels_pb2.AttachOpen(instance=self._ref(), channel=channel or "", beside=True)
        getattr(request, "from").CopyFrom(position(start))
        return request

    def _watch_request(self, **fields: Any) -> instances_pb2.WatchRequest:
        return instances_pb2.WatchRequest(instance=self._ref(), **fields)

    def _logs_request(self, channel: Optional[str], start: Optional[Position], boot: Optional[int]) -> channels_pb2.ReadRequest:
        is_one = boot is not None
        request = self._read_request(channel, start, one_boot=is_one, times=is_one)  # a cut connection goes on in the same boot
        if boot is not None:
            getattr(request, "from").boot_number = boot
        return request

    def _events_request(self, start: Optional[int], follow: bool) -> instances_pb2.WatchRequest:
        request = self._watch_request(no_follow=not follow, snapshots=follow and start is None)  # a snapshot tells where "now" was
        if start is not None:
            request.from_seq = start
        return request


# ---------------------------------------------------------------- answers


_LEASE = re.compile(r"pid:(?P<pid>[1-9]\d*)|ttl:(?P<ttl>\d+)(?P<unit>ms|s|m|h|d|)")
_UNITS_MS = {"ms": 1, "s": 1000, "": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def lease_request(text: str) -> instances_pb2.LeaseRequest:
    """A lease as the command line has it: "client", "pid:NUMBER" or "ttl:TIME".

    Raises:
        ValueError: it is none.
    """
    match = _LEASE.fullmatch(text)
    if text == "client":
        return instances_pb2.LeaseRequest(kind=instances_pb2.LEASE_KIND_CLIENT)
    if match and match["pid"]:
        return instances_pb2.LeaseRequest(kind=instances_pb2.LEASE_KIND_PID, pid=int(match["pid"]))
    if match and int(match["ttl"]):
        return instances_pb2.LeaseRequest(kind=instances_pb2.LEASE_KIND_TTL, ttl_ms=int(match["ttl"]) * _UNITS_MS[match["unit"]])
    raise ValueError(f"'{text}' is no lease: write client, pid:NUMBER or ttl:TIME (ttl:10m)")


def is_client_lease(request: instances_pb2.StartRequest) -> bool:
    """The instance lives as long as somebody keeps the client's connection. A foreground start sees to that itself."""
    return request.lease.kind == instances_pb2.LEASE_KIND_CLIENT and not request.stop_on_disconnect


MAX_ADAPTATIONS = 3
ELSEWHERE = ("client-elsewhere", "image-elsewhere")


def images_of(request: Any) -> List[instances_pb2.Image]:
    """Those of a request."""
    if isinstance(request, instances_pb2.StartRequest):
        return list(request.images)
    return [request.image] if isinstance(request, instances_pb2.LoadRequest) else []


def refused(instance: instances_pb2.Instance, subject: Subject) -> Optional[Exception]:
    """Of a start that had to wait in the queue: why it was refused in the end; None: it was not."""
    if instance.state != instances_pb2.STATE_FAILED or instance.HasField("end"):
        return None
    return from_status(grpc.StatusCode.FAILED_PRECONDITION, instance.refusal, instance.reason or "it did not start", subject, "start")


def states_of(event: instances_pb2.Event, instance: instances_pb2.Instance) -> List[str]:
    """What an event of a watch tells of states: also of one that has passed while the connection was cut."""
    then = [state_word(event.state)] if event.kind == instances_pb2.EVENT_KIND_STATE else []
    return [*then, state_word(instance.state)]


def is_waiting(instance: instances_pb2.Instance) -> bool:
    """Its turn to be started has not come, or it is not ready yet."""
    return instance.state in (instances_pb2.STATE_QUEUED, instances_pb2.STATE_STARTING)


def not_running(wdir: pathlib.Path, instance: instances_pb2.Instance) -> NotRunning:
    """For an instance that has ended."""
    error = NotRunning(wdir)
    error.reason = "not-running"
    error.details = instance.reason or (instance.end.message if instance.HasField("end") else "")
    return error


def has_ended_since(instance: instances_pb2.Instance, begin: float) -> bool:
    """The latest boot ended after that time (`time.time`): of what it was just told to do."""
    return instance.HasField("end") and instance.end.time_ns / 1e9 >= begin


def channel_names(instance: instances_pb2.Instance) -> List[str]:
    """As pw_emu and its handles.json have them: those that are or can be reached by an endpoint, not the logs of what the emulator prints."""
    return [channel.name for channel in instance.channels if channel.kind not in ("emulator", "semihosting")]


def end_of(instance: instances_pb2.Instance) -> Optional[End]:
    """How its latest boot ended; None while it runs."""
    return End.from_message(instance.end) if instance.HasField("end") else None


def stream_start(streamed: Dict[str, int], instance: instances_pb2.Instance, name: str, start: Optional[Position]) -> Position:
    """Where a stream begins: as a port does, everything since the boot for who comes first. `streamed` remembers, by channel."""
    if start is None:
        start = "now" if streamed.get(name) == instance.boot else "boot"
    streamed[name] = instance.boot
    return start


def is_live(state: int) -> bool:
    """The instance has not ended for good."""
    return state not in (instances_pb2.STATE_UNSPECIFIED, instances_pb2.STATE_ENDED, instances_pb2.STATE_FAILED)


def went_well(instance: instances_pb2.Instance) -> bool:
    """What Start replied: it runs, or its guest was done at once, be it by a fault: the same as if that came a moment later."""
    done = (instances_pb2.END_CAUSE_FINISHED, instances_pb2.END_CAUSE_GUEST_RESET, instances_pb2.END_CAUSE_GUEST_FAULT)
    return is_live(instance.state) or (instance.HasField("end") and instance.end.cause in done)


def failed_start(proc: str, text: str, log: bytes) -> RunError:
    """With the emulator's own words, as pw_emu has it."""
    words = log.decode(errors="replace").strip()
    return RunError(proc or "emulator", text + (f"; dumping logs:\n{words}" if words else ""))


def find_channel(instance: instances_pb2.Instance, name: str) -> instances_pb2.Channel:
    """The channel of that name.

    Raises:
        InvalidChannelName: there is none.
    """
    for channel in instance.channels:
        if channel.name == name:
            return channel
    raise InvalidChannelName(name, instance.target, [channel.name for channel in instance.channels])


def property_row(row: properties_pb2.Property) -> Dict[str, Any]:
    """A property as `list_properties` gives it."""
    result: Dict[str, Any] = {"name": row.name, "type": row.type}
    if row.readable or row.writable:  # else the emulator does not tell
        result.update(readable=row.readable, writable=row.writable)
    return result


def channel_type(channel: instances_pb2.Channel) -> str:
    """ "pty" or "tcp". One without an endpoint gets a TCP port when its address is asked for."""
    return "pty" if channel.type == "pty" else "tcp"


def channel_path(channel: instances_pb2.Channel) -> str:
    """The path of its PTY.

    Raises:
        InvalidChannelType: it has none.
    """
    if channel.type != "pty":
        raise InvalidChannelType(channel.name)
    return channel.path


def channel_addr(channel: instances_pb2.Channel) -> Optional[Tuple[str, int]]:
    """Host and port; None: it has no endpoint yet.

    Raises:
        InvalidChannelType: it has a PTY.
    """
    if channel.type == "pty":
        raise InvalidChannelType(channel.name)
    return (channel.host, channel.port) if channel.type == "tcp" else None


def check_wait(match: Optional[PatternLike], state: Any, is_exit: bool) -> None:
    """One thing is waited for at a time.

    Raises:
        ValueError: there are more.
    """
    if sum((match is not None, state is not None, is_exit)) > 1:
        raise ValueError("wait: one of match, state and exit")
