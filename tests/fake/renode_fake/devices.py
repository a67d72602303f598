# SPDX-License-Identifier: Apache-2.0
"""`NAME [METHOD|PROPERTY [argument...]]`: the lists, the checks of arguments, the printing of what comes back."""
import os

from renode_fake import kinds

TEXT_TYPES = ("String", "WriteFilePath")


class Problem(Exception):
    """A RecoverableException: its text follows "There was an error executing command"."""


class Mismatch(Problem):
    def __init__(self, method):
        super().__init__("Parameters did not match the signature")
        self.method = method


LOGS = {"NoisyLog": "NOISY", "DebugLog": "DEBUG", "InfoLog": "INFO", "WarningLog": "WARNING", "ErrorLog": "ERROR"}


class Device:
    """Anything with a name in the monitor. `actions` are what its methods do, `getters` and `setters` its properties."""

    log = staticmethod(lambda level, text: None)  # the emulation's

    def __init__(self, kind, name):
        self.kind = kind
        self.name = name
        self.actions = {}
        self.getters = {}
        self.setters = {}
        self.methods = kinds.methods_of(kind)
        self.properties = kinds.properties_of(kind)
        self.values = {row.name: row.first for row in self.properties}


def print_methods(name, methods, writer):
    writer.write_line("\nThe following methods are available:")
    for method in methods:
        writer.write_line(" - " + method.line)
    writer.write_line(f"\n\rUsage:\n\r {name} MethodName param1 param2 ...\n\r")


def print_properties(name, properties, writer):
    writer.write_line("\nThe following properties are available:")
    for row in properties:
        writer.write_line(f" - {row.type} {row.name}")
        writer.write_line("     available for " + " and ".join(f"'{access}'" for access in row.access))
    writer.write_line(f"\n\rUsage:\n\r - get: {name} PropertyName\n\r - set: {name} PropertyName Value\n\r")


def print_all(name, device, writer):
    if device.methods:
        print_methods(name, device.methods, writer)
    if device.properties:
        print_properties(name, device.properties, writer)


def fit(token, parameter, find):
    """The token as a value of the parameter's type, or Mismatch (as ValueError)."""
    kind = parameter.type
    if kind in kinds.WIDTHS or kind in ("RegisterValue", "Double"):
        if token.kind not in ("integer", "hex") and not (kind == "Double" and token.kind == "float"):
            raise ValueError
        return token.value
    if kind == "Boolean":
        if token.kind != "boolean":
            raise ValueError
        return token.value
    if kind == "ReadFilePath":
        if token.kind not in ("path", "string") or not os.path.isfile(token.value):
            raise ValueError
        return token.value
    if kind in TEXT_TYPES:
        if token.kind not in ("string", "multiline", "path", "literal"):
            raise ValueError
        return token.value
    found = find(str(token.value))
    if found is None:
        raise ValueError
    return found


def arguments_for(method, tokens, find):
    if len(tokens) > len(method.parameters):
        raise ValueError
    values = [fit(token, parameter, find) for token, parameter in zip(tokens, method.parameters)]
    for parameter in method.parameters[len(values):]:
        if not parameter.is_optional:
            raise ValueError
        values.append(parameter.default_value())
    return values


def call(device, name, tokens, find):
    methods = [method for method in device.methods if method.name == name]
    for method in sorted(methods, key=lambda method: len(method.parameters)):
        try:
            values = arguments_for(method, tokens, find)
        except ValueError:
            continue
        action = device.actions.get(name)
        if name in LOGS:
            Device.log(LOGS[name], f"{device.name.rpartition('.')[2]}: {values[0]}")
        return method.type, action(*values) if action else None
    raise Mismatch(name)


def use_property(device, row, tokens, find):
    """A value for a property that cannot be set is not even looked at: it is a read."""
    if tokens and row.is_writable:
        try:
            value = fit(tokens[0], row, find)
        except ValueError:
            raise Problem(f"Could not convert {tokens[0].text} to {row.type}") from None
        setter = device.setters.get(row.name)
        if setter:
            setter(value)
        else:
            device.values[row.name] = value
        return "Void", None
    getter = device.getters.get(row.name)
    return row.type, getter() if getter else device.values[row.name]


def execute(device, name, tokens, find):
    """(type, value) of `name method|property ...`"""
    head, *rest = tokens
    if head.kind != "literal":
        raise Problem("Bad syntax")
    word = head.value
    if any(method.name == word for method in device.methods):
        return call(device, word, rest, find)
    for row in device.properties:
        if row.name == word:
            return use_property(device, row, rest, find)
    raise Problem(f"{name} does not provide a field, method or property {word}.")


def show(kind, value):
    if kind in kinds.WIDTHS:
        width = 2 * kinds.WIDTHS[kind]
        return f"0x{int(value) & (1 << 4 * width) - 1:0{width}X}"
    if kind == "RegisterValue":
        return f"0x{value:x}"
    return str(value)


def print_result(kind, value, writer):
    if value is None:
        return
    if kind == "String[,]":
        print_table(value, writer)
        return
    writer.write(show(kind, value) + "\r\n")
    if kind in kinds.ENUMS:
        writer.write_line()
        writer.write_line("Possible values are:\n" + "".join(f"\t{name}\n" for name in kinds.ENUMS[kind]) + "\n")


def print_table(rows, writer):
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    rule = "-" * (sum(widths) + len(widths) + 1)
    for number, row in enumerate(rows):
        if number < 2:
            writer.write_line(rule)
        writer.write_line("|" + "|".join(f"{cell:<{width}}" for cell, width in zip(row, widths)) + "|")
    writer.write_line(rule)


def process(device, name, tokens, writer, find):
    if not tokens:
        print_all(name, device, writer)
        return
    try:
        kind, value = execute(device, name, tokens, find)
    except Mismatch as mismatch:
        print_methods(name, [method for method in device.methods if method.name == mismatch.method], writer)
        raise
    print_result(kind, value, writer)
