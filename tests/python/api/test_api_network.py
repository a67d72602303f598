# SPDX-License-Identifier: Apache-2.0
"""The package on a daemon of another machine: an address, a context, what is wrong with one."""

import asyncio
import os
import re
import subprocess
import sys
from unittest import mock

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from api_fixture import BOARD, ECHO, PWEMU, ApiCase  # noqa: E402

import pwemu  # noqa: E402


class Network(ApiCase):
    def start_daemon(self, **options):
        return super().start_daemon(arguments=["--listen", "tcp://127.0.0.1:0"], **options)

    def variables(self):
        line = subprocess.run([PWEMU, "-H", self.daemon.socket, "token", "add"], capture_output=True, text=True, check=True).stdout
        self.url = re.search("'(.*)'", line)[1]
        return {**super().variables(), "PWEMU_HOST": self.url}

    def talk(self):
        emulator = self.emulator()
        emulator.start(BOARD, ECHO)
        emulator.wait(match="ready> ", timeout=30)
        with emulator.get_channel_stream("serial0", timeout=20) as stream:
            stream.write(b"over the net\r")
            emulator.wait(match="got: over the net", timeout=30)
        emulator.stop()
        return emulator

    def test_address(self):
        """The CA comes from the daemon; the token is not shown."""
        emulator = self.talk()
        self.assertNotIn("token", repr(emulator._address.host))

    def test_context(self):
        self.cli("context", "add", "lab", self.url)
        with mock.patch.dict(os.environ, {"PWEMU_CONTEXT": "lab"}):
            del os.environ["PWEMU_HOST"]
            self.talk()
        self.cli("context", "use", "lab")
        self.talk()

    def test_gdb(self):
        emulator = self.emulator()
        emulator.start(BOARD, ECHO)
        self.assertEqual(emulator.run_gdb_cmds(["info registers pc"], ECHO).returncode, 0)
        self.assertEqual(emulator.run_gdb_cmds(["quit $pc > 0 ? 7 : 8"], ECHO).returncode, 7)
        emulator.stop()

    def test_async(self):
        async def ask():
            async with pwemu.AsyncEmulator(os.path.join(self.dir, "board")) as emulator:
                await emulator.start(BOARD, ECHO)
                await emulator.wait(match="ready> ", timeout=30)
                await emulator.stop()

        asyncio.run(ask())

    def test_wrong(self):
        pin = re.search(r"ca=([^&]*)", self.url)[1]
        token = self.url.rpartition("=")[2]
        for url, text in (
            (self.url.replace(pin, "A" * 43), "not the one pinned"),
            (self.url.replace(token, "00000000." + "x" * 43), "not one of this daemon"),
            ("tcp://127.0.0.1:7777?tokn=x", "'tokn=' is not known"),
            ("tcp://127.0.0.1", "write tcp://HOST:PORT"),
        ):
            with mock.patch.dict(os.environ, {"PWEMU_HOST": url}), self.assertRaises(pwemu.Error) as caught:
                self.emulator().start(BOARD, ECHO)
            self.assertIn(text, str(caught.exception))
            self.assertNotIn(token, str(caught.exception))
        with mock.patch.dict(os.environ, {"PWEMU_HOST": "", "PWEMU_CONTEXT": "nowhere"}), self.assertRaises(pwemu.Error) as caught:
            self.emulator()
        self.assertIn("no context 'nowhere'", str(caught.exception))
