#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes pwemu.schema.json and pigweed.schema.json (JSON Schema, draft-07) into the directory named, or into its own.

The parser (config/target_json.c and what is beside it) decides; a test compares its tables of keys with the definitions here."""

import json
import pathlib
import sys

NULL = {"type": "null"}
DURATION = r"^([0-9]+([.][0-9]+)?(ms|s|m|h|d)|[$]pw_env.*)$"


def text(description, **more):
    return {"type": "string", "description": description, **more}


def word(description, *words):
    """One of them, or an expression for one."""
    return {"description": description, "anyOf": [{"enum": list(words)}, {"type": "string", "pattern": "[$]pw_env[{]"}]}


def texts(description):
    return {"type": "array", "items": {"type": "string"}, "maxItems": 256, "description": description}


def one_or_more(description):
    return {"description": description, "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "maxItems": 256}]}


def ref(name):
    return {"$ref": "#/definitions/" + name}


def of(description, /, **properties):
    """An object of known keys. null is as good as absent."""
    members = {key.replace("__", "$").replace("_", "-") if key != "target_files" else key: value for key, value in properties.items()}
    return {
        "type": "object",
        "description": description,
        "properties": {key: {"anyOf": [value, NULL]} for key, value in members.items()},
        "additionalProperties": NULL,
    }


def each(description, value, /, **more):
    """An object whose keys are names."""
    return {"type": "object", "description": description, "additionalProperties": {"anyOf": [value, NULL]}, **more}


TYPE = word("Endpoint: 127.0.0.1 and a port, a pseudo-terminal, or none.", "tcp", "pty", "none")
PORT = {"type": "integer", "minimum": 1, "maximum": 65535, "description": "Fixed TCP port of the endpoint; makes the type tcp."}
EXECUTABLE = text("Program of the emulator, looked up in PATH.")
NUMBER = {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": "^(0[xX][0-9a-fA-F]+|[0-9]+)[KMG]?$"}]}


def duration(description):
    return text(description, pattern=DURATION)


def needs(definition, *keys):
    """Keys that must be there and not null."""
    inner = {key: {"not": NULL} for key in keys}
    return {**definition, "allOf": [{"required": list(keys), "properties": inner}]}


def policies():
    restart = of(
        "When the emulator is started again after its death.",
        mode={"enum": ["no", "on-failure", "always"]},
        delay=duration("Before the first retry."),
        factor={"type": ["number", "string"], "description": "What the delay grows by."},
        max_delay=duration("The most it grows to."),
        jitter=text("Random part of the delay: \"20%\"."),
        deaths={"type": ["integer", "string"], "description": "Quick deaths after which it has failed."},
        within=duration("Only deaths of this last time are counted."),
        stable=duration("A life this long was no quick death."),
    )
    return {
        "restart": {"anyOf": [{"type": "string", "pattern": "^(no|on-failure|always)(,|$)"}, needs(restart, "mode")]},
        "hang": of(
            "How it is noticed that the emulator hangs.",
            answer=duration("It does not answer for this long."),
            silence=duration("The channel is silent for this long."),
            channel=text("The channel; the first console where none is named."),
            action={"enum": ["event", "restart", "stop"], "description": "What is done."},
        ),
        "log": of(
            "How much is kept of each channel.",
            limit={"anyOf": [NUMBER], "description": "Newest bytes that are kept."},
            full={"enum": ["wait", "drop-oldest"], "description": "On a full disk."},
        ),
    }


def channels():
    control = ref("endpoint")
    chardev = of(
        "A channel: a chardev of QEMU.",
        id=text("Chardev id; serialN is the N-th serial port of the board."),
        type=TYPE,
        port=PORT,
    )
    terminal = of(
        "A channel: a UART of Renode.",
        device_path=text("Path of the UART, as in sysbus.usart1."),
        type=TYPE,
        port=PORT,
    )
    return {
        "endpoint": of("Where a channel can be reached.", type=TYPE, port=PORT),
        "chardev": needs(chardev, "id"),
        "terminal": needs(terminal, "device-path"),
        "qemuChannels": of(
            "Channels of the target.",
            chardevs=each("Channels by name.", ref("chardev")),
            type=TYPE,
            gdb=control,
            monitor=control,
            qmp=control,
        ),
        "renodeChannels": of(
            "Channels of the target.",
            terminals=each("Channels by name.", ref("terminal"), properties={"type": {"anyOf": [TYPE, ref("terminal"), NULL]}}),
            type=TYPE,
            gdb=control,
        ),
    }


def emulators():
    args = texts("Further arguments of the emulator; $pw_emu_...{} expressions may stand in them.")
    default_channels = each("Type of all channels, and of single ones by name.", ref("endpoint"), properties={"type": {"anyOf": [TYPE, NULL]}})
    renode_channels = {
        **default_channels,
        "properties": {"type": {"anyOf": [TYPE, NULL]}, "terminals": {"anyOf": [ref("endpoint"), NULL]}},
    }
    return {
        "qemu": of(
            "How QEMU runs the target.",
            executable=EXECUTABLE,
            machine=text("Value of -machine."),
            args=args,
            load=word("How the first image is loaded.", "kernel", "bios", "loader"),
            channels=ref("qemuChannels"),
        ),
        "renode": of(
            "How Renode runs the target.",
            executable=EXECUTABLE,
            machine=text("Platform description (.repl)."),
            args=args,
            channels=ref("renodeChannels"),
        ),
        "qemuDefaults": of("For all targets of QEMU.", executable=EXECUTABLE, args=args, channels=default_channels),
        "renodeDefaults": of("For all targets of Renode.", executable=EXECUTABLE, args=args, channels=renode_channels),
    }


def target():
    argv = {**texts("Command line; $pw_emu_...{} expressions may stand in it."), "minItems": 1}
    command = of(
        "A program that runs beside the emulator.",
        argv=argv,
        required={"type": "boolean", "description": "The start fails when it cannot be started or ends by itself."},
    )
    commands = each("Programs by name.", {"anyOf": [argv, ref("command")]})
    memory = of(
        "A range of memory.",
        name=text("For people."),
        base=NUMBER,
        size=NUMBER,
        boot={"type": "boolean", "description": "A raw binary without an address goes here."},
    )
    return {
        "command": needs(command, "argv"),
        "memory": needs(memory, "base", "size"),
        "target": of(
            "A board.",
            base=text("The target, or else the preset, that this one is based on: what is not said here is as there."),
            description=text("One line for people."),
            architecture=word("Images are checked for it.", "arm", "aarch64", "riscv32", "riscv64", "avr"),
            cpu=text("Core: \"cortex-m3\"."),
            uart=text("Kind of serial port, for people."),
            eol=word("What Enter sends.", "cr", "lf", "crlf"),
            isolate=word("Whether the emulator gets a network of its own; where nothing is said the daemon's setting holds.", "auto", "off", "required"),
            sandbox=word("off: the emulator may start processes, as some of its arguments need and a firmware with semihosting could.", "on", "off"),
            gdb=one_or_more("gdb command."),
            memory={"type": "array", "items": ref("memory"), "maxItems": 64},
            qemu=ref("qemu"),
            renode=ref("renode"),
            pre_start_cmds=commands,
            post_start_cmds=commands,
            restart=ref("restart"),
            hang=ref("hang"),
            log=ref("log"),
            **{"from": text("Where readers begin: 0, boot, now, -4K or an offset.", pattern="^(boot|now|-?(0[xX][0-9a-fA-F]+|[0-9]+)[KMG]?|[$]pw_env.*)$")},
            semihosting={"type": "boolean", "description": "Turn semihosting on."},
            timeout=duration("End of a run."),
            expect=one_or_more("Patterns that a run must show."),
            fail=one_or_more("Patterns that a run must not show."),
            file=one_or_more("Images, FILE or FILE@ADDRESS, relative to this file's directory."),
            env=each("Environment variables of the emulator.", {"type": "string"}, propertyNames={"pattern": "^[^=]+$"}),
        ),
    }


def config():
    schema = {"type": "string"}
    targets = each("Boards by name.", ref("target"))
    emulator = {"type": ["object", "array"], "description": "Python classes of pw_emu: not used."}
    return {
        "targetFile": needs(of("A file that target_files names.", __schema=schema, targets=targets), "targets"),
        "config": of(
            "A configuration of pwemu.",
            __schema=schema,
            gdb=one_or_more("gdb command, where the target has none."),
            qemu=ref("qemuDefaults"),
            renode=ref("renodeDefaults"),
            emulators=emulator,
            target_files={**texts("Further files of {\"targets\": {...}}, relative to this one."), "maxItems": 64},
            targets=targets,
        ),
    }


def lax(node):
    """A pigweed.json may be newer: keys that are not known are ignored."""
    if isinstance(node, list):
        return [lax(item) for item in node]
    if not isinstance(node, dict):
        return node
    return {key: lax(value) for key, value in node.items() if not (key == "additionalProperties" and value == NULL)}


def main():
    directory = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else __file__).resolve()
    directory = directory if directory.is_dir() else directory.parent
    definitions = {**config(), **target(), **emulators(), **channels(), **policies()}
    head = {"$schema": "http://json-schema.org/draft-07/schema#"}
    pwemu = {**head, "title": "pwemu.json", "definitions": definitions, "allOf": [ref("config")]}
    pw = {"type": "object", "required": ["pw_emu"], "properties": {"pw_emu": ref("config")}}
    pigweed = {
        **head,
        "title": "pw.pw_emu of a pigweed.json",
        "definitions": lax(definitions),
        "type": "object",
        "required": ["pw"],
        "properties": {"pw": pw},
    }
    for name, schema in ("pwemu", pwemu), ("pigweed", pigweed):
        (directory / (name + ".schema.json")).write_text(json.dumps(schema, indent=2) + "\n")


if __name__ == "__main__":
    main()
