# SPDX-License-Identifier: Apache-2.0
"""The package as such: generated messages, installation, names and signatures of pw_emu, pytest, asyncio."""

import asyncio
import filecmp
import glob
import inspect
import os
import pathlib
import subprocess
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

from api_fixture import ANSWER, BOARD, ECHO, PACKAGE, PYTHON, ApiCase, firmware, pwemu, wait_for  # noqa: E402

ROOT = os.path.abspath(os.path.join(PACKAGE, "../.."))
WDIR = pathlib.Path("/w")
CONFIG = pathlib.Path("/c.json")

# pw_emu.core's exceptions: arguments, words of the text, attributes.
EXCEPTIONS = (
    (pwemu.ConfigError, (CONFIG, "targets: t: not found"), "/c.json: targets: t: not found", {"config": CONFIG, "err": "targets: t: not found"}),
    (pwemu.AlreadyRunning, (WDIR,), "/w: emulator already started", {"wdir": WDIR}),
    (pwemu.NotRunning, (WDIR,), "/w: emulator not started", {"wdir": WDIR}),
    (pwemu.InvalidEmulator, ("e",), "invalid emulator `e`", {"emu": "e"}),
    (pwemu.InvalidTarget, (CONFIG, "e", "t"), "/c.json: invalid target `t` for `e`", {"config": CONFIG, "emu": "e", "target": "t"}),
    (pwemu.InvalidTarget, (CONFIG, None, "t"), "/c.json: invalid target `t`", {}),
    (pwemu.InvalidChannelName, ("n", "t", ["a", "b"]), "`n` is not a valid device name for `t`; try: a b", {"name": "n", "valid": ["a", "b"]}),
    (pwemu.InvalidChannelType, ("x",), "`x` is not a valid channel type", {"name": "x"}),
    (pwemu.WrongEmulator, ("e", "f"), "wrong emulator: expected `e`, found `f`", {}),
    (pwemu.RunError, ("p", "m"), "error running `p`: m", {"proc": "p", "msg": "m"}),
    (pwemu.InvalidPropertyPath, ("p",), "invalid property path `p`", {"path": "p"}),
    (pwemu.InvalidProperty, ("p", "n"), "invalid property `n` at `p`", {"path": "p", "name": "n"}),
    (pwemu.HandlesError, ("m",), "m", {}),
)

# pw_emu.frontend.Emulator's methods: the arguments it has, in order, with their defaults.
METHODS = {
    "__init__": "wdir config_path=None",
    "start": "target file=None pause=False debug=False foreground=False args=None",
    "stop": "",
    "running": "",
    "get_gdb_remote": "",
    "get_gdb_cmd": "",
    "run_gdb_cmds": "commands executable=None pause=False",
    "reset": "",
    "cont": "",
    "list_properties": "path",
    "get_property": "path prop",
    "set_property": "path prop value",
    "get_channel_type": "name",
    "get_channel_path": "name",
    "get_channel_addr": "name",
    "get_channel_stream": "name timeout=None",
    "get_channels": "",
    "set_emu": "emu",
}


def arguments(function):
    parameters = list(inspect.signature(function).parameters.values())[1:]
    named = [p for p in parameters if p.kind is not p.KEYWORD_ONLY]
    return " ".join(p.name if p.default is p.empty else f"{p.name}={p.default!r}" for p in named)


class Names(unittest.TestCase):
    def test_exceptions(self):
        for kind, words, text, attributes in EXCEPTIONS:
            error = kind(*words)
            self.assertIsInstance(error, pwemu.Error)
            self.assertEqual(str(error), text)
            for name, value in attributes.items():
                self.assertEqual(getattr(error, name), value)

    def test_methods(self):
        """What pw_emu has comes first, with its names and defaults; what is new follows."""
        for name, expected in METHODS.items():
            found = arguments(getattr(pwemu.Emulator, name))
            self.assertTrue(found == expected or (found + " ").startswith(expected and expected + " "), f"{name}: {found}")
        self.assertEqual(arguments(pwemu.TemporaryEmulator.__init__), "config_path=None cleanup=True")
        for name in pwemu.__all__:
            self.assertTrue(hasattr(pwemu, name), name)

    def test_async_has_the_same(self):
        for name, function in vars(pwemu.Emulator).items():
            if not name.startswith("_"):
                self.assertTrue(hasattr(pwemu.AsyncEmulator, name), name)
                self.assertTrue(getattr(function, "__doc__", None), name)


