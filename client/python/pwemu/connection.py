# SPDX-License-Identifier: Apache-2.0
"""Where the daemon is, starting the user's own when none answers, and one gRPC channel per daemon and process.

Looked for as the command line does: $PWEMU_HOST, $PWEMU_CONTEXT, the current context, the whole-host daemon's socket if it exists, the
user's socket. Only for the last a daemon is started, by the program `pwemu`. Nothing here forks the calling process: the program is run by `subprocess`.
"""

from __future__ import annotations

import os
import pathlib
import re
import shutil
import socket
import stat
import subprocess
import threading
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import grpc

from pwemu import host as hosts
from pwemu import ssh
from pwemu.errors import Error, RunError

REMOTE = "?remote"  # of unix:, a socket that leads to another machine, as `ssh -L` makes it
SYSTEM_SOCKET = "/run/pwemu/control.sock"
PROGRAM_DEADLINE_S = 60.0
PROBE_DEADLINE_S = 5.0

# A connection that was lost is tried again at once, not after gRPC's second. "min" is how long one attempt may take, the handshake
# included: 20 ms are not enough on a busy machine.
CHANNEL_OPTIONS = [
    ("grpc.initial_reconnect_backoff_ms", 20),
    ("grpc.min_reconnect_backoff_ms", 10000),
    ("grpc.max_reconnect_backoff_ms", 500),
    ("grpc.max_receive_message_length", 16 << 20),
    ("grpc.enable_http_proxy", 0),
]
# A silent connection that leads over a network is asked whether it is still there, while a call waits, and is lost without an answer.
KEEPALIVE_OPTIONS = [
    ("grpc.keepalive_time_ms", 15000),
    ("grpc.keepalive_timeout_ms", 10000),
    ("grpc.http2.max_pings_without_data", 0),
]


def find_program() -> str:
    """Path of the program `pwemu`: $PWEMU, the PATH, beside this package (source tree or installation).

    Raises:
        RunError: there is none.
    """
    named = os.environ.get("PWEMU")
    if named:
        return named
    found = shutil.which("pwemu")
    if found:
        return found
    package = pathlib.Path(__file__).resolve().parent
    for place in (package.parents[2] / "build/release/bin/pwemu", package.parents[3] / "bin/pwemu"):
        if os.access(place, os.X_OK):
            return str(place)
    raise RunError("pwemu", "program not found; put it on the PATH or name it in $PWEMU")


