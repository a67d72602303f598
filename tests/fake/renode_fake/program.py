# SPDX-License-Identifier: Apache-2.0
"""The parts put together."""
import contextlib
import os
import signal
import sys
import tty

from renode_fake import commands, home, knobs
from renode_fake.console import Console
from renode_fake.emulation import Emulation
from renode_fake.monitor import Monitor


def inject_options(chosen, console):
    if chosen["file"]:
        path = chosen["file"]
        console.inject("i " + ("@" + path if path.startswith("/") else "$CWD/" + path))
    if chosen["execute"]:
        console.inject("; ".join(chosen["execute"]))


class Leave(BaseException):
    """SIGTERM, where that is a quit."""


def on_signal(_number, _frame):
    raise Leave


def run(chosen):
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, on_signal if knobs.is_head() and number == signal.SIGTERM else signal.SIG_DFL)  # nothing is cleaned up
    knobs.pause("START")
    if chosen["pid-file"]:
        with open(chosen["pid-file"], "w", encoding="ascii") as file:
            file.write(str(os.getpid()))
    emulation = Emulation()
    console = Console(commands.version_text())
    monitor = emulation.monitor = Monitor(emulation, console)
    inject_options(chosen, console)
    if os.isatty(0):
        tty.setraw(0)
    with contextlib.suppress(Leave):
        console.run(monitor.handle)
    emulation.end()
    home.leave()
    sys.stdout.flush()
    os._exit(0)