class Package(ApiCase):
    def test_messages_are_those_of_the_protos(self):
        out = os.path.join(self.dir, "out")
        command = ["make", "-s", "-C", ROOT, "python-messages", f"PYTHON_OUT={out}"]
        subprocess.run(command, check=True, timeout=60, stdin=subprocess.DEVNULL, env={**os.environ, "MAKEFLAGS": ""})
        made = sorted(os.listdir(os.path.join(out, "pwemu/v1")))
        kept = sorted(os.path.basename(path) for path in glob.glob(os.path.join(PACKAGE, "pwemu/v1/*_pb2*.py")))
        self.assertEqual(made, kept)
        _, different, missing = filecmp.cmpfiles(os.path.join(out, "pwemu/v1"), os.path.join(PACKAGE, "pwemu/v1"), made, shallow=False)
        self.assertEqual((different, missing), ([], []), "run: make python-messages")

    def install(self):
        place = os.path.join(self.dir, "site")
        source = os.path.join(self.dir, "source")
        subprocess.run(["cp", "-r", PACKAGE, source], check=True)  # setuptools writes beside it
        command = [PYTHON, "-m", "pip", "install", "-q", "--no-build-isolation", "--no-deps", "--no-index", "-t", place, source]
        subprocess.run(command, check=True, timeout=120, stdin=subprocess.DEVNULL, env={**os.environ, "HOME": self.dir, "PIP_ROOT_USER_ACTION": "ignore"})
        return place

    def test_pip(self):
        """From the source tree, offline; and pytest finds the fixture of what was installed by itself."""
        place = self.install()
        self.assertTrue(os.path.exists(os.path.join(place, "pwemu/py.typed")))
        program = "import pwemu, os; print(os.path.dirname(pwemu.__file__))"
        self.assertEqual(self.python(program, PYTHONPATH=place).strip(), os.path.join(place, "pwemu"))
        self.write("test_it.py", f"def test_it(pwemu_emulator):\n    pwemu_emulator.start({BOARD!r}, {ECHO!r})\n")
        self.assertIn("1 passed", self.pytest(0, place))

    def pytest(self, code, place, *words):
        command = [PYTHON, "-m", "pytest", "-p", "no:cacheprovider", *words, "test_it.py"]
        result = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False, env={**os.environ, "PYTHONPATH": place}
        )
        self.assertEqual(result.returncode, code, result.stdout + result.stderr)
        return result.stdout

    def test_failing_test_shows_the_log(self):
        self.write(
            "test_it.py",
            f"""
import os, pwemu
def test_well(pwemu_emulator):
    pwemu_emulator.start({BOARD!r}, {ECHO!r})
    assert pwemu_emulator.send("well\\r", expect=r"got: (.*)\\r")[1] == b"well"
def test_bad(pwemu_emulator):
    pwemu_emulator.start({BOARD!r}, {ECHO!r})
    pwemu_emulator.send("some words\\r", expect=r"got: (.*)\\r")
    assert False
def test_not_started(pwemu_emulator):
    assert False
def test_variable():
    assert "PW_EMU_WDIR" not in os.environ
""",
        )
        output = self.pytest(1, PACKAGE, "-p", "pwemu.pytest_plugin")
        self.assertIn("2 failed, 2 passed", output)
        self.assertIn("pwemu channel serial0", output)
        self.assertIn("got: some words", output)
        self.assertNotIn("got: well", output)
        self.assertEqual(self.list(), [])

    def test_configuration_of_the_fixture(self):
        config = '{"pw": {"pw_emu": {"targets": {"mine": {"qemu": {"executable": "qemu-system-arm", "machine": "lm3s6965evb"}}}}}}'
        path = self.write("mine.json", config)
        self.write("conftest.py", f"import pytest\n@pytest.fixture\ndef pwemu_config():\n    return {path!r}\n")
        self.write("test_it.py", f"def test_it(pwemu_emulator):\n    pwemu_emulator.start('mine', {ECHO!r})\n")
        self.assertIn("1 passed", self.pytest(0, PACKAGE, "-p", "pwemu.pytest_plugin"))


