# SPDX-License-Identifier: Apache-2.0
"""Channels through the Python API: names, addresses, streams and their timeouts, logs, patterns."""

import json
import os
import re
import select
import socket
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from api_fixture import ANSWER, BOARD, ECHO, ApiCase, firmware, pwemu, wait_for  # noqa: E402
from pwemu_fixture import sequence  # noqa: E402

CONFIG = """{"pw": {"pw_emu": {"gdb": ["gdb-multiarch"], "targets": {"both": {"qemu": {
  "executable": "qemu-system-arm", "machine": "lm3s6965evb", "channels": {"chardevs": {
    "TCP": {"id": "serial0", "type": "tcp"}, "other": {"id": "serial1", "type": "tcp"}}}}},
  "pty": {"qemu": {"executable": "qemu-system-arm", "machine": "lm3s6965evb", "channels": {"chardevs": {
    "TCP": {"id": "serial0", "type": "pty"}}}}}}}}}
"""


class Names(ApiCase):
    def test_channels(self):
        emu = self.emulator()
        emu.start(BOARD, ECHO)
        channels = emu.get_channels()
        self.assertIsInstance(channels, list)
        self.assertEqual(sorted(channels), ["gdb", "monitor", "qmp", "serial0", "serial1", "serial2"])
        self.assertEqual(channels[:3], ["serial0", "serial1", "serial2"])
        for call in (emu.get_channel_type, emu.get_channel_path, emu.get_channel_addr, emu.get_channel_stream):
            with self.assertRaises(pwemu.InvalidChannelName) as caught:
                call("nope")
            self.assertIn("`nope` is not a valid device name", str(caught.exception))
            self.assertIn("serial0", caught.exception.valid)
        with self.assertRaises(pwemu.InvalidChannelName) as caught:
            emu.wait(match="x", channel="nope")
        self.assertIn("serial0", caught.exception.valid)
        emu.stop()

    def test_as_handles_json(self):
        """The names that pw_emu's file has, and no more."""
        emu = self.emulator("both", self.write("pigweed.json", CONFIG))
        emu.start("both", ECHO)
        with open(os.path.join(emu._wdir, "handles.json"), encoding="ascii") as file:
            self.assertEqual(set(emu.get_channels()), set(json.load(file)["channels"]))
        emu.stop()

    def test_types(self):
        """tcp and pty as configured; a preset's channel is tcp, and gets its port when it is asked for."""
        config = self.write("pigweed.json", CONFIG)
        for target, kind in (("both", "tcp"), ("pty", "pty")):
            emu = self.emulator(target, config)
            emu.start(target, ECHO)
            self.assertEqual(emu.get_channel_type("TCP"), kind)
            if kind == "tcp":
                with self.assertRaises(pwemu.InvalidChannelType):
                    emu.get_channel_path("TCP")
                self.assert_talks(emu.get_channel_addr("TCP"))
            else:
                with self.assertRaises(pwemu.InvalidChannelType):
                    emu.get_channel_addr("TCP")
                self.assertRegex(emu.get_channel_path("TCP"), r"^/dev/pts/\d+$")
            emu.stop()

    def assert_talks(self, address):
        with socket.create_connection(address, 20) as link, link.makefile("rb") as lines:
            link.sendall(b"over tcp\r")
            self.assertTrue(any(b"got: over tcp" in line for line in lines))

    def test_address_of_a_preset(self):
        emu = self.emulator()
        emu.start(BOARD, ECHO)
        self.assertEqual(emu.get_channel_type("serial0"), "tcp")
        address = emu.get_channel_addr("serial0")
        self.assertEqual(address, emu.get_channel_addr("serial0"))
        self.assert_talks(address)
        with self.assertRaises(pwemu.InvalidChannelType):
            emu.get_channel_path("serial0")
        emu.stop()


def exactly(stream, size):
    """A read gives what is there."""
    seen = b""
    while len(seen) < size:
        piece = stream.read(size - len(seen))
        if not piece:
            break
        seen += piece
    return seen


