# SPDX-License-Identifier: Apache-2.0
"""A stopped QEMU with its serial ports, QMP and gdb stub on sockets that only we know. It dies with us, even under SIGKILL."""
import contextlib
import ctypes
import json
import os
import queue
import signal
import socket
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor

PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None, use_errno=True)
# The signal comes when the *thread* that forked ends: this one lives as long as we do.
SPAWNER = ThreadPoolExecutor(1, thread_name_prefix="spawner")


class Gone(Exception):
    """QEMU has ended."""


def die_with(parent):
    def prepare():
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
    return prepare


class Qemu:
    def __init__(self, program, arguments, ports):
        self.uarts, theirs = [], []
        self.is_unwanted = False  # it is killed by us
        options = [program, *arguments, "-S", "-nodefaults", "-display", "none", "-monitor", "none", "-action",
                   "reboot=shutdown,shutdown=pause"]
        for number in range(ports):
            mine, other = socket.socketpair()
            self.uarts.append(mine)
            theirs.append(other)
            options += ["-chardev", f"socket,id=serial{number},fd={other.fileno()}", "-serial", f"chardev:serial{number}"]
        self.qmp, other = socket.socketpair()
        theirs.append(other)
        options += ["-chardev", f"socket,id=qmp,fd={other.fileno()}", "-mon", "chardev=qmp,mode=control"]
        listener = socket.socket(socket.AF_UNIX)
        listener.bind("")  # a name of the kernel's choice that is in no directory
        listener.listen(1)
        self.gdb_address = listener.getsockname()
        theirs.append(listener)
        options += ["-chardev", f"socket,id=gdb,fd={listener.fileno()},server=on,wait=off", "-gdb", "chardev:gdb"]
        self.process = SPAWNER.submit(self.spawn, options, [end.fileno() for end in theirs]).result()
        for end in theirs:
            end.close()
        self.answers = queue.Queue()
        self.events = queue.Queue()
        self.reset_done = threading.Event()
        threading.Thread(target=self.read, daemon=True, name="qmp").start()
        self.ask("qmp_capabilities")

    @staticmethod
    def spawn(options, fds):
        return subprocess.Popen(options, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                pass_fds=fds, preexec_fn=die_with(os.getpid()))

    def read(self):
        """Never takes a lock: whoever waits for an answer may hold any."""
        with contextlib.suppress(OSError), self.qmp.makefile(encoding="utf-8") as lines:
            for line in lines:
                message = json.loads(line)
                if "event" in message:
                    self.on_event(message)
                elif "QMP" not in message:
                    self.answers.put(message)
        self.answers.put(None)
        self.events.put("gone")

    def on_event(self, message):
        if message["event"] == "RESET":
            self.reset_done.set()
        elif message["event"] == "SHUTDOWN" and message["data"].get("reason") == "guest-reset":
            self.events.put("guest-reset")

    def ask(self, command, **arguments):
        """As long as a full serial port freezes QEMU, this waits."""
        try:
            self.qmp.sendall(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
        except OSError:
            raise Gone from None
        answer = self.answers.get()
        if answer is None:
            self.answers.put(None)
            raise Gone
        if "error" in answer:
            raise RuntimeError(f"{command}: {answer['error']['desc']}")
        return answer["return"]

    def hmp(self, line):
        return self.ask("human-monitor-command", **{"command-line": line})

    def reset(self):
        self.reset_done.clear()
        self.ask("set-action", reboot="reset")
        self.ask("system_reset")
        self.reset_done.wait(10)
        self.ask("set-action", reboot="shutdown")  # the guest's own: we have a macro to run before it goes on

    def is_running(self):
        return self.ask("query-status")["running"]

    def kill(self):
        self.is_unwanted = True
        self.process.kill()
        self.process.wait()
