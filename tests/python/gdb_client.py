# SPDX-License-Identifier: Apache-2.0
"""Debuggers for tests: gdb as an IDE runs it, one by hand, and where a breakpoint is hit again and again."""

import os
import re
import socket
import subprocess
import threading

from pwemu_fixture import PATH, ROOT

GDB = "gdb-multiarch"


def hot_line():
    """Where seq.elf is again and again; the functions around it are inlined."""
    with open(os.path.join(ROOT, "tests/firmware/board.h"), encoding="ascii") as file:
        return next(number for number, line in enumerate(file, 1) if "value >> shift & 15" in line)



HOT = f"board.h:{hot_line()}"


def packet(text):
    data = text if isinstance(text, bytes) else text.encode()
    return b"$%s#%02x" % (data, sum(data) & 255)


class Stub:
    """A debugger by hand."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.settimeout(30)
        self.buffer = b""

    def send(self, text):
        self.socket.sendall(packet(text))

    def receive(self):
        while True:
            match = re.search(rb"\$([^#]*)#..", self.buffer)
            if match:
                self.buffer = self.buffer[match.end() :]
                self.socket.sendall(b"+")
                return match.group(1).decode()
            data = self.socket.recv(4096)
            if not data:
                raise EOFError
            self.buffer += data

    def ask(self, text):
        self.send(text)
        return self.receive()

    def monitor(self, command):
        self.send("qRcmd," + command.encode().hex())
        text = ""
        while True:
            reply = self.receive()
            if reply == "OK" or reply.startswith("E"):
                return text + ("" if reply == "OK" else reply)
            text += bytes.fromhex(reply[1:]).decode()

    def close(self):
        self.socket.close()


class Mi:
    """gdb as an IDE runs it."""

    def __init__(self, case, image=None, environment=None):
        self.lines = []
        self.taken = 0
        self.condition = threading.Condition()
        command = [GDB, "-nx", "-q", "--interpreter=mi2"] + ([image] if image else [])
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env=environment or dict(os.environ, HOME=case.dir, PATH=PATH),
        )
        case.addCleanup(self.end)
        self.thread = threading.Thread(target=self._collect, daemon=True)
        self.thread.start()
        self.number = 0
        self.run("-gdb-set mi-async on")

    def _collect(self):
        for line in self.process.stdout:
            with self.condition:
                self.lines.append(line.decode(errors="replace").rstrip())
                self.condition.notify_all()
        with self.condition:
            self.lines.append("(end)")
            self.condition.notify_all()

    def wait_line(self, pattern, since=0, deadline=30):
        def find():
            return next((line for line in self.lines[since:] if re.search(pattern, line)), None)

        with self.condition:
            if not self.condition.wait_for(find, deadline):
                raise AssertionError(f"no {pattern} in {self.lines[-40:]}")
            return find()

    def run(self, command, wanted="done|running|connected"):
        self.number += 1
        since = len(self.lines)
        self.process.stdin.write(f"{self.number}{command}\n".encode())
        self.process.stdin.flush()
        line = self.wait_line(rf"^{self.number}\^", since)
        if wanted and not re.search(rf"\^({wanted})", line):
            raise AssertionError(f"{command}: {line}; {self.lines[-20:]}")
        self.since = since
        return line

    def number_of(self, expression):
        line = self.run(f'-data-evaluate-expression "(unsigned)({expression})"')
        return int(re.search(r'value="(\d+)"', line).group(1))

    def console(self, command, **options):
        return self.run(f'-interpreter-exec console "{command}"', **options)

    def stopped(self, pattern=""):
        """Since the last command."""
        return self.wait_line(r"^\*stopped.*" + pattern, self.since)

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.thread.join(10)
        self.process.stdin.close()
        self.process.stdout.close()

    def exit(self):
        self.process.stdin.write(b"-gdb-exit\n")
        self.process.stdin.flush()
        self.process.wait(30)


def children(pid):
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat", "rb") as file:
                    parent = int(file.read().rsplit(b")", 1)[1].split()[1])
                with open(f"/proc/{entry}/cmdline", "rb") as file:
                    text = file.read()
            except OSError:
                continue
            if parent == pid:
                found.append((int(entry), text))
                found += children(int(entry))
    return found


def children_text(pid):
    return b" ".join(text for _, text in children(pid))
