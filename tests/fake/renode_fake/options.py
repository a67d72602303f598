# SPDX-License-Identifier: Apache-2.0
"""The command line. As in the real one a mistake prints the usage and is no failure for the caller: exit status 0."""
import os
import sys

VERSION = "1.16.1"
BUILD = "d66b0c2a-202611221354"
LONG_VERSION = f"Renode v{VERSION}.0\n  build: {BUILD}\n  build type: Release\n  runtime: .NET 4.0.30319.42000"

# name, aliases, short, type, description
TABLE = (
    ("plain", (), "p", bool, "Remove steering codes (e.g., colours) from output."),
    ("port", (), "P", int, "Instead of opening a window, listen for Monitor commands on the specified port."),
    ("execute", (), "e", list, "Execute command on startup (executed after the optional script). May be used many times."),
    ("config", (), None, str, "Use the configuration file from the provided path, or create one if it does not exist"),
    ("disable-gui", ("disable-xwt",), None, bool, "Disable XWT support. It automatically sets HideMonitor."),
    ("hide-monitor", (), None, bool, "Do not show the Monitor window."),
    ("hide-log", (), None, bool, "Do not show log messages in a console."),
    ("hide-analyzers", (), None, bool, "Do not show analyzers."),
    ("pid-file", (), None, str, "Write PID of the Renode instance to the provided file."),
    ("robot-server-port", (), None, int, "Start robot framework remote server on the specified port."),
    ("robot-debug-on-error", (), None, bool, "Initialize GUI for Robot tests debugging"),
    ("version", (), "v", bool, "Print version and exit."),
    ("console", (), None, bool, "Run the Monitor in the console instead of a separate window"),
    ("keep-temporary-files", (), None, bool, "Don't clean temporary files on exit"),
    ("help", (), "h", bool, "Display this help page."),
)


class Mistake(Exception):
    """What is wrong with the command line."""


def name_shown(row):
    return (f"-{row[2]}, " if row[2] else "") + f"--{row[0]}"


def print_usage():
    print("usage: Renode.exe [options] [file-to-include / snapshot]\n\nOptions:\n")
    for row in TABLE:
        kind = {bool: "", list: "STRING[]", int: "INT32", str: "STRING"}[row[3]]
        print(f"  {name_shown(row):<22}{kind}\n{'':24}{row[4]}\n")


def find(argument):
    """The row that an argument names, and the value glued to it (or None); (None, None) for an unknown one."""
    if argument.startswith("--"):
        name, equals, value = argument[2:].partition("=")
        rows = [row for row in TABLE if row[0] == name or name in row[1]]
        return (rows[0] if rows else None), value if equals else None
    rows = [row for row in TABLE if row[2] == argument[1:2]]
    return (rows[0] if rows else None), argument[2:] or None


def typed(row, value):
    if row[3] is list:
        return value.split(";")  # not even quotes hold a ; together here
    try:
        return row[3](value)
    except ValueError:
        raise Mistake(f"Option '{row[0]}' requires parameter of type 'Int32'") from None


def collect(arguments):
    chosen = {row[0]: [] if row[3] is list else None for row in TABLE}
    chosen["file"] = None
    unknown = []
    queue = list(arguments)
    while queue:
        argument = queue.pop(0)
        if not argument.startswith("-"):
            if chosen["file"] is None:
                chosen["file"] = argument
            else:
                unknown.append(argument)
            continue
        row, value = find(argument)
        if row is None:
            unknown.append(argument)
        elif row[3] is bool:
            chosen[row[0]] = True
        else:
            if value is None and not queue:
                raise Mistake(f"Option '{row[0]}' requires parameter of type '{row[3].__name__}'")
            value = typed(row, queue.pop(0) if value is None else value)
            chosen[row[0]] = chosen[row[0]] + value if row[3] is list else value
    if chosen["hide-monitor"] and chosen["console"]:
        raise Mistake("--hide-monitor and --console cannot be set at the same time")
    if unknown:
        raise Mistake("Unexpected options detected: " + " ".join(unknown))
    return chosen


def parse(arguments):
    """The options as a dict, or None when all is said (help, version, a mistake)."""
    try:
        chosen = collect([argument for argument in arguments if argument])
    except Mistake as mistake:
        print(f"{mistake}\n")
        print_usage()
        return None
    if chosen["help"] or chosen["version"]:
        print_usage() if chosen["help"] else print(LONG_VERSION)
        return None
    if not chosen["console"]:
        sys.stderr.write("the fake Renode has a monitor only with --console\n")
        os._exit(2)
    return chosen
