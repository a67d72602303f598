# SPDX-License-Identifier: Apache-2.0
"""What seq.elf prints, checked as it comes, at clients that live on over whatever happens."""

import os
import subprocess
import threading

from pwemu_fixture import LINE, PWEMU

PATIENCE_S = 60
BLOCK_LINES = 1 << 16  # the upper four digits are the same in a block
HOLE = b"\xff\xff\xff\xff"
TEMPLATE = b"".join(HOLE + b"%04x\n" % n for n in range(BLOCK_LINES))


class Sequence:
    """What must come: 00000000, 00000001, … one a line. take() says where it is wrong."""

    def __init__(self, offset=0):
        self.offset = offset
        self.number = None
        self.block = b""
        self.problem = None

    def take(self, data):
        while data and self.problem is None:
            number, at = divmod(self.offset, BLOCK_LINES * LINE)
            if number != self.number:
                self.number, self.block = number, TEMPLATE.replace(HOLE, b"%04x" % number)
            expected = self.block[at : at + len(data)]
            if data[: len(expected)] != expected:
                self.problem = f"wrong in the {len(data)} bytes from offset {self.offset}: {first_difference(data, expected)}"
                return
            self.offset += len(expected)
            data = data[len(expected) :]


def first_difference(data, expected):
    at = next(n for n, pair in enumerate(zip(data, expected)) if pair[0] != pair[1])
    return f"at {at} {data[at : at + 40]!r} instead of {expected[at : at + 40]!r}"


class Client(threading.Thread):
    """A command whose stdout is checked as it comes."""

    def __init__(self, case, *words, offset=0):
        super().__init__(daemon=True)
        self.name = " ".join(words)
        self.sequence = Sequence(offset)
        self.errors = open(os.path.join(case.dir, "stderr-" + "-".join(words).replace("/", "_")), "w+b")
        self.process = subprocess.Popen([PWEMU, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, env=case.environment,
                                        cwd=getattr(case, "work", None))
        self.start()

    def run(self):
        while data := os.read(self.process.stdout.fileno(), 1 << 18):
            self.sequence.take(data)

    def words(self):
        self.errors.seek(0)
        lines = [line for line in self.errors.read().decode(errors="replace").splitlines() if "going on with the next one" not in line]
        return "\n".join(lines[-10:])

    def finish(self):
        self.process.wait(PATIENCE_S)
        self.join(PATIENCE_S)

    def close(self):
        self.process.kill()
        self.process.wait()
        self.join(PATIENCE_S)
        for stream in (self.process.stdin, self.process.stdout, self.errors):
            stream.close()
