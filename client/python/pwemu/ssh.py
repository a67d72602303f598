# SPDX-License-Identifier: Apache-2.0
"""ssh://[user@]host[:port][?pwemu=PATH]: gRPC connects to a private UNIX socket of ours, and each of its connections is the stdin and
stdout of one `ssh host pwemu proxy`. No byte goes through this process. $PWEMU_SSH is the command to use instead of ssh, as for the command line."""

from __future__ import annotations

import atexit
import os
import re
import shlex
import shutil
import socket
import subprocess
import tempfile
import threading
from typing import Dict, List

from pwemu.errors import Error

SCHEME = "ssh://"
END_DEADLINE_S = 2.0

_URL = re.compile(
    r"ssh://(?:(?P<user>[A-Za-z0-9._+\\@][A-Za-z0-9._+\\@-]*)@)?(?:\[(?P<six>[0-9A-Fa-f:.%]+)\]|(?P<host>[A-Za-z0-9._][A-Za-z0-9._%-]*))"
    r"(?::(?P<port>[0-9]+))?/?(?:\?pwemu=(?P<program>.+))?"
)


def command(url: str) -> List[str]:
    """What is executed for the address.

    Raises:
        Error: it is malformed, or $PWEMU_SSH is.
    """
    match = _URL.fullmatch(url)
    if match is None:
        raise Error(f"host '{url}': write ssh://[user@]host[:port][?pwemu=/path/of/pwemu]")
    try:
        words = shlex.split(os.environ.get("PWEMU_SSH") or "ssh")
    except ValueError as error:
        raise Error(f"PWEMU_SSH: {error}") from error
    if not words:
        raise Error("PWEMU_SSH names no command")
    host = match["six"] or match["host"]
    program = match["program"] or "pwemu"
    quoted = program if re.fullmatch(r"[A-Za-z0-9/._+~][A-Za-z0-9/._+~-]*", program) else shlex.quote(program)  # a ~ is that shell's to replace
    port = ["-p", match["port"]] if match["port"] else []
    return [*words, "-T", *port, f"{match['user']}@{host}" if match["user"] else host, quoted + " proxy"]


class _Way:
    """The private socket of one address."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.argv = command(url)
        self.trouble = ""
        self.running = 0
        self.changed = threading.Condition()
        self._dir = tempfile.mkdtemp(prefix="pwemu-ssh-")  # 0700
        atexit.register(shutil.rmtree, self._dir, True)
        self.path = os.path.join(self._dir, "control.sock")
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.path)
        self._listener.listen(16)
        threading.Thread(target=self._serve, name="pwemu-ssh", daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with client:
                self._start(client)

    def _start(self, client: socket.socket) -> None:
        """ssh keeps stderr and the terminal for its questions, so it stays in our process group; Ctrl-C is not its to end."""
        argv = ["sh", "-c", 'trap "" INT QUIT; exec "$@"', "sh", *self.argv]
        try:
            process = subprocess.Popen(argv, stdin=client, stdout=client)  # pylint: disable=consider-using-with
        except OSError as error:
            self.trouble = str(error)
            return
        with self.changed:
            self.running += 1
        threading.Thread(target=self._reap, args=(process,), name="pwemu-ssh", daemon=True).start()

    def _reap(self, process: "subprocess.Popen[bytes]") -> None:
        code = process.wait()
        said = {
            0: "",
            255: "ssh has ended, see stderr",
            127: f"ssh, or pwemu in the PATH of that machine, was not found; name it: {self.url}?pwemu=/path/of/pwemu",
        }
        with self.changed:
            self.running -= 1
            self.trouble = said.get(code, f"`pwemu proxy` on that machine ended with {code}, see stderr")
            self.changed.notify_all()

    def why(self) -> str:
        """What the end of the last ssh tells, where it has ended."""
        with self.changed:
            self.changed.wait_for(lambda: self.running == 0, END_DEADLINE_S)
            return self.trouble


_ways: Dict[str, _Way] = {}
_lock = threading.Lock()


def socket_of(url: str) -> str:
    """Path of the private socket that leads there. ssh is started by who connects.

    Raises:
        As `command`.
    """
    with _lock:
        if url not in _ways:
            _ways[url] = _Way(url)
        return _ways[url].path


def why(url: str) -> str:
    """Why the last connection ended, as far as ssh tells; "" if nothing. May wait for its end, two seconds at most."""
    return _ways[url].why() if url in _ways else ""
