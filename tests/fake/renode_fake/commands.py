# SPDX-License-Identifier: Apache-2.0
"""The monitor's own commands: name, other names, help, and a function (monitor, tokens, writer) for each shape of arguments."""
import json

from renode_fake import options, peripherals
from renode_fake.devices import Problem
from renode_fake.tokens import Token

STRINGS = ("string", "path", "multiline")
NAMES = ("literal", "variable")


class Command:
    def __init__(self, name, others, help_text, shapes, more=None):
        self.name = name
        self.others = others
        self.help_text = help_text
        self.shapes = shapes  # (kinds of tokens, function)
        self.more = more

    def print_help(self, monitor, writer):
        names = f" [ {', '.join(self.others)} ]" if self.others else ""
        writer.write_line(f"{self.name}{names}\r\n{self.help_text}")
        if self.more:
            self.more(monitor, writer)

    def run(self, monitor, tokens, writer):
        for shape, function in self.shapes:
            if fits(tokens, shape):
                return function(monitor, tokens, writer) is not False
        writer.write_error(f"Bad parameters for command {self.name} {' '.join(token.text for token in tokens)}")
        self.print_help(monitor, writer)
        writer.write_line()
        return False


def fits(tokens, shape):
    if shape == "any":
        return bool(tokens)
    return len(tokens) == len(shape) and all(token.kind in kinds or token.text in kinds for token, kinds in zip(tokens, shape))


# ---------------------------------------------------------------- mach

def mach_by_name(monitor, tokens, writer):
    action, name = tokens[0].value, tokens[1].value
    if action in ("create", "add"):
        machine = monitor.emulation.add_machine(name)
        if action == "create" or monitor.machine is None:
            monitor.select(machine)
        return
    machine = monitor.emulation.machines.get(name)
    if machine is None:
        writer.write_error(f"Machine {name} not found.")
    elif action == "set":
        monitor.select(machine)
    else:
        monitor.emulation.remove_machine(name)
        if monitor.machine is machine:
            monitor.select(None)


def mach_by_number(monitor, tokens, writer):
    machines = list(monitor.emulation.machines.values())
    number = tokens[1].value
    if 0 <= number < len(machines):
        monitor.select(machines[number])
    else:
        writer.write_error("Wrong machine number. Type mach to show a list of available machines.")


def mach_plain(monitor, tokens, _writer):
    monitor.select(monitor.emulation.add_machine(None) if tokens[0].value == "create" else None)


def mach_help(monitor, writer):
    writer.write_line()
    if monitor.machine is None:
        writer.write_error("No machine selected.")
    else:
        writer.write_line(f"Current machine: {monitor.machine.name}")
    names = list(monitor.emulation.machines)
    if names:
        writer.write_line("Available machines:")
        width = max(map(len, names))
        for number, name in enumerate(names):
            writer.write_line(f"\t{number}: {name:<{width}} ")
    writer.write_line()
    for line in ("You can use the following commands:", "'mach set [\"name\"|number]'\tto enable the given machine",
                 "'mach add \"name\"'\tto create a new machine with the specified name", "'mach rem \"name\"'\tto remove a machine",
                 "'mach create'\tto create a new machine with generic name and switch to it",
                 "'mach clear'\tto clear the current selection"):
        writer.write_line(line)


# ---------------------------------------------------------------- the emulation

def start(monitor, _tokens, writer):
    writer.write_line("Starting emulation...")
    monitor.emulation.start_all()


def start_script(monitor, tokens, writer):
    if not monitor.run_script(tokens[0].value, writer):
        return False
    monitor.emulation.start_all()
    return True


def pause(monitor, _tokens, writer):
    writer.write_line("Pausing emulation...")
    monitor.emulation.pause_all()


def clear(monitor, _tokens, _writer):
    monitor.select(None)
    monitor.emulation.clear()


def leave(monitor, _tokens, writer):
    writer.write_line("Renode is quitting")
    monitor.is_quitting = True


# ---------------------------------------------------------------- macros and scripts

def set_macro(monitor, tokens, _writer):
    monitor.macros[monitor.full_name(tokens[0].value)] = str(tokens[1].value).strip("\n")


def ask_macro(monitor, tokens, writer):
    """The lines up to the next \"\"\"; without one after the name, a single line."""
    lines, wanted = [], 1 if len(tokens) == 2 else 2
    while True:
        line = monitor.console.read_line("> ")
        if line is None:
            return
        if '"""' in line:
            wanted -= 1
            if not wanted:
                break
            continue
        lines.append(line)
        if wanted == 2:
            break
    set_macro(monitor, [tokens[0], Token("multiline", '"""' + "\n".join(lines) + '"""')], writer)


def set_variable(monitor, tokens, _writer):
    monitor.variables[monitor.full_name(tokens[0].value)] = tokens[1]


