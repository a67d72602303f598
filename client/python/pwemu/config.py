# SPDX-License-Identifier: Apache-2.0
"""Project configurations (pigweed.json, pwemu.json): where one is, and a target of it, resolved by `pwemu config explain`, so that
Python and the command line cannot differ. After "Configuration" in the documentation of pw_emu."""

from __future__ import annotations

import json
import os
import pathlib
import re
import warnings
from typing import List, Optional

from google.protobuf import json_format

from pwemu.connection import run_program, without_prefix
from pwemu.errors import ConfigError, InvalidTarget
from pwemu.v1 import targets_pb2

FILE_NAMES = ("pigweed.json", "pwemu.json")


def find_project() -> str:
    """$PW_PROJECT_ROOT, else the nearest directory upwards with a configuration; empty if there is none."""
    root = os.environ.get("PW_PROJECT_ROOT")
    if root:
        return os.path.abspath(root)
    here = pathlib.Path.cwd()
    for directory in (here, *here.parents):
        if directory != directory.parent and any((directory / name).is_file() for name in FILE_NAMES):
            return str(directory)
    return ""


def find_config(config_path: Optional[pathlib.Path]) -> Optional[pathlib.Path]:
    """The configuration that holds: the one given, else that of the project; None: only presets."""
    if config_path is not None:
        return config_path
    project = find_project()
    for name in FILE_NAMES if project else ():
        if pathlib.Path(project, name).is_file():
            return pathlib.Path(project, name)
    return None


def resolve_target(config_path: Optional[pathlib.Path], target: str, runner: str) -> Optional[targets_pb2.Target]:
    """The target as the configuration has it; None: there is no configuration, or it leaves this name to the presets. Warnings of
    the configuration become Python's.

    Args:
        config_path: a configuration to use instead of the project's.
        target: its name.
        runner: emulator to use where it has several; empty: its first.

    Raises:
        ConfigError: file, line and JSON path of what is wrong.
        InvalidTarget: no such target, the nearest names.
        RunError: the program `pwemu` cannot be run.
    """
    path = find_config(config_path)
    if path is None:
        return None
    arguments: List[str] = ["-c", str(config_path)] if config_path is not None else []
    arguments += ["config", "explain", "-o", "json"] + (["-r", runner] if runner else []) + ["--", target]
    result = run_program(arguments)
    said = without_prefix(result.stderr)
    if result.returncode != 0:
        raise _refusal(path, target, runner, said)
    for line in said.splitlines():
        warnings.warn(line, stacklevel=4)
    resolved = json.loads(result.stdout).get("target")
    return json_format.ParseDict(resolved, targets_pb2.Target(), ignore_unknown_fields=True) if resolved else None


def _refusal(path: pathlib.Path, target: str, runner: str, said: str) -> ConfigError:
    if re.search(r"(no|unknown) target", said):
        error: ConfigError = InvalidTarget(path, runner or None, target)
        error.details = said
        return error
    return ConfigError(path, said or "it cannot be resolved")