def run_program(arguments: Sequence[str]) -> "subprocess.CompletedProcess[str]":
    """Runs `pwemu` with these arguments; its output is captured.

    Raises:
        RunError: it cannot be executed, or takes longer than a minute.
    """
    program = find_program()
    try:
        return subprocess.run(
            [program, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=PROGRAM_DEADLINE_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RunError(program, str(error)) from error


def without_prefix(text: str) -> str:
    """What the program said on stderr, without its name in front."""
    return re.sub(r"^pwemu: ", "", text.strip(), flags=re.MULTILINE)


class Address(NamedTuple):
    """Where a daemon is.

    Attributes:
        path: of a control socket; of another machine's the address.
        is_private: it is that of the user's own daemon, which may be started.
        host: of tcp://.
        is_remote: the way to it leads over a network: it does not see our files, and a connection can be lost.
    """

    path: str
    is_private: bool
    host: Optional[hosts.Host] = None
    is_remote: bool = False

    @property
    def url(self) -> str:
        """For $PWEMU_HOST; it may have a token in it."""
        if self.host is not None or self.path.startswith(ssh.SCHEME):
            return self.path
        return f"unix:{self.path}{REMOTE if self.is_remote else ''}"

    def __str__(self) -> str:
        return repr(self.host) if self.host is not None else self.url


def _private_dir(name: str) -> Optional[str]:
    value = os.environ.get(name, "")
    return value if value.startswith("/") else None


def _runtime_dir() -> str:
    xdg = _private_dir("XDG_RUNTIME_DIR")
    try:
        if xdg and os.stat(xdg).st_uid == os.geteuid():
            return xdg + "/pwemu"
    except OSError:
        pass
    return f"/tmp/pwemu-{os.geteuid()}"


def _state_dir() -> str:
    if _private_dir("XDG_STATE_HOME"):
        return os.environ["XDG_STATE_HOME"] + "/pwemu"
    if _private_dir("HOME"):
        return os.environ["HOME"] + "/.local/state/pwemu"
    return f"/tmp/pwemu-{os.geteuid()}/state"


def _is_socket(path: str) -> bool:
    try:
        return stat.S_ISSOCK(os.stat(path).st_mode)
    except OSError:
        return False


def find_address(host: Optional[str] = None) -> Address:
    """Where the daemon is, whether it runs or not.

    Raises:
        Error: `host` or $PWEMU_HOST is no address, $PWEMU_CONTEXT or the current context none that there is.
    """
    host = host or os.environ.get("PWEMU_HOST")
    ca = None
    if not host:
        host, ca = hosts.find_context() or (None, None)
    if host and host.startswith("tcp://"):
        return Address(host, False, hosts.parse(host, ca), True)
    if host and host.startswith(ssh.SCHEME):
        ssh.command(host)
        return Address(host, False, None, True)
    if host:
        path = host[5:] if host.startswith("unix:") else host
        is_remote = path.endswith(REMOTE)
        path = path[: -len(REMOTE)] if is_remote else path
        if not path.startswith("/"):
            raise Error(f"host '{host}': write unix:/path/of/control.sock, ssh://[user@]host or tcp://HOST:PORT")
        return Address(path, False, None, is_remote)
    if _is_socket(SYSTEM_SOCKET):
        return Address(SYSTEM_SOCKET, False)
    return Address(_runtime_dir() + "/control.sock", True)


def _answers(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(PROBE_DEADLINE_S)
        try:
            probe.connect(path)
        except OSError:
            return False
    return True


def _holder() -> str:
    """Socket of the daemon that has our state directory: another session's has another XDG_RUNTIME_DIR."""
    try:
        text = pathlib.Path(_state_dir(), "daemon.lock").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return text.partition(", socket ")[2].strip()


def ensure_daemon(address: Address) -> str:
    """Path of a socket at which a daemon answers, having started the user's own if need be. May take some 10 ms, at most a minute.

    Raises:
        Error: none answers, with the reason.
        RunError: the program `pwemu` is not there to start one.
    """
    if address.path.startswith(ssh.SCHEME):
        return ssh.socket_of(address.path)
    if address.is_remote or _answers(address.path):
        return address.path
    if not address.is_private:
        raise Error(f"no daemon answers at {address.path}")
    result = run_program(["ls"])
    for path in (address.path, _holder()):
        if path and _answers(path):
            return path
    raise Error(f"the daemon cannot be started: {without_prefix(result.stderr) or 'nothing was said'}")


_lock = threading.Lock()
_channels: Dict[str, grpc.Channel] = {}
_abandoned: List[grpc.Channel] = []


def _after_fork() -> None:
    """gRPC's threads are not in a forked child: it would wait for them for ever, even to close what its parent has open."""
    global _lock  # pylint: disable=global-statement
    _lock = threading.Lock()
    _abandoned.extend(_channels.values())
    _channels.clear()


os.register_at_fork(after_in_child=_after_fork)


def is_passed_on(address: Address) -> bool:
    """Another process has the connection, and passes it on."""
    return address.path.startswith(ssh.SCHEME)


def explain(address: Address, what: str) -> str:
    """With what ssh tells of the end of a connection, where it leads through one."""
    said = ssh.why(address.path) if address.path.startswith(ssh.SCHEME) else ""
    return said or what


def _options(address: Address) -> List[Tuple[str, Any]]:
    options = [*CHANNEL_OPTIONS, ("grpc.use_local_subchannel_pool", 1), *(KEEPALIVE_OPTIONS if address.is_remote else [])]
    return [*options, *address.host.options()] if address.host is not None else options


def open_channel(address: Address) -> grpc.Channel:
    """A connection of its own to the daemon there, which the caller closes.

    Raises:
        As `ensure_daemon`.
    """
    path = ensure_daemon(address)
    if address.host is not None:
        return grpc.secure_channel(address.host.target(), address.host.credentials(), options=_options(address))
    return grpc.insecure_channel("unix:" + path, options=_options(address))


def open_async_channel(address: Address, path: str) -> grpc.aio.Channel:
    """The same for asyncio; `path` is what `ensure_daemon` gave."""
    if address.host is not None:
        return grpc.aio.secure_channel(address.host.target(), address.host.credentials(), options=_options(address))
    return grpc.aio.insecure_channel("unix:" + path, options=_options(address))


def shared_channel(address: Address) -> grpc.Channel:
    """This process's connection to the daemon there, made when it is first asked for.

    Raises:
        Error: this process was forked from one that has a connection.
        As `ensure_daemon` otherwise.
    """
    if _abandoned:
        raise Error("a forked process cannot use its parent's gRPC; let multiprocessing start its processes by \"spawn\"")
    with _lock:
        if address.path not in _channels:
            _channels[address.path] = open_channel(address)
        return _channels[address.path]


def renew_channel(address: Address, old: grpc.Channel) -> grpc.Channel:
    """After the daemon went away: the connection to the next one, started if need be. The old one is left to those who use it still."""
    with _lock:
        if _channels.get(address.path) is old:
            del _channels[address.path]
    return shared_channel(address)
