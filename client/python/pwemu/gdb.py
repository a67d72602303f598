# SPDX-License-Identifier: Apache-2.0
"""gdb in batch mode on an instance."""

from __future__ import annotations

import os
import pathlib
import shlex
import shutil
import subprocess
from typing import List, Optional, Sequence

from pwemu import connection
from pwemu.calls import find_channel
from pwemu.errors import ConfigError, RunError
from pwemu.v1 import instances_pb2

TIMEOUT_S = 120.0

# Programs that do each other's work, and the package that has them.
_STAND_INS = {"arm-none-eabi-gdb": "gdb-multiarch", "riscv64-unknown-elf-gdb": "gdb-multiarch"}


def remote(channel: instances_pb2.Channel, instance_id: str) -> str:
    """What `target remote` is given: the address where there is one, else a pipe to the control socket."""
    if channel.type == "tcp":
        return f"{channel.host}:{channel.port}"
    if channel.type == "pty":
        return channel.path
    return f"| {shlex.join([connection.find_program(), '-i', instance_id, 'pipe', channel.name])}"


def _program(command: Sequence[str]) -> List[str]:
    if shutil.which(command[0]):
        return list(command)
    other = _STAND_INS.get(os.path.basename(command[0]))
    if other and shutil.which(other):
        return [other, *command[1:]]
    raise RunError(command[0], f"not found; install {other or 'gdb-multiarch'}, or name another one in the target's key `gdb`")


def run(
    instance: instances_pb2.Instance,
    commands: Sequence[str],
    executable: "None | str | os.PathLike[str]",
    pause: bool,
    timeout: Optional[float],
) -> "subprocess.CompletedProcess[bytes]":
    """gdb on a running instance; with `pause` the guest is left paused. See `Emulator.run_gdb_cmds`."""
    if not instance.gdb:
        raise ConfigError(pathlib.Path(instance.config) if instance.config else None, "gdb not configured")
    argv = [*_program(instance.gdb), "-batch-silent", "-ex", f"target remote {remote(find_channel(instance, 'gdb'), instance.id)}"]
    for word in commands:
        argv += ["-ex", word]
    if pause:
        argv += ["-ex", "disconnect"]
    if executable is not None:
        argv.append(os.fspath(executable))
    try:
        return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout, check=False)
    except OSError as error:
        raise RunError(argv[0], str(error)) from error
    except subprocess.TimeoutExpired:
        raise RunError(argv[0], f"not done within {timeout} s") from None
