# SPDX-License-Identifier: Apache-2.0
"""State on disk: $XDG_CONFIG_HOME/renode, and $TMPDIR/renode-<pid> after those of dead processes are removed."""
import os
import shutil
import signal
import sys
import tempfile

PREFIX = "renode-"


def config_directory():
    base = os.environ.get("XDG_CONFIG_HOME") or os.path.join(os.environ.get("HOME") or os.path.expanduser("~"), ".config")
    return os.path.join(base, "renode")


def temporary_base():
    return os.environ.get("TMPDIR") or "/tmp"


def own_directory():
    return os.path.join(temporary_base(), f"{PREFIX}{os.getpid()}")


def crash(error):
    """An exception nobody caught, as Mono shows it."""
    sys.stderr.write("\nUnhandled Exception:\nSystem.TypeInitializationException: The type initializer for "
                     "'Antmicro.Renode.Utilities.ConfigurationManager' threw an exception. ---> "
                     f"System.UnauthorizedAccessException: Access to the path \"{error.filename}\" is denied.\n"
                     "  at System.IO.Directory.CreateDirectoriesInternal (System.String path)\n"
                     "   --- End of inner exception stack trace ---\n")
    sys.stderr.flush()
    signal.signal(signal.SIGABRT, signal.SIG_DFL)
    os._exit(1)


def is_alive(suffix):
    return suffix.isdigit() and os.path.exists(f"/proc/{suffix}")


def remove_leftovers():
    """Not by age and not by owner: whatever has the name and no process."""
    for name in os.listdir(temporary_base()):
        path = os.path.join(temporary_base(), name)
        if name.startswith(PREFIX) and os.path.isdir(path) and not name.endswith("-crash") and not is_alive(name[len(PREFIX):]):
            shutil.rmtree(path, ignore_errors=True)


def prepare():
    directory = config_directory()
    try:
        os.makedirs(directory, exist_ok=True)
        path = os.path.join(directory, "config")
        with open(path, "a", encoding="utf-8") as file:
            if not file.tell():
                file.write("[general]\nterminal = Termsharp\n")
        if os.environ.get("RENODE_CI_MODE") != "YES":
            with open(os.path.join(directory, "history"), "a", encoding="utf-8"):
                pass
    except OSError as error:
        crash(error)
    shutil.rmtree(own_directory(), ignore_errors=True)
    try:
        os.makedirs(own_directory())
    except OSError as error:
        crash(error)
    remove_leftovers()
    tempfile.tempdir = own_directory()


def leave():
    shutil.rmtree(own_directory(), ignore_errors=True)
