# SPDX-License-Identifier: Apache-2.0
"""The package on a network that is cut, from other mounts, through ssh, and where a start has to wait."""

import asyncio
import os
import re
import sys
import threading
import time
import unittest
from unittest import mock

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from api_fixture import ANSWER, BOARD, ECHO, PACKAGE, PYTHON, ApiCase, BUILD, PATH, firmware, pwemu, wait_for  # noqa: E402

import subprocess  # noqa: E402

from cutter import Cutter  # noqa: E402
from pwemu import connection  # noqa: E402
from pwemu_fixture import instances_pb2, sequence  # noqa: E402

TOTAL = 300000


class Cut(ApiCase):
    def variables(self):
        self.network = Cutter(os.path.join(self.dir, "network.sock"), lambda: self.daemon.socket)
        self.addCleanup(self.network.close)
        return {**super().variables(), "PWEMU_HOST": f"unix:{self.network.path}?remote", "PWEMU_RECONNECT": "20s"}

    def boots(self):
        return {row.name: row.boot for row in self.list()}

    def test_logs_are_whole(self):
        """Cut after numbers of bytes and at any moment; sync, async, and a stream."""
        emu = self.emulator()
        emu.start(BOARD, firmware("seq.elf"))
        cuts = [1, 9, 100, 1000, 33000, 70000]
        self.network.cut_after = list(cuts)
        self.network.cut()
        seen = b""
        for piece in emu.follow(timeout=50):
            seen += piece
            if len(seen) > TOTAL and not self.network.cut_after:
                break
        self.assertTrue(seen == sequence(0, len(seen)))
        self.assertGreater(self.network.connections, len(cuts))
        with emu.get_channel_stream("serial0", timeout=20, start=0) as stream:
            again = b""
            for _ in range(4):
                self.network.cut()
                again += stream.read(1 << 16)
            while len(again) < TOTAL:
                again += stream.read(1 << 16)
            self.assertEqual(stream.offset, len(again))
        self.assertTrue(again == sequence(0, len(again)))
        asyncio.run(self.read_async())
        emu.stop()

    async def read_async(self):
        async with pwemu.AsyncEmulator(os.path.join(self.dir, "board")) as emu:
            seen = b""
            async for piece in emu.follow(timeout=50):
                if len(seen) // 100000 != (len(seen) + len(piece)) // 100000:
                    self.network.cut()
                seen += piece
                if len(seen) > TOTAL:
                    break
            self.assertTrue(seen == sequence(0, len(seen)))
            async with await emu.get_channel_stream("serial0", start=0) as stream:
                again = b""
                while len(again) < TOTAL:
                    piece = await stream.read(1 << 16)
                    if len(again) // 100000 != (len(again) + len(piece)) // 100000:
                        self.network.cut()
                    again += piece
                self.assertTrue(again == sequence(0, len(again)))

    def test_start_is_not_repeated(self):
        for n, down in enumerate((20, 60, 120, 200, 300, 800)):
            emu = self.emulator(f"i{n}")
            self.network.cut_after = [down]
            self.network.cut()
            emu.start(BOARD, ECHO)
        self.assertEqual(self.boots(), {f"i{n}": 1 for n in range(6)})
        self.assertEqual(len({row.machine for row in self.list()}), 1)
        rows = self.cli("ls", "-o", "json", env={**os.environ, "PWEMU_HOST": os.environ["PWEMU_HOST"]})
        self.assertEqual(rows.count('"running"'), 6)
        self.assertIn("running", self.cli("-C", os.path.join(self.dir, "i3"), "status"), "the command line sees the same instance")

    def test_upload(self):
        path = os.path.join(self.dir, "large.elf")
        with open(ECHO, "rb") as source, open(path, "wb") as file:
            file.write(source.read() + os.urandom(1 << 20))
        emu = self.emulator()
        self.network.cut_up_after = [50, 400, 30000, 500000]
        emu.start(BOARD, path)
        self.assertEqual(self.network.cut_up_after, [])
        sent = self.network.up_bytes
        self.assertGreater(sent, 1 << 20)
        emu.load(path)
        self.assertLess(self.network.up_bytes - sent, 1 << 17, "the daemon has it")
        self.assertEqual(emu.send("x\r", expect=ANSWER, timeout=20)[1], b"x")
        emu.stop()
        with self.assertRaisesRegex(pwemu.Error, "is empty; did the build fail"):
            emu.start(BOARD, self.write("empty.elf", ""))
        with self.assertRaisesRegex(pwemu.Error, "nowhere.elf.*No such file"):
            emu.start(BOARD, "/nowhere.elf")

    def test_wait_and_events(self):
        emu = self.emulator()
        emu.start(BOARD, ECHO)
        emu.wait(match="ready> ", timeout=20)
        done = []
        threads = [
            threading.Thread(target=lambda: done.append(emu.wait(match="later", start="now", timeout=30)[0])),
            threading.Thread(target=lambda: done.append(emu.wait(state="paused", timeout=30))),
            threading.Thread(target=lambda: done.append([event.seq for event in emu.events(follow=True, timeout=30)])),
        ]
        before = self.network.up_bytes
        for thread in threads:
            thread.start()
        wait_for(lambda: self.network.up_bytes > before + 400, "the waits to begin")
        local = {**os.environ, "PWEMU_HOST": self.daemon.socket}
        name = self.list()[0].id
        self.network.unlisten()
        self.network.cut()
        for words in (("send", "-l", "later"), ("pause",), ("resume",), ("stop",)):
            self.cli("-i", name, *words, env=local)
        self.network.listen()
        for thread in threads:
            thread.join(30)
        numbers = [row for row in done if isinstance(row, list)][0]
        self.assertIn(b"later", done)
        self.assertIn("paused", done, "it has passed while the connection was cut")
        self.assertEqual(numbers, sorted(set(numbers)))
        self.assertEqual(numbers, [event.seq for event in emu.events()])

    def test_input(self):
        """What is on its way is said to be, and the stream stays."""
        emu = self.emulator()
        emu.start(BOARD, firmware("gulp.elf"), pause=True)
        with emu.get_channel_stream("serial0", timeout=15) as stream:
            timer = threading.Timer(0.5, self.network.cut)
            timer.start()
            with self.assertRaisesRegex(pwemu.Error, r"last \d+ bytes of the input is not known") as caught:
                stream.write(b"x" * (1 << 16))
            timer.join()
            self.assertEqual(caught.exception.reason, "input-adrift")
        emu.stop()

    def test_patience(self):
        os.environ["PWEMU_RECONNECT"] = "500ms"
        emu = self.emulator()
        emu.start(BOARD, ECHO)
        emu.wait(match="ready> ", timeout=20)  # nothing more comes by itself
        stream = emu.get_channel_stream("serial0", timeout=20, start="now")
        self.network.unlisten()
        self.network.cut()

        async def ask():
            async with pwemu.AsyncEmulator(os.path.join(self.dir, "board")) as other:
                await other.info()

        for what in (emu.info, lambda: stream.read(1), lambda: list(emu.follow()), lambda: asyncio.run(ask())):
            begin = time.monotonic()
            with self.assertRaisesRegex(pwemu.Error, r"lost and could not be made again within 0\.\d s") as caught:
                what()
            self.assertEqual(caught.exception.reason, "connection-lost")
            self.assertLess(time.monotonic() - begin, 5)
        with self.assertRaises(TimeoutError):
            os.environ["PWEMU_RECONNECT"] = "10m"
            emu.wait(match="never", timeout=0.5)
        self.network.listen()
        self.assertTrue(emu.running())
        emu.stop()

    def test_silence(self):
        """A network that says nothing: the connection is lost when nobody answers."""
        fast = [("grpc.keepalive_time_ms", 300), ("grpc.keepalive_timeout_ms", 300), ("grpc.http2.max_pings_without_data", 0)]
        with mock.patch.object(connection, "KEEPALIVE_OPTIONS", fast), mock.patch.dict(connection._channels, clear=True):
            emu = self.emulator()
            emu.start(BOARD, ECHO)
            emu.wait(match="ready> ", timeout=20)
            pieces = emu.follow(start=len(emu.logs()), timeout=30)
            found = []
            thread = threading.Thread(target=lambda: found.append(next(pieces)))
            before, sent = self.network.connections, self.network.up_bytes
            thread.start()
            wait_for(lambda: self.network.up_bytes > sent, "it to begin")
            self.network.is_silent = True
            wait_for(lambda: self.network.connections > before, "the loss to be seen")
            self.network.is_silent = False
            self.network.cut()
            emu.send("on\r", expect=ANSWER)
            thread.join(20)
            self.assertTrue(found)
            emu.stop()

    def test_client_lease(self):
        """It outlives a cut, and not its process."""
        program = f"import pwemu, sys\npwemu.Emulator('leased').start({BOARD!r}, {ECHO!r}, lease='client')\nprint('up', flush=True)\nsys.stdin.read()"
        self.configure({"lease-grace": "500ms"})
        variables = {**os.environ, "PYTHONPATH": PACKAGE}
        with subprocess.Popen([PYTHON, "-c", program], env=variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            self.assertEqual(process.stdout.readline(), b"up\n")
            before = self.network.connections
            self.network.cut()
            wait_for(lambda: self.network.connections > before, "the next connection")
            time.sleep(1)  # more than the daemon waits
            self.assertEqual(self.list()[0].state, instances_pb2.STATE_RUNNING)
            process.stdin.close()
            self.assertEqual(process.wait(20), 0)
        wait_for(lambda: self.list()[0].state == instances_pb2.STATE_ENDED, "the end of its client")


class Elsewhere(ApiCase):
    def test_other_mounts(self):
        """The daemon says that it sees other files."""
        private = os.path.join(self.dir, "private")
        os.mkdir(private)
        program = (
            f"import asyncio, pwemu\nemu = pwemu.Emulator({private!r} + '/wd')\nemu.start({BOARD!r}, 'echo.elf')\n"
            "print(emu.send('x\\r', expect=r'got: (.*)\\r')[1].decode())\nemu.load('echo.elf')\nprint(emu.info().host)\nemu.stop()\n"
            f"async def run():\n  async with pwemu.AsyncEmulator({private!r} + '/wd2') as emu:\n"
            f"    await emu.start({BOARD!r}, 'echo.elf')\n    print(await emu.state())\n    await emu.stop()\nasyncio.run(run())"
        )
        script = f'mount -t tmpfs none {private} && cp {ECHO} {private}/echo.elf && cd {private} && exec {PYTHON} -c "$0"'
        done = subprocess.run(
            ["unshare", "-m", "sh", "-c", script, program], env={**os.environ, "PYTHONPATH": PACKAGE}, capture_output=True, text=True, timeout=60, check=False
        )
        self.assertEqual(done.stdout.split(), ["x", os.uname().nodename, "running"], done.stderr)

    def test_ssh(self):
        script = self.write("ssh", f'#!/bin/sh\necho "$*" >> {self.dir}/calls\n[ "$2" != nowhere ] || exit 255\nfor last; do :; done\n'
                            f"PATH={BUILD}/bin:{PATH} PWEMU_HOST=unix:{self.daemon.socket} exec $last\n")  # fmt: skip
        os.chmod(script, 0o755)
        with mock.patch.dict(os.environ, {"PWEMU_SSH": script, "PWEMU_HOST": "ssh://me@box:22"}):
            emu = self.emulator()
            emu.start(BOARD, ECHO)
            self.assertEqual(emu.send("x\r", expect=ANSWER)[1], b"x")
            self.assertEqual(emu.run_gdb_cmds(["quit 7"], ECHO).returncode, 7)
            emu.stop()
            with open(os.path.join(self.dir, "calls"), encoding="ascii") as file:
                self.assertIn("-T -p 22 me@box pwemu proxy\n", file.read())
            os.environ["PWEMU_HOST"] = "ssh://nowhere"
            with self.assertRaisesRegex(pwemu.Error, "ssh has ended"):
                self.emulator().start(BOARD, ECHO)
            os.environ["PWEMU_HOST"] = "ssh://-oProxyCommand=x"
            with self.assertRaisesRegex(pwemu.Error, "write ssh://"):
                self.emulator()


class Others(ApiCase):
    def test_queue(self):
        self.configure({"max-running": 1})
        first, second = self.emulator("first"), self.emulator("second")
        first.start(BOARD, ECHO)
        with self.assertRaises(TimeoutError):
            second.start(BOARD, ECHO, queue_timeout=0.2)
        with mock.patch("pwemu.calls.START_DEADLINE_S", 1.0):
            threading.Timer(1.5, first.stop).start()
            second.start(BOARD, ECHO)
        self.assertEqual(second.state, "running")

        async def wait():
            async with pwemu.AsyncEmulator(os.path.join(self.dir, "first")) as emu:
                with self.assertRaises(TimeoutError):
                    await emu.start(BOARD, ECHO, queue_timeout=0.2)

        asyncio.run(wait())
        second.stop()

    def test_lease_and_who(self):
        emu = self.emulator()
        emu.start(BOARD, ECHO, lease="ttl:1h")
        self.assertEqual(emu.info().lease.ttl_ms, 3600000)
        emu.renew_lease(7200)
        self.assertEqual(emu.info().lease.ttl_ms, 7200000)
        emu.remove_lease()
        with self.assertRaises(pwemu.Error) as caught:
            emu.renew_lease()
        self.assertEqual(caught.exception.reason, "no-lease")
        with emu.get_channel_stream("serial0"):
            self.assertIn(("serial0", "attach"), [(party.channel, party.kind) for party in emu.who()])
        with self.assertRaises(ValueError):
            self.emulator("b").start(BOARD, ECHO, lease="ever")
        emu.stop()


@unittest.skipUnless(os.geteuid() == 0, "optional: users: only root can be many users")
class Shared(ApiCase):
    def start_daemon(self, **options):
        config = self.write("pwemud.json", "{}")
        return super().start_daemon(arguments=["--system", "--run-dir", os.path.join(self.dir, "run"), "--config", config], **options)

    def test_share(self):
        emu = self.emulator()
        emu.start(BOARD, ECHO)
        emu.share("nobody", "view")
        self.assertEqual([(share.name, share.right) for share in emu.info().shares], [("nobody", "view")])
        emu.unshare()
        self.assertEqual(list(emu.info().shares), [])
        with self.assertRaises(pwemu.Error) as caught:
            emu.share("no.such.user", "view")
        self.assertEqual(caught.exception.reason, "no-user")
        self.assertIn("share", [event.kind for event in emu.events()])
        emu.stop()


if __name__ == "__main__":
    unittest.main()