class Async(ApiCase):
    def run_async(self, function):
        async def run():
            async with pwemu.AsyncTemporaryEmulator() as emu:
                await function(emu)
            self.assertNotIn("PW_EMU_WDIR", os.environ)
            self.assertFalse(emu._wdir.exists())

        asyncio.run(run())
        self.assertEqual(self.list(), [])

    def test_life(self):
        async def life(emu):
            self.assertFalse(await emu.running())
            with self.assertRaises(pwemu.NotRunning):
                await emu.reset()
            await emu.start(BOARD, ECHO, pause=True)
            with self.assertRaises(pwemu.AlreadyRunning):
                await emu.start(BOARD, ECHO)
            self.assertEqual(await emu.state(), "paused")
            await emu.cont()
            await emu.wait(match="ready> ")
            await emu.reset()
            await emu.pause()
            self.assertEqual(await emu.wait(state="paused"), "paused")
            await emu.cont()
            self.assertIn("serial0", await emu.get_channels())
            self.assertEqual(await emu.get_channel_type("serial0"), "tcp")
            with self.assertRaises(pwemu.InvalidChannelName):
                await emu.get_channel_type("nope")
            await emu.stop()
            self.assertEqual((await emu.end()).cause, "stopped")
            await emu.start(BOARD, firmware("exit.elf"), semihosting=True)
            self.assertEqual((await emu.wait()).code, 42)
            self.assertTrue(await emu.logs())
            self.assertIn("end", [event.kind async for event in emu.events()])
            with self.assertRaises(pwemu.RunError):
                await emu.start(BOARD, args="--no-such-option")

        self.run_async(life)

    def test_text(self):
        async def text(emu):
            await emu.start(BOARD, ECHO)
            await emu.wait(match="ready> ")  # what comes before its UART is set up is lost
            self.assertEqual((await emu.send("one\r", expect=ANSWER))[1], b"one")
            with self.assertRaises(TimeoutError):
                await emu.send("two\r", expect="never", timeout=0.2)
            with self.assertRaises(TimeoutError):
                await emu.wait(match="never", timeout=0.1)
            async with await emu.get_channel_stream("serial0", start="now") as stream:
                await stream.write(b"three\r")
                self.assertEqual(await stream.readline(), b"three\r\n")
                self.assertEqual(await stream.readline(), b"got: three\r\n")
                with self.assertRaises(asyncio.TimeoutError):
                    await asyncio.wait_for(stream.readline(), 0.1)
                self.assertEqual(await stream.read(100), b"ready> ")
                await emu.stop()
                self.assertEqual(await stream.read(), b"")

        self.run_async(text)

    def test_many_at_once(self):
        """One thread, several boards."""

        async def one(name):
            async with pwemu.AsyncEmulator(os.path.join(self.dir, name)) as emu:
                await emu.start(BOARD, ECHO)
                await emu.wait(match="ready> ")
                found = (await emu.send(name + "\r", expect=ANSWER))[1].decode()
                await emu.stop()
                return found

        async def run():
            return await asyncio.gather(*(one(f"board{i}") for i in range(4)))

        self.assertEqual(asyncio.run(run()), [f"board{i}" for i in range(4)])

    def test_exception_is_kept(self):
        async def fail(emu):
            await emu.start(BOARD, ECHO)
            raise KeyError("mine")

        with self.assertRaisesRegex(KeyError, "mine"):
            self.run_async(fail)
        wait_for(lambda: not self.list(), "nothing to be left")

    def test_properties(self):
        async def properties(emu):
            await emu.start(BOARD, ECHO)
            self.assertTrue(await emu.list_properties("/machine"))
            await emu.set_property("/machine", "graphics", True)
            self.assertIs(await emu.get_property("/machine", "graphics"), True)
            self.assertEqual(len(await emu.get_channel_addr("serial0")), 2)

        self.run_async(properties)


if __name__ == "__main__":
    unittest.main()