class Streams(ApiCase):
    def both(self):
        """The same board with its console as tcp and as pty: everything below holds for both."""
        config = self.write("pigweed.json", CONFIG)
        for target in ("both", "pty"):
            with self.subTest(target):
                emu = self.emulator(target, config)
                emu.start(target, ECHO, pause=True)
                yield emu
                emu.stop()

    def test_timeouts(self):
        """After a timeout the stream goes on, and tcp and pty behave alike; in pw_emu neither is so."""
        for emu in self.both():
            with emu.get_channel_stream("TCP", timeout=0.05) as stream:
                for _ in range(3):
                    begin = time.monotonic()
                    with self.assertRaises(TimeoutError):
                        stream.read(1)
                    self.assertLess(time.monotonic() - begin, 5)
                emu.cont()
                stream.timeout = 20
                self.assertEqual(exactly(stream, 7), b"ready> ")
                stream.timeout = 0
                self.assertIsNone(stream.read(1))
                self.assertEqual(stream.write(b"one\r"), 4)
                wait_for(lambda: select.select([stream], [], [], 20)[0], "a byte")
                stream.timeout = 20
                self.assertEqual(stream.readline(), b"one\r\n")
                self.assertEqual(stream.readline(), b"got: one\r\n")
                stream.timeout = 0.05
                with self.assertRaises(TimeoutError):
                    stream.readline()  # "ready> " is no line
                stream.timeout = None
                self.assertEqual(exactly(stream, 7), b"ready> ")

    def test_blocking(self):
        for emu in self.both():
            with emu.get_channel_stream("TCP") as stream:
                timer = threading.Timer(0.1, emu.cont)
                timer.start()
                self.assertEqual(stream.read(1), b"r")
                timer.join()
                stream.write(b"x\r")
                self.assertEqual(stream.readline(), b"eady> x\r\n")

    def test_end(self):
        """At the end of the instance everything is read, then b"" for ever."""
        for timeout in (None, 20):
            emu = self.emulator()
            emu.start(BOARD, firmware("exit.elf"), semihosting=True, pause=True)
            with emu.get_channel_stream("serial0", timeout=timeout) as stream:
                emu.cont()
                text = stream.read()
                self.assertEqual(text, emu.logs("serial0"))
                self.assertEqual(stream.read(1), b"")
                with self.assertRaises(pwemu.Error):
                    stream.write(b"x")

    def test_raw_io(self):
        emu = self.emulator()
        emu.start(BOARD, ECHO)
        stream = emu.get_channel_stream("serial0", timeout=20)
        self.assertTrue(stream.readable() and stream.writable() and not stream.seekable())
        buffer = bytearray(100)
        count = stream.readinto(buffer)
        self.assertEqual(b"ready> "[:count], bytes(buffer[:count]))
        stream.close()
        stream.close()
        for call in (stream.fileno, lambda: stream.read(1), lambda: stream.write(b"x")):
            with self.assertRaises(ValueError):
                call()
        emu.stop()

    def test_input_of_a_stream_that_is_closed_arrives(self):
        emu = self.emulator()
        emu.start(BOARD, ECHO)
        for timeout in (None, 0, 5):
            with emu.get_channel_stream("serial0", timeout=timeout) as stream:
                offset = stream.offset
                stream.write(f"with {timeout}\r".encode())
            emu.wait(match=f"got: with {timeout}\r", start=offset)
        emu.stop()

    def test_write_timeout(self):
        """A paused guest takes some and no more; the stream is usable afterwards."""
        emu = self.emulator()
        emu.start(BOARD, ECHO, pause=True)
        with emu.get_channel_stream("serial0", timeout=0.2) as stream:
            with self.assertRaises(TimeoutError):
                stream.write(b"x" * 20000 + b"\r")
            emu.cont()
            stream.timeout = 20
            self.assertEqual(exactly(stream, 7), b"ready> ")
        emu.stop()

    def test_where_streams_begin(self):
        """The first has all since the boot, whenever it comes (pw_emu has lost that); the next what comes."""
        emu = self.emulator()
        emu.start(BOARD, ECHO)
        emu.wait(match="ready> ")
        with emu.get_channel_stream("serial0", timeout=20) as stream:
            self.assertEqual(exactly(stream, 7), b"ready> ")
        with emu.get_channel_stream("serial0", timeout=0.05) as stream:
            with self.assertRaises(TimeoutError):
                stream.read(1)
        for start, text in ((0, b"ready> "), ("boot", b"ready> "), ("start", b"ready> "), ("-3", b"y> "), (5, b"> ")):
            with emu.get_channel_stream("serial0", timeout=20, start=start) as stream:
                self.assertEqual(exactly(stream, len(text)), text)
        with self.assertRaises(ValueError):
            emu.get_channel_stream("serial0", start="yesterday")
        emu.stop()

    def test_several_at_once(self):
        """All of them read, all of them write; pw_emu's second one hangs."""
        emu = self.emulator()
        emu.start(BOARD, ECHO)
        with emu.get_channel_stream("serial0", timeout=20) as one, self.emulator().get_channel_stream("serial0", timeout=20) as two:
            self.assertEqual((exactly(one, 7), exactly(two, 7)), (b"ready> ", b"ready> "))
            two.write(b"two\r")
            self.assertEqual((one.readline(), two.readline()), (b"two\r\n", b"two\r\n"))
            one.readline(), two.readline()
            one.write(b"one\r")
            self.assertEqual(two.readline(), b"ready> one\r\n")
        emu.stop()

    def test_much(self):
        """Every byte, once, in order; a reader that stops reading stops nobody."""
        emu = self.emulator()
        emu.start(BOARD, firmware("seq.elf"), pause=True)
        with emu.get_channel_stream("serial0", timeout=60) as slow, emu.get_channel_stream("serial0", timeout=60, start="boot") as stream:
            emu.cont()
            data = b""
            while len(data) < 1 << 20:
                data += stream.read(65536)
            self.assertEqual(data, sequence(0, len(data)))
            self.assertEqual(slow.read(9), sequence(0, 9))
        begin = time.monotonic()
        emu.stop()
        self.assertLess(time.monotonic() - begin, 4)


