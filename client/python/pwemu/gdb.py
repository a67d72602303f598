# SPDX-License-Identifier: Apache-2.0
"""gdb in batch mode on an instance."""

from __future__ import annotations

import os
import pathlib
import shlex
import shutil
import signal
import subprocess
from typing import Dict, List, Optional, Sequence

from pwemu import connection
from pwemu.calls import find_channel
from pwemu.errors import ConfigError, RunError
from pwemu.v1 import instances_pb2

TIMEOUT_S = 120.0

# Programs that do each other's work, and the package that has them.
_STAND_INS = {"arm-none-eabi-gdb": "gdb-multiarch", "riscv64-unknown-elf-gdb": "gdb-multiarch"}


def remote(channel: instances_pb2.Channel, instance_id: str, daemon: connection.Address) -> str:
    """What `target remote` is given: the address where there is one, else a pipe to the control socket."""
    where = [] if daemon.host is not None else ["-H", daemon.url]
    if channel.type == "tcp" and not daemon.is_remote:
        return f"{channel.host}:{channel.port}"
    if channel.type == "pty" and not daemon.is_remote:
        return channel.path
    return f"| {shlex.join([connection.find_program(), '-q', *where, '-i', instance_id, 'pipe', channel.name])}"


def _program(command: Sequence[str]) -> List[str]:
    if shutil.which(command[0]):
        return list(command)
    other = _STAND_INS.get(os.path.basename(command[0]))
    if other and shutil.which(other):
        return [other, *command[1:]]
    raise RunError(command[0], f"not found; install {other or 'gdb-multiarch'}, or name another one in the target's key `gdb`")


def _image(instance: instances_pb2.Instance) -> Optional[str]:
    """The ELF file that it was started with."""
    for path in instance.images:
        try:
            with open(path, "rb") as file:
                if file.read(4) == b"\x7fELF":
                    return path
        except OSError:
            continue
    return None


def run(
    instance: instances_pb2.Instance,
    daemon: connection.Address,
    commands: Sequence[str],
    executable: "None | str | os.PathLike[str]",
    timeout: Optional[float],
) -> "subprocess.CompletedProcess[bytes]":
    """gdb on a running instance, which runs or is paused afterwards as before. See `Emulator.run_gdb_cmds`."""
    if not instance.gdb:
        raise ConfigError(pathlib.Path(instance.config) if instance.config else None, "gdb not configured")
    address = remote(find_channel(instance, "gdb"), instance.id, daemon)
    argv = [*_program(instance.gdb), "-batch-silent", "-ex", f"target remote {address}"]
    for word in commands:
        argv += ["-ex", word]
    image = executable if executable is not None else _image(instance)
    if image is not None:
        argv.append(os.fspath(image))
    # an address in the network has a token in it, and arguments are for everybody's eyes
    environment = {**os.environ, "PWEMU_HOST": daemon.path} if daemon.host is not None else None
    return _run_batch(argv, timeout, environment)


def _run_batch(argv: List[str], timeout: Optional[float], environment: Optional[Dict[str, str]]) -> "subprocess.CompletedProcess[bytes]":
    """In a session of its own, so that what it has started ends with it when it takes too long."""
    try:
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True, env=environment
        )
    except OSError as error:
        raise RunError(argv[0], str(error)) from error
    with process:
        try:
            output, errors = process.communicate(timeout=timeout)
        except BaseException as error:
            os.killpg(process.pid, signal.SIGKILL)
            if isinstance(error, subprocess.TimeoutExpired):
                raise RunError(argv[0], f"not done within {timeout} s") from None
            raise
    return subprocess.CompletedProcess(argv, process.returncode, output, errors)
