# SPDX-License-Identifier: Apache-2.0
"""Output: every byte from the first one on, for everybody who wants it, whenever they come."""

import os
import re
import signal

from cases import PROMPT, DriverCase, wait_for
from pwemu_fixture import sequence

LINE = 9


class Output(DriverCase):
    def test_from_the_first_byte(self):
        """Followed from before the first one, and after; the file is the stream, its end too."""
        self.boot("seq.elf", "--pause")
        clients = [self.client("-q", "logs", "-f"), self.client("-q", "term", "--read-only", "--from", "0")]
        wait_for(lambda: self.channel()["readers"] >= 2, "both to be attached")
        self.pwemu("resume")
        self.wait_output(self.board.output)
        clients.append(self.client("-q", "logs", "-f", "--from", "0"))
        clients.append(self.client("-q", "pipe", self.board.console, "--read-only", "--from", "0"))
        for client in clients:
            self.wait_client(client, self.board.output)
        self.on("default", "stop")
        size = self.offset()
        for client in clients:
            client.finish()
            self.assertIsNone(client.sequence.problem, client.name)
            self.assertEqual(client.sequence.offset, size, client.name)
        with open(self.channel()["log"], "rb") as file:
            self.assertEqual(file.read(), sequence(0, size))
        self.assertEqual(self.out(), sequence(0, size))

    def test_readers_at_offsets(self):
        self.boot("seq.elf")
        self.wait_output(self.board.output)
        for offset in (1, 9000, self.board.output - 5):
            self.wait_client(self.client("-q", "logs", "-f", "--from", str(offset), offset=offset), offset + self.board.output)
        now = self.offset()
        process = self.popen("-q", "logs", "-f", "--from", "now")
        text = b""
        while not (line := re.search(rb"\n([0-9a-f]{8})\n", text)):
            text += os.read(process.stdout.fileno(), 100)
        self.assertGreaterEqual(int(line[1], 16) * LINE, now, "it begins at now")

    def test_positions(self):
        self.boot("seq.elf")
        self.wait_output(20000)
        self.on("default", "stop")
        size = self.offset()
        self.assertEqual(self.out("--from", "12345"), sequence(12345, size - 12345))
        self.assertEqual(self.out("--from", "-100"), sequence(size - 100, 100))
        self.assertEqual(self.out("--from", "-4K"), sequence(size - 4096, 4096))
        self.assertEqual(self.out("--from", "now"), b"")
        self.assertEqual(self.out("--from", "boot"), sequence(0, size))
        self.assertEqual(self.run_any("-q", "logs", "--from", str(size + 1)).returncode, 1)
        lines = self.out("--lines", "3").splitlines()
        self.assertIn(len(lines), (3, 4))
        times = self.run_any("-q", "logs", "-t=boot").out.splitlines()
        self.assertEqual(len(times), -(-size // LINE))

    def test_wait_from(self):
        """What was printed already counts, or does not, as --from says."""
        self.boot_echo()
        self.assert_echoes("one")
        wait_for(lambda: self.out().endswith(b"\nready> "), "the next prompt")
        offset = str(self.offset())
        self.see("got: one")
        self.see("got: one", "--from", "boot")
        self.pwemu("wait", "--expect", "got: one", "--from", offset, "--timeout", "300ms", code=124)
        self.assertEqual(self.pwemu("-q", "send", "-l", "two").strip(), offset)
        self.see("got: two", "--from", offset)
        self.pwemu("wait", "--expect", "never", "--fail", "got: two", "--timeout", "60s", code=1)

    def test_boots(self):
        """Offsets go on over restarts; each boot's output is known."""
        self.boot("hello.elf")
        self.see("hello from")
        hello = self.out()
        self.on("default", "stop")
        self.boot_echo()
        self.on("default", "restart")
        self.wait_count(PROMPT, 2)
        self.assertEqual(self.out(), hello + PROMPT + PROMPT)
        for boot, text in (("1", hello), ("2", PROMPT), ("3", PROMPT), ("0", PROMPT), ("-1", PROMPT)):
            self.assertEqual(self.out("--boot", boot), text, boot)
        self.assertEqual(self.out("--from", "boot"), PROMPT)
        self.assertEqual(self.run_any("-q", "logs", "--boot", "4").returncode, 1)

    def test_reader_that_does_not_read(self):
        """It costs nobody anything: neither the guest, nor others, nor itself."""
        self.boot("seq.elf")
        stuck = self.client("-q", "logs", "-f")
        wait_for(lambda: stuck.sequence.offset > 0, "its first bytes")
        stuck.process.send_signal(signal.SIGSTOP)
        at = stuck.sequence.offset
        other = self.client("-q", "term", "--read-only", "--from", "0")
        self.wait_client(other, at + 2 * self.board.output)
        stuck.process.send_signal(signal.SIGCONT)
        self.wait_client(stuck, at + 2 * self.board.output)

    def test_nobody_reads(self):
        """Nor does it need anybody."""
        self.boot("seq.elf")
        self.wait_output(3 * self.board.output)
        self.on("default", "stop")
        size = self.offset()
        self.assertEqual(self.out(), sequence(0, size))

    def test_consoles(self):
        self.boot("uarts.elf")
        for name, text in self.board.consoles:
            self.see(text.decode().strip(), "-n", name)
            self.assertEqual(self.out(name), text)

    def test_emulators_own_words(self):
        self.boot("hello.elf")
        self.assertEqual(self.run_any("-q", "logs", "emulator").returncode, 0)
        self.refused("logs", "nothing", says=self.board.console)
        self.refused("logs", "gdb", says="pwemu pipe gdb")
        self.assertTrue(os.path.exists(self.channel("emulator")["log"]))
