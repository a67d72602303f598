# SPDX-License-Identifier: Apache-2.0
"""Where this client is, as client/origin.c says it: so the command line and Python see the same instances."""

from __future__ import annotations

import hashlib
import os
import pathlib
import socket

from pwemu.v1 import common_pb2

_HOST_ID_APP = b"pwemu.v1\0"  # as in config/host_id.c


def _host_id() -> str:
    """32 hexadecimal digits made of the machine's id, which they do not tell; of its name where it has none."""
    try:
        text = pathlib.Path("/etc/machine-id").read_bytes()[:64]
    except OSError:
        text = b""
    own = text[:32] if len(text) >= 32 else os.fsencode(socket.gethostname())
    return hashlib.sha256(_HOST_ID_APP + own).hexdigest()[:32]


_HOST_ID = _host_id()


def origin(is_elsewhere: bool) -> common_pb2.Origin:
    """For requests. `is_elsewhere`: the daemon is known not to see our files."""
    message = common_pb2.Origin(machine=_HOST_ID, host=socket.gethostname(), remote=is_elsewhere)
    try:
        root, cwd = os.stat("/"), os.stat(".")
    except OSError:
        return message  # not compared
    message.root_device, message.root_inode = root.st_dev, root.st_ino
    message.cwd_device, message.cwd_inode = cwd.st_dev, cwd.st_ino
    return message
