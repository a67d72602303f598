# SPDX-License-Identifier: Apache-2.0
"""What a test sets in the environment:

FAKE_RENODE_START_MS=50   from start to the first prompt (the real one: 1300 to 2000)
FAKE_RENODE_LOAD_MS=50    how long LoadPlatformDescription is silent (the real one: 1300 to 2700)
FAKE_RENODE_HANG=PREFIX   a command that begins so is never answered
FAKE_RENODE_CRASH=PREFIX  a command that begins so ends the process with SIGABRT
FAKE_RENODE_DELAY=PREFIX:MS  a command that begins so waits first
FAKE_RENODE_PRINTED=PATH  there it writes when it quits how many bytes each UART's terminal has taken, as JSON
FAKE_RENODE_STYLE=head    as versions after 1.16: an error's reason is on the line that names the command; SIGTERM is a quit
FAKE_RENODE_SVD=1         Renode's own boards ask for their SVD files, as the real ones do: `Failed to download` without a way out
"""
import json
import os
import threading
import time


def milliseconds(name, otherwise=50):
    return int(os.environ.get(f"FAKE_RENODE_{name}_MS", otherwise)) / 1000


def pause(name):
    time.sleep(milliseconds(name))


def prefix_of(name, command):
    """The knob's value if it is set and the command begins with it."""
    value = os.environ.get(f"FAKE_RENODE_{name}")
    return value if value and command.startswith(value) else None


def before_command(command):
    if prefix_of("CRASH", command):
        os.abort()
    if prefix_of("HANG", command):
        threading.Event().wait()
    prefix, _, delay = os.environ.get("FAKE_RENODE_DELAY", "").rpartition(":")
    if prefix and command.startswith(prefix):
        time.sleep(int(delay) / 1000)


def is_head():
    return os.environ.get("FAKE_RENODE_STYLE") == "head"


def tell_printed(counts):
    path = os.environ.get("FAKE_RENODE_PRINTED")
    if path:
        with open(path, "w", encoding="ascii") as file:
            json.dump(counts, file)