class Text(ApiCase):
    def test_wait(self):
        emu = self.emulator()
        emu.start(BOARD, ECHO)
        self.assertEqual(emu.wait(match="re(ad)y> ")[1], b"ad")
        self.assertEqual(emu.wait(match=b"ready")[0], b"ready")
        self.assertEqual(emu.wait(match=re.compile(b"READY", re.IGNORECASE))[0], b"ready")
        emu.send("one\r")
        self.assertEqual([found[0] for found in emu.wait(match=["got", "one"])], [b"got", b"one"])
        with self.assertRaises(TimeoutError) as caught:
            emu.wait(match="never", timeout=0.1)
        self.assertIn("never", str(caught.exception))
        self.assertIn("got: one", str(caught.exception))
        with self.assertRaises(pwemu.UnexpectedOutput) as caught:
            emu.wait(match="never", fail="got: o")
        self.assertIn(b"got: one", caught.exception.output)
        with self.assertRaises(TimeoutError):
            emu.wait(exit=True, timeout=0.1)
        with self.assertRaises(ValueError):
            emu.wait(match="x", state="running")
        self.assertEqual(emu.wait(state=["paused", "running"]), "running")
        threading.Timer(0.1, emu.stop).start()
        self.assertEqual(emu.wait().cause, "stopped")
        with self.assertRaises(pwemu.UnexpectedOutput):
            emu.wait(match="never")
        with self.assertRaises(pwemu.NotRunning):
            emu.wait(state="running")

    def test_send(self):
        emu = self.emulator()
        emu.start(BOARD, ECHO)
        emu.wait(match="ready> ")
        emu.send("same\r", expect=ANSWER)
        with self.assertRaises(TimeoutError):  # what came before the text does not count
            emu.send("x", expect="got: same", timeout=0.2)
        offset = emu.send("\r")
        self.assertIsInstance(offset, int)
        self.assertEqual(emu.wait(match=ANSWER, start=offset)[1], b"x")
        self.assertEqual(emu.send(b"bytes\r", expect=ANSWER)[1], b"bytes")
        with self.assertRaises(pwemu.UnexpectedOutput):
            emu.send("bad\r", expect="good", fail="got: bad")
        emu.stop()

    def test_logs(self):
        """Nothing a guest prints is lost, with or without a reader, and it is there after the end."""
        emu = self.emulator()
        for _ in range(2):
            emu.start(BOARD, firmware("exit.elf"), semihosting=True)
            emu.wait()
        text = emu.logs()
        self.assertTrue(text)
        self.assertEqual(emu.logs(start=0), text * 2)
        self.assertEqual(emu.logs(boot=-1), text)
        self.assertEqual(emu.logs(boot=1), text)
        self.assertEqual(b"".join(emu.follow(start=0)), text * 2)
        self.assertEqual(emu.logs("serial1"), b"")

    def test_events_and_end(self):
        emu = self.emulator()
        emu.start(BOARD, firmware("exit.elf"), semihosting=True)
        end = emu.wait()
        self.assertEqual((end.cause, end.code, end.signal, end.boot), ("finished", 42, 0, 1))
        self.assertAlmostEqual(end.time, time.time(), delta=60)
        self.assertEqual(emu.end, end)
        events = list(emu.events())
        states = [event.state for event in events if event.kind == "state"]
        self.assertEqual(states[-1], "ended")
        self.assertEqual([event.end for event in events if event.kind == "end"], [end])
        self.assertEqual([event.seq for event in emu.events(start=events[-1].seq)], [events[-1].seq])
        emu.start(BOARD, ECHO)
        with self.assertRaises(TimeoutError):
            list(emu.events(start=None, follow=True, timeout=0.2))
        emu.stop()

    def test_lockup_is_told(self):
        emu = self.emulator()
        emu.start(BOARD, firmware("lockup.elf"))
        end = emu.wait()
        self.assertEqual(end.cause, "guest-fault")
        self.assertIn("R00=", end.details + emu.logs("emulator").decode())


if __name__ == "__main__":
    unittest.main()