def run_macro(monitor, tokens, writer):
    if len(tokens) > 1 or tokens[0].kind != "variable":
        if not monitor.run(tokens, writer):
            raise Problem("Parsing failed.")
        return
    macro = monitor.lookup(monitor.macros, tokens[0].value)
    if macro is None:
        raise Problem(f"No such variable: ${tokens[0].value}")
    for line in macro.split("\n"):
        if not monitor.parse(line, writer):
            raise Problem(f"Parsing line '{line}' failed.")


def include(monitor, tokens, writer):
    path = tokens[0].value
    if not path.endswith(".repl"):
        return monitor.run_script(path, writer)
    if monitor.machine is None:
        mach_plain(monitor, [Token("literal", "create")], writer)
    monitor.machine.load_platform(path)
    return True


# ---------------------------------------------------------------- the rest

def version(_monitor, _tokens, writer):
    writer.write_line(version_text())


def version_text():
    return f"Renode, version {options.VERSION} ({options.BUILD})"


def help_all(_monitor, _tokens, writer):
    writer.write_line("Available commands:")
    writer.write_line(f"{'Name':<18}| Description")
    writer.write_line("=" * 80)
    for command in sorted(TABLE, key=lambda command: command.name):
        writer.write_line(f"{command.name:<18}: {command.help_text}")
    writer.write_line()
    writer.write_line("You can also provide a device name to access its methods.")
    writer.write_line("Use <TAB> for auto-completion.")


def help_one(monitor, tokens, writer):
    command = next((command for command in TABLE if command.name == tokens[0].value), None)
    if command is None:
        writer.write_error(f"No such command: {tokens[0].value}.")
        return
    command.print_help(monitor, writer)


def log_file(monitor, tokens, _writer):
    monitor.emulation.set_log_file(tokens[0].value)


def log_level(monitor, tokens, _writer):
    level = tokens[0].value
    monitor.emulation.log_level = level if isinstance(level, int) else ("Noisy", "Debug", "Info", "Warning", "Error").index(level) - 1


def tree_of(monitor, writer):
    if monitor.machine is None:
        writer.write_error("Select active machine first.")
        return None
    board = monitor.machine.board
    return board.tree if board else {"name": "sysbus", "kind": "SystemBus", "ranges": [], "children": []}


def print_peripherals(monitor, _tokens, writer):
    tree = tree_of(monitor, writer)
    if tree:
        peripherals.print_tree(tree, writer)


def export_peripherals(monitor, tokens, writer):
    tree = tree_of(monitor, writer)
    if tree is None:
        return
    try:
        with open(tokens[1].value, "w", encoding="utf-8") as file:
            json.dump({"Header": "Peripheral Map 1.0", "Root": peripherals.exported(tree)}, file, indent=2)
            file.write("\n")
    except OSError as error:
        raise Problem(f"Could not open '{tokens[1].value}': {error.strerror}") from None


LEVELS = ("-1", "0", "1", "2", "3", '"Noisy"', '"Debug"', '"Info"', '"Warning"', '"Error"')
TABLE = (
    Command("mach", (), "list and manipulate machines available in the environment.", (
        ((("set",), ("integer",)), mach_by_number), ((("set", "add", "rem", "create"), STRINGS), mach_by_name),
        ((("create", "clear"),), mach_plain)), mach_help),
    Command("start", ("s",), "starts the emulation.", (((), start), ((STRINGS,), start_script))),
    Command("pause", ("p",), "pauses the emulation.", (((), pause),)),
    Command("Clear", (), "clears current emulation.", (((), clear),)),
    Command("quit", ("q",), "quits the emulator.", (((), leave),)),
    Command("macro", (), "sets macro.", (((NAMES,), ask_macro), ((NAMES, ("terminator",)), ask_macro),
                                         ((NAMES, STRINGS + ("integer", "hex", "literal")), set_macro))),
    Command("set", (), "sets variable.", (((NAMES, STRINGS + ("integer", "hex", "boolean", "literal")), set_variable),)),
    Command("runMacro", (), "executes a command or the content of a macro.", (("any", run_macro),)),
    Command("include", ("i",), "loads a Monitor script, Python code, platform file or a plugin class.", (((STRINGS,), include),)),
    Command("version", (), "shows version information.", (((), version),)),
    Command("help", ("?", "h"), "prints this help message or info about specified command.", (((), help_all), ((("literal",),), help_one))),
    Command("logFile", ("logF",), "sets the output file for logger.", (((STRINGS,), log_file), ((STRINGS, ("boolean",)), log_file))),
    Command("logLevel", (), "sets logging level for backends.", (
        ((LEVELS,), log_level), ((LEVELS, ("literal", "string")), log_level))),
    Command("peripherals", ("peri",), "prints or exports list of registered and named peripherals.", (
        ((), print_peripherals), ((("export",), ("path",)), export_peripherals))),
)


def find(name):
    return next((command for command in TABLE if name == command.name or name in command.others), None)
