# SPDX-License-Identifier: Apache-2.0
"""The package `pwemu` from the source tree, on the fixture's daemon."""

import os
import subprocess
import sys
import tempfile
from unittest import mock

HERE = os.path.dirname(os.path.abspath(__file__))
PACKAGE = os.path.abspath(os.path.join(HERE, "../../../client/python"))
sys.path[:0] = [PACKAGE, os.path.dirname(HERE)]

import pwemu  # noqa: E402
from pwemu_fixture import BOARD, BUILD, PATH, Case, firmware, is_alive, read_proc, wait_for  # noqa: E402,F401

PWEMU = os.path.join(BUILD, "bin/pwemu")
PYTHON = "/usr/bin/python3"
ECHO = firmware("echo.elf")
ANSWER = r"got: (.*)\r"


class ApiCase(Case):
    """One daemon, found by $PWEMU_HOST; nothing of the caller's environment or directory that could name a configuration."""

    def setUp(self):
        super().setUp()
        clean = {name: value for name, value in os.environ.items() if not name.startswith("PW_")}
        clean.update(self.variables())
        patch = mock.patch.dict(os.environ, clean, clear=True)
        patch.start()
        self.addCleanup(patch.stop)
        before = os.getcwd()
        os.chdir(self.dir)
        self.addCleanup(os.chdir, before)
        saved, tempfile.tempdir = tempfile.tempdir, self.dir
        self.addCleanup(setattr, tempfile, "tempdir", saved)

    def variables(self):
        return {
            "PWEMU_HOST": "unix:" + self.daemon.socket,
            "PWEMU": PWEMU,
            "PWEMU_TEST_DIR": self.dir,
            "PATH": PATH,
            "XDG_CONFIG_HOME": os.path.join(self.dir, "config"),
        }

    def emulator(self, name="board", config=None):
        return pwemu.Emulator(os.path.join(self.dir, name), config)

    def cli(self, *words, code=0, **options):
        """The command line in this environment; its stdout."""
        result = subprocess.run([PWEMU, *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False, **options)
        self.assertEqual(result.returncode, code, result.stderr)
        return result.stdout

    def python(self, program, *words, code=0, **environment):
        """A Python program of its own with the package; its stdout."""
        variables = {**os.environ, "PYTHONPATH": PACKAGE, "PYTHONDONTWRITEBYTECODE": "1", **environment}
        result = subprocess.run(
            [PYTHON, "-c", program, *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, env=variables, check=False
        )
        self.assertEqual(result.returncode, code, result.stdout + result.stderr)
        return result.stdout

    def write(self, name, text):
        path = os.path.join(self.dir, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path
