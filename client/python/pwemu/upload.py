# SPDX-License-Identifier: Apache-2.0
"""Images for a daemon that cannot see our files. It is asked for the digest first; what it has is not sent. What is sent is read piece by
piece: an image is never in memory."""

from __future__ import annotations

import hashlib
import os
import stat
from typing import Iterator, NamedTuple

from pwemu.errors import Error
from pwemu.v1 import channels_pb2, instances_pb2

PIECE = 64 << 10
PROBE_DEADLINE_S = 10.0
MIN_RATE = 32 << 10  # bytes per second; a slower network is taken for none


class Upload(NamedTuple):
    """What an image is, after all of it was read once."""

    path: str
    sha256: str
    size: int

    @property
    def deadline_s(self) -> float:
        """Of the call that sends all of it."""
        return 60.0 + self.size / MIN_RATE

    def probe(self) -> Iterator[channels_pb2.UploadRequest]:
        """Asks whether it is there."""
        begin = channels_pb2.UploadBegin(sha256=self.sha256, size=self.size, name=os.path.basename(self.path))
        yield channels_pb2.UploadRequest(begin=begin)

    def pieces(self) -> Iterator[channels_pb2.UploadRequest]:
        """All of it. At most `size` bytes, also where the file grows meanwhile: the daemon says that they are others."""
        yield from self.probe()
        left = self.size
        with open(self.path, "rb", buffering=0) as file:
            while left > 0:
                piece = file.read(min(PIECE, left))
                if not piece:
                    return
                left -= len(piece)
                yield channels_pb2.UploadRequest(data=piece)

    def fill(self, image: instances_pb2.Image) -> None:
        """Has the request name it by its digest."""
        image.digest, image.size = self.sha256, self.size


def look_at(path: str) -> Upload:
    """Reads it once, for its digest.

    Raises:
        Error: it cannot be read, or is no file, or is empty.
    """
    sha = hashlib.sha256()
    size = 0
    try:
        with open(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK), "rb", buffering=0) as file:
            mode = os.fstat(file.fileno()).st_mode
            if not stat.S_ISREG(mode):
                raise Error(f'image "{path}" is no regular file; name the firmware file')
            piece = file.read(PIECE)
            while piece:
                sha.update(piece)
                size += len(piece)
                piece = file.read(PIECE)
    except OSError as error:
        raise Error(f'image "{path}": {error.strerror}') from error
    if size == 0:
        raise Error(f'image "{path}" is empty; did the build fail?')
    return Upload(path, sha.hexdigest(), size)
