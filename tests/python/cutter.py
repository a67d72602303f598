# SPDX-License-Identifier: Apache-2.0
"""A network that can be cut: forwards the bytes of a UNIX socket to the daemon's, and ends connections when it is told to."""

import contextlib
import os
import select
import socket
import threading


class Cutter:
    """Listens at `path`. What it was told holds for connections that come later, too."""

    def __init__(self, path, target):
        self.path = path
        self.target = target
        self.cut_after = []  # bytes from the daemon after which a connection is cut, for the next connections in turn; then never
        self.cut_up_after = []  # the same for bytes to the daemon
        self.connections = 0
        self.is_silent = False  # bytes are taken and go nowhere, in both directions
        self.down_bytes = 0
        self.up_bytes = 0
        self._lock = threading.Lock()
        self._open = set()
        self._listener = None
        self._threads = []
        self.listen()

    def listen(self):
        """The network is there (again)."""
        listener = socket.socket(socket.AF_UNIX)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)
        listener.bind(self.path)
        listener.listen(64)
        self._listener = listener
        self._start(self._accept, listener)

    def _start(self, target, *arguments):
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener):
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            daemon = socket.socket(socket.AF_UNIX)
            try:
                daemon.connect(self.target())
            except OSError:
                client.close()
                daemon.close()
                continue
            with self._lock:
                self.connections += 1
                down = self.cut_after.pop(0) if self.cut_after else None
                up = self.cut_up_after.pop(0) if self.cut_up_after else None
                self._open.add((client, daemon))
            self._start(self._forward, client, daemon, down, up)

    def _forward(self, client, daemon, down_left, up_left):
        try:
            while True:
                readable, _, _ = select.select([client, daemon], [], [])
                for source in readable:
                    data = source.recv(65536)
                    if not data:
                        return
                    if self.is_silent:
                        continue
                    if source is daemon:
                        if down_left is not None:
                            data, down_left = data[:down_left], down_left - len(data)
                        client.sendall(data)
                        self.down_bytes += len(data)
                    else:
                        if up_left is not None:
                            data, up_left = data[:up_left], up_left - len(data)
                        daemon.sendall(data)
                        self.up_bytes += len(data)
                    if (down_left is not None and down_left <= 0) or (up_left is not None and up_left <= 0):
                        return
        except (OSError, ValueError):
            pass
        finally:
            with self._lock:
                self._open.discard((client, daemon))
            for end in (client, daemon):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
                end.close()

    def cut(self):
        """All connections that there are."""
        with self._lock:
            ends = [end for pair in self._open for end in pair]
        for end in ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def unlisten(self):
        """Nobody comes through any more."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def close(self):
        self.unlisten()
        self.cut()
        for thread in self._threads:
            thread.join(10)
