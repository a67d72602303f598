# SPDX-License-Identifier: Apache-2.0
"""pwemu send: every byte once, in order, whole, at the guest's pace, and what its offset and patterns mean."""

import os
import random
import re
import signal
import sys
import threading
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from pwemu_cli import CliCase  # noqa: E402
from pwemu_fixture import BOARD, firmware, wait_for  # noqa: E402

PROMPT = b"ready> "
PACE = 4096  # bytes ahead of what the emulator has taken


def letters(count, seed):
    return bytes(random.Random(seed).choices(b"abcdefghijklmnopqrstuvwxyz0123456789", k=count))


class Send(CliCase):
    def start(self, program, *words):
        self.pwemu("-q", "start", BOARD, "-f", firmware(program), *words)
        if program in ("echo.elf", "gulp.elf"):
            self.pwemu("wait", "--expect", "ready>", "--timeout", "30s")

    def wait_log(self, length, *words):
        wait_for(lambda: len(self.logs(*words)) >= length, f"{length} bytes of log")
        return self.logs(*words)

    # ---------------------------------------------------------------- bytes

    def test_a_big_text_through_a_slow_guest(self):
        self.start("gulp.elf")
        text = letters(100 << 10, 1)
        offset = self.pwemu("send", "-", stdin=text)
        self.assertEqual(offset, f"{len(PROMPT)}\n")
        # It was paced: when the last byte was handed over, all but the last 4 KiB had been read.
        self.assertGreaterEqual(len(self.logs()), len(text) - PACE - 64)
        self.assertEqual(self.wait_log(len(PROMPT) + len(text)), PROMPT + text)

    def test_all_bytes(self):
        self.start("gulp.elf")
        text = bytes(range(256)) * 4
        self.pwemu("send", "-", stdin=text)
        self.assertEqual(self.wait_log(len(PROMPT) + len(text)), PROMPT + text)

    def test_an_argument_is_not_interpreted(self):
        self.start("gulp.elf")
        self.pwemu("send", r"a\n$x\r")
        self.pwemu("send", "--", "-n\xe4 ")
        expected = PROMPT + rb"a\n$x\r" + "-n\xe4 ".encode()
        self.assertEqual(self.wait_log(len(expected)), expected)

    def test_line_appends_the_eol(self):
        self.start("gulp.elf")
        self.pwemu("send", "-l", "cr")
        self.pwemu("send", "--line", "-", stdin=b"of stdin")
        self.pwemu("send", "-l", "")
        self.pwemu("send", "")
        expected = PROMPT + b"cr\rof stdin\r\r"
        self.assertEqual(self.wait_log(len(expected)), expected)

    def test_stdin_is_streamed(self):
        self.start("gulp.elf")
        process = self.popen("send", "-", stdin=-1)
        self.assertEqual(process.stdout.readline(), b"7\n")
        for n in range(3):
            process.stdin.write(b"part%d" % n)
            process.stdin.flush()
            self.wait_log(len(PROMPT) + 5 * (n + 1))
        self.assertIsNone(process.poll())
        process.stdin.close()
        self.assertEqual(process.wait(30), 0)
        self.assertEqual(self.logs(), PROMPT + b"part0part1part2")

    # ---------------------------------------------------------------- others that type

    def test_texts_are_whole(self):
        """Two that send texts again and again, and a term whose keys come all the time."""
        self.start("gulp.elf")
        term = self.popen("term", stdin=-1)
        self.assertEqual(term.stdout.read(len(PROMPT)), PROMPT)
        is_over = threading.Event()

        def type_keys():
            while not is_over.wait(0.001):
                term.stdin.write(b"!")
                term.stdin.flush()

        def drain():
            while term.stdout.read1(65536):
                pass

        texts = {mark: [b"<" + mark + b"%03d" % n + mark * 6000 + b">" for n in range(6)] for mark in (b"A", b"B")}

        def send(mark):
            codes.extend(self.run_any("send", "-", stdin=text).returncode for text in texts[mark])

        codes = []
        typist = threading.Thread(target=type_keys)
        senders = [threading.Thread(target=send, args=(mark,)) for mark in texts]
        for thread in [typist, threading.Thread(target=drain, daemon=True), *senders]:
            thread.start()
        for thread in senders:
            thread.join()
        is_over.set()
        typist.join()
        self.assertEqual(codes, [0] * 12)
        self.assertTrue(self.status()["channels"][0]["has_writer"], "the term keeps its role")
        wait_for(lambda: self.logs().count(b">") == 13, "all texts")
        log = self.logs()[len(PROMPT) :]
        found = re.findall(rb"<[^>]*>", log)
        self.assertEqual(sorted(found), sorted(texts[b"A"] + texts[b"B"]))
        for mark in texts:
            self.assertEqual([text for text in found if text[1:2] == mark], texts[mark], "in order")
        keys = re.sub(rb"<[^>]*>", b"", log)
        self.assertEqual(keys.strip(b"!"), b"")
        self.assertGreater(len(keys), 0)

    def test_beside_a_term_that_keeps_its_role(self):
        self.start("echo.elf")
        term = self.popen("term", stdin=-1)
        term.stdout.read(len(PROMPT))
        self.pwemu("send", "-l", "beside", "--expect", "got: beside", "--timeout", "30s")
        term.stdin.write(b"mine\r")
        term.stdin.flush()
        self.pwemu("wait", "--expect", "got: mine", "--timeout", "30s")

    # ---------------------------------------------------------------- offsets and patterns

    def test_the_offset_is_where_wait_begins(self):
        self.start("echo.elf")
        first = self.pwemu("send", "-l", "one", "--expect", "got: one", "--timeout", "30s").strip()
        wait_for(lambda: self.logs().endswith(b"\nready> "), "the next prompt")
        second = self.pwemu("send", "-l", "two").strip()
        self.assertEqual(int(first), len(PROMPT))
        self.pwemu("wait", "--from", second, "--expect", "got: two", "--timeout", "30s")
        self.pwemu("wait", "--from", second, "--expect", "got: one", "--timeout", "300ms", code=124)
        self.pwemu("wait", "--from", first, "--expect", "got: one", "--timeout", "30s")
        self.assertEqual(self.logs("--from", second).split(b"\r\n")[:2], [b"two", b"got: two"])

    def test_expect_is_of_what_comes_after(self):
        self.start("echo.elf")
        self.pwemu("send", "-l", "first", "--expect", "got: first", "--timeout", "30s")
        err = self.run_any("send", "-l", "second", "--expect", "got: first", "--timeout", "500ms")
        self.assertEqual(err.returncode, 124)
        self.assertIn("got: first", err.err)
        self.pwemu("send", "-l", "third", "--expect", "got: third", "--expect", "^third", "--timeout", "30s")

    def test_fail(self):
        self.start("echo.elf")
        self.pwemu("send", "-l", "bad luck", "--expect", "good", "--fail", "got: bad", "--timeout", "30s", code=1)
        self.assertIn("saw 'got: bad'", self.last_err)

    def test_only_fail_is_looked_for_until_the_end(self):
        self.start("echo.elf")
        process = self.popen("send", "-l", "x", "--fail", "never seen")
        self.pwemu("wait", "--expect", "got: x", "--timeout", "30s")
        self.pwemu("-q", "stop")
        self.assertEqual(process.wait(30), 0)

    def test_the_end_without_what_was_expected(self):
        self.start("echo.elf")
        process = self.popen("send", "-l", "x", "--expect", "never seen")
        self.pwemu("wait", "--expect", "got: x", "--timeout", "30s")
        self.pwemu("-q", "stop")
        self.assertEqual(process.wait(30), 1)
        self.assertIn(b"has ended without never seen", process.stderr.read())

    # ---------------------------------------------------------------- what takes no text

    def test_a_guest_that_does_not_read(self):
        self.start("silent.elf")
        self.pwemu("send", "a short text waits there")
        self.assertEqual(self.pwemu("send", "-", "--timeout", "1s", stdin=b"x" * 20000, code=124), "0\n")
        self.assertRegex(self.last_err, r"takes no input: 4\d+ (of \d+ )?bytes were taken in 1 s")

    def test_a_paused_guest(self):
        self.start("echo.elf")
        self.pwemu("pause")
        offset = self.pwemu("send", "-l", "while it is paused").strip()
        self.pwemu("resume")
        self.pwemu("wait", "--from", offset, "--expect", "got: while it is paused", "--timeout", "30s")

    def test_read_only(self):
        self.start("echo.elf")
        self.refused("send", "emulator", "x", says="default/emulator takes no text: channel \"emulator\" is read-only")
        self.refused("send", "-n", "emulator", "x", says="is read-only")
        self.refused("send", "nope", "x", says="serial0")

    def test_not_running(self):
        self.start("echo.elf")
        self.pwemu("-q", "stop")
        self.refused("send", "x", says="default is not running: ended")

    def test_usage(self):
        for words, says in ((("send",), "TEXT"), (("send", "a", "b", "c"), "'c'"), (("send", "-n", "a", "b", "c"), "not both"),
                            (("send", "x", "--expect", "("), "pattern '('"), (("send", "x", "--timeout", "soon"), "--timeout")):
            self.refused(*words, code=2, says=says)

    def test_other_channels(self):
        self.pwemu("-q", "start", BOARD, "-f", firmware("uarts.elf"), "--semihosting")
        self.pwemu("send", "semihosting", "x")
        self.pwemu("send", "serial1", "x")

    # ---------------------------------------------------------------- deaths

    def test_the_daemon_dies_in_the_middle(self):
        """At most once: what came is a beginning of the text, and what is said about it is true."""
        self.start("gulp.elf")
        text = letters(200 << 10, 2)
        process = self.popen("send", "-", stdin=-1)
        feeder = threading.Thread(target=self.feed, args=(process, text))
        feeder.start()
        wait_for(lambda: len(self.logs()) > 20000, "some of it")
        self.kill_daemon()
        self.assertEqual(process.wait(60), 1)
        feeder.join()
        said = process.stderr.read().decode()
        counts = re.search(r"the daemon has gone: (\d+)(?: of \d+)? bytes were taken, the next (\d+) are lost or were taken", said)
        self.assertIsNotNone(counts, said)
        taken, unknown = int(counts[1]), int(counts[2])
        self.assertTrue(0 < unknown <= PACE and taken > 20000 - PACE, said)
        log = self.wait_log(len(PROMPT) + taken)[len(PROMPT) :]
        wait_for(lambda: self.is_quiet(), "the guest to have read what lies there")
        log = self.logs()[len(PROMPT) :]
        self.assertEqual(log, text[: len(log)])
        self.assertTrue(taken <= len(log) <= taken + unknown, f"{taken} {unknown} {len(log)}")

    @staticmethod
    def feed(process, text):
        try:
            process.stdin.write(text)
            process.stdin.close()
        except BrokenPipeError:
            pass

    def is_quiet(self):
        before = self.logs()
        return self.run_any("wait", "--exit", "--timeout", "500ms").returncode == 124 and self.logs() == before

    def test_the_daemon_dies_while_output_is_waited_for(self):
        self.start("echo.elf")
        process = self.popen("send", "-l", "one", "--expect", "got: two")
        self.pwemu("wait", "--expect", "got: one", "--timeout", "30s")
        self.kill_daemon()
        self.pwemu("send", "-l", "two", "--timeout", "30s")
        self.assertEqual(process.wait(60), 0)

    def test_the_daemon_dies_while_stdin_is_waited_for(self):
        self.start("gulp.elf")
        process = self.popen("send", "-", stdin=-1)
        process.stdin.write(b"one")
        process.stdin.flush()
        self.wait_log(len(PROMPT) + 3)
        self.kill_daemon()
        self.assertRegex(process.stderr.readline(), b"going on with the next one|connecting again")
        process.stdin.write(b"two")
        process.stdin.close()
        self.assertEqual(process.wait(60), 0)
        self.assertEqual(self.wait_log(len(PROMPT) + 6), PROMPT + b"onetwo")

    def test_the_emulator_ends_in_the_middle(self):
        """A text is not continued in the next boot."""
        self.start("gulp.elf", "--restart", "always")
        process = self.popen("send", "-", stdin=-1)
        feeder = threading.Thread(target=self.feed, args=(process, letters(200 << 10, 3)))
        feeder.start()
        wait_for(lambda: len(self.logs()) > 20000, "some of it")
        os.kill(self.status()["pid"], signal.SIGKILL)
        self.assertEqual(process.wait(60), 1)
        feeder.join()
        self.assertRegex(process.stderr.read().decode(), r"takes no text: the emulator has ended: \d+ (of \d+ )?bytes were taken")
        wait_for(lambda: self.status()["boot"] == 2 and self.status()["state"] == "running", "the next boot")
        wait_for(lambda: self.run_any("logs", "--boot", "2").stdout == PROMPT, "its prompt alone")


if __name__ == "__main__":
    unittest.main()
