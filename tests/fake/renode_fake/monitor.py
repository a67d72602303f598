# SPDX-License-Identifier: Apache-2.0
"""Lines to commands, commands to their handlers or to devices. An error ends the line, and a script, but nothing else."""
import os

from renode_fake import commands, devices, knobs
from renode_fake.qemu import Gone
from renode_fake.tokens import Token, split_commands, tokenize


class Monitor:
    def __init__(self, emulation, console):
        self.emulation = emulation
        self.console = console
        self.machine = None
        self.variables = {"global.CWD": Token("path", "@" + os.getcwd().replace(" ", "\\ "))}
        self.macros = {}
        self.directory = os.getcwd()
        self.is_quitting = False

    def select(self, machine):
        self.machine = machine
        self.console.set_machine(machine.name if machine else None)

    # ------------------------------------------------------------ lines

    def handle(self, line, writer):
        """For the console: False to quit."""
        self.parse(line, writer)
        return not self.is_quitting

    def parse(self, line, writer):
        found, left = tokenize(line)
        if left and found and found[-1].kind == "variable":
            value = self.lookup(self.variables, found[-1].value)
            if value is None:
                writer.write_error(f"No such variable: ${found[-1].value}")
                return False
            head = "".join(token.text + " " for token in found[:-1])
            return self.parse(head + value.text + line[len(line) - left:], writer)
        if left:
            writer.write_error("Could not tokenize here:")
            writer.write_error(line)
            writer.write_error("^".rjust(len(line) - left + 1))
            return False
        return all(self.run(command, writer) for command in split_commands(found))

    def run(self, command, writer):
        command = [self.resolve(token) for token in command]
        text = " ".join(token.text for token in command)
        knobs.before_command(text)
        try:
            return self.execute(command, writer)
        except (devices.Problem, Gone, RuntimeError) as problem:
            head = f"There was an error executing command '{text}'"
            lines = [line.rstrip("\r") for line in str(problem).split("\n")]
            if knobs.is_head():
                lines[0] = f"{head}: {lines[0]}"
            else:
                lines.insert(0, head)
            for line in lines:
                writer.write_error(line)
            return False

    def resolve(self, token):
        """A path that exists below the directory of Renode or ours becomes absolute."""
        if token.kind == "path" and not token.value.startswith(("/", "http")):
            path = os.path.join(self.directory, token.value)
            if os.path.exists(path):
                return Token("path", "@" + path)
        return token

    def expand(self, token):
        if token.kind != "variable":
            return token
        return self.lookup(self.variables, token.value) or token

    def lookup(self, table, name):
        for prefix in ("", f"{self.machine.name}." if self.machine else "", "global."):
            if prefix + name in table:
                return table[prefix + name]
        return None

    def full_name(self, name):
        return name if "." in name else f"{self.machine.name if self.machine else 'global'}.{name}"

    def execute(self, command, writer):
        first = command[0]
        if len(command) == 3 and first.kind == "variable" and command[1].kind == "equality":
            self.variables.setdefault(self.full_name(first.value), command[2])
            if command[1].text == "=":
                self.variables[self.full_name(first.value)] = command[2]
            return True
        if first.kind != "literal":
            writer.write_error(f"No such command or device: {first.text}")
            return False
        handler = commands.find(first.value)
        if handler:
            return handler.run(self, command[1:], writer)
        name, device = self.find_device(first.value)
        if device is None:
            writer.write_error(f"No such command or device: {first.value}")
            return False
        devices.process(device, name, [self.expand(token) for token in command[1:]], writer, self.find)
        return True

    # ------------------------------------------------------------ names

    def find_device(self, name):
        """(full name, device); `sysbus.` may be left out."""
        if name in self.emulation.devices:
            return name, self.emulation.devices[name]
        if self.machine:
            if name == "machine":
                return name, self.machine.device
            for full in (name, "sysbus." + name):
                if full in self.machine.devices:
                    return full, self.machine.devices[full]
        return name, None

    def find(self, name):
        """An argument that names a thing: a device or an external."""
        return self.find_device(name)[1] or self.emulation.externals.get(name)

    # ------------------------------------------------------------ scripts and macros

    def run_reset_macro(self, machine):
        macro = self.macros.get(f"{machine.name}.reset")
        if macro is None:
            self.emulation.log("WARNING", f"No action for reset - macro {machine.name}.reset is not registered.")
            return
        selected, self.machine = self.machine, machine
        for line in macro.split("\n"):
            self.parse(line, self.console.writer)
        self.machine = selected

    def run_script(self, path, writer):
        if not os.path.isfile(path):
            writer.write_error(f"Could not find file '{path}'")
            return False
        self.variables["global.ORIGIN"] = Token("path", "@" + os.path.dirname(path).replace(" ", "\\ "))
        with open(path, encoding="utf-8", errors="replace") as file:
            return all(self.parse(line, writer) for line in join_multiline(file.read().splitlines()) if line.strip())


def join_multiline(lines):
    """Lines of a script, with what stands between two \"\"\" as one."""
    joined, eaten = [], None
    for line in lines:
        has_end = line.count('"""') % 2 == 1
        if eaten is not None:
            eaten += "\n" + line
            if has_end:
                joined.append(eaten)
                eaten = None
        elif has_end:
            eaten = (joined.pop() + " " if line.startswith('"""') and joined else "") + line
        else:
            joined.append(line)
    return joined
