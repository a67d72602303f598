# SPDX-License-Identifier: Apache-2.0
"""`pwemu proxy`, and -H ssh:// through a script in ssh's place and through a real sshd on the loopback."""

import getpass
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from pwemu_cli import PWEMU, CliCase
from pwemu_fixture import BUILD, CALL_DEADLINE, PATH, firmware, is_alive, wait_for

BOARD = "qemu-lm3s6965evb"
SSHD = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:" + PATH)

# What sshd does: a shell with an environment of its own, with pipes, and another home than the client's. $1 is the host in the end.
FAKE_SSH = """#!/bin/sh
echo "$*" >> {dir}/ssh.calls
while [ "${{1#-}}" != "$1" ]; do [ "$1" = -p ] && shift; shift; done
[ "$1" != nobody@nowhere ] || {{ echo "ssh: connect to host nowhere: No route to host" >&2; exit 255; }}
shift
exec env -i PATH={path} HOME={home} XDG_RUNTIME_DIR={home}/run XDG_STATE_HOME={home}/state PWEMU_TEST_DIR={dir} {san} sh -c "$*"
"""


class Ssh(CliCase):
    """The other machine is another home here, with other mounts."""

    def setUp(self):
        super().setUp()
        self.home = os.path.join(self.dir, "other")
        for name in ("", "run", "state"):
            os.mkdir(os.path.join(self.home, name), 0o700)
        script = os.path.join(self.dir, "ssh")
        san = " ".join(f"{name}={value}" for name, value in self.environment.items() if name.endswith("SAN_OPTIONS"))
        with open(script, "w", encoding="ascii") as file:
            file.write(FAKE_SSH.format(dir=self.dir, home=self.home, path=f"{BUILD}/bin:{PATH}", san=san))
        os.chmod(script, 0o755)
        self.environment["PWEMU_SSH"] = f"unshare -m {script}"
        self.environment["PWEMU_HOST"] = "ssh://me@box:22"
        self.addCleanup(self.stop_there)

    def stop_there(self):
        self.run_any("-q", "daemon", "stop", "--with-instances")
        del self.environment["PWEMU_HOST"]  # for the common clean-up

    def calls(self):
        with open(f"{self.dir}/ssh.calls", encoding="ascii") as file:
            return file.read().splitlines()

    def test_run(self):
        self.assertIn("exit on lm3s6965evb", self.pwemu("run", BOARD, firmware("exit.elf"), "--semihosting", code=42))
        self.assertEqual(self.calls(), ["-T -p 22 me@box pwemu proxy"])
        self.assertEqual(os.listdir(os.path.join(self.environment["XDG_STATE_HOME"])), [], "nothing runs here")
        self.assertTrue(os.path.exists(os.path.join(self.home, "state/pwemu/daemon.lock")))

    def test_every_day(self):
        self.pwemu("start", BOARD, "-f", firmware("echo.elf"), "-C", self.work)
        self.assertEqual(os.listdir(self.work), [])
        self.pwemu("send", "-C", self.work, "-l", "ping", "--expect", "ping")
        self.assertIn("ready> ", self.logs("-C", self.work).decode())
        self.pwemu("wait", "-C", self.work, "--expect", "ping", "--timeout", "30s")
        self.assertIn("running", self.pwemu("status", "-C", self.work))
        self.pwemu("load", "-C", self.work, firmware("hello.elf"))
        self.pwemu("wait", "-C", self.work, "--expect", "hello", "--timeout", "30s")
        self.pwemu("events", "-o", "json")
        self.pwemu("daemon", "restart")
        self.pwemu("stop", "-C", self.work)
        self.refused("daemon", "logs", says="on the daemon's machine")

    def test_gdb(self):
        self.pwemu("start", BOARD, "-f", firmware("echo.elf"))
        out = self.pwemu("gdb-cmds", "-e", firmware("echo.elf"), "info registers pc", "print main", timeout=CALL_DEADLINE)
        self.assertRegex(out, r"pc +0x")
        self.environment["PWEMU_HOST"] += f"?pwemu={PWEMU}"
        out = self.pwemu("gdb", "--", "-batch", "-ex", "info registers pc", firmware("echo.elf"), timeout=CALL_DEADLINE)
        self.assertRegex(out, r"pc +0x")

    def test_term(self):
        """The terminal itself stays here."""
        self.pwemu("start", BOARD, "-f", firmware("echo.elf"))
        process = self.popen("term", "--from", "0", stdin=subprocess.PIPE)
        process.stdin.write(b"hello there\r")
        process.stdin.flush()
        seen = b""
        while b"hello there" not in seen:
            data = process.stdout.read1(4096)
            self.assertTrue(data, process.stderr.read() if not data else "")
            seen += data
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(CALL_DEADLINE), 128 + signal.SIGTERM)

    def test_ctrl_c(self):
        """A signal of the terminal reaches us and ssh; the run still ends in good order."""
        process = self.popen("run", BOARD, firmware("echo.elf"), start_new_session=True)
        self.assertTrue(process.stdout.read1(4096))
        os.killpg(process.pid, signal.SIGINT)
        self.assertEqual(process.wait(CALL_DEADLINE), 128 + signal.SIGINT)
        err = process.stderr.read().decode()
        self.assertIn("interrupted", err)
        self.assertNotIn("lost", err)
        self.assertEqual(json.loads(self.pwemu("ls", "-o", "json")), [])

    def test_what_goes_wrong(self):
        self.environment["PWEMU_HOST"] = "ssh://nobody@nowhere"
        err = self.run_any("ls").err
        self.assertIn("No route to host", err)
        self.assertIn("pwemu: ssh://nobody@nowhere: ssh has ended, see above", err)
        self.assertEqual(len(self.calls()), 1, "it is not asked again")
        self.environment["PWEMU_HOST"] = "ssh://box?pwemu=/no/such/pwemu"
        self.assertIn("name it: ssh://box?pwemu=", self.run_any("ls").err)
        self.environment["PWEMU_HOST"] = "ssh://box?pwemu=false"
        self.assertIn("ended with 1", self.run_any("ls").err)
        self.environment["PWEMU_SSH"] = "/no/such/ssh"
        self.refused("ls", says='execute "/no/such/ssh": No such file')
        for host in ("ssh://", "ssh://-oProxyCommand=x", "ssh://a b", "ssh://box:port", "ssh://box;ls", "ssh://me@-x", "ssh://box?x=y"):
            self.environment["PWEMU_HOST"] = host
            self.refused("ls", says="write ssh://")
        self.environment["PWEMU_HOST"] = "ssh://me@box"

    def test_ssh_dies(self):
        """... under a run: it goes on through the next one."""
        self.environment["PWEMU_RECONNECT"] = "20s"
        process = self.popen("run", BOARD, firmware("echo.elf"), stdin=subprocess.PIPE)
        self.assertTrue(process.stdout.read1(4096))
        proxies = [int(pid) for pid in os.listdir("/proc") if pid.isdigit() and self.is_our_proxy(pid)]
        self.assertEqual(len(proxies), 1)
        os.kill(proxies[0], signal.SIGKILL)
        said = b""
        while b"connected to ssh://me@box:22 again" not in said:  # what is typed before may be lost
            line = process.stderr.readline()
            self.assertTrue(line, said)
            said += line
        self.assertIn(b"was lost", said)
        process.stdin.write(b"still here\r")
        process.stdin.flush()
        seen = b""
        while b"still here" not in seen:
            data = process.stdout.read1(4096)
            self.assertTrue(data, process.stderr.read() if not data else "")
            seen += data
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(CALL_DEADLINE), 128 + signal.SIGINT)

    def is_our_proxy(self, pid):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                command = file.read()
            with open(f"/proc/{pid}/environ", "rb") as file:
                return command.endswith(b"pwemu\0proxy\0") and self.dir.encode() in file.read() and is_alive(pid)
        except OSError:
            return False


class Proxy(CliCase):
    """The command by itself."""

    def echo_server(self):
        path = os.path.join(self.dir, "echo.sock")
        server = socket.socket(socket.AF_UNIX)
        server.bind(path)
        server.listen()
        self.addCleanup(server.close)
        return path, server

    def test_every_byte_and_half_close(self):
        path, server = self.echo_server()
        data = bytes(range(256)) * 4096 * 3
        process = self.popen("-H", path, "proxy", stdin=subprocess.PIPE)
        peer, _ = server.accept()
        peer.settimeout(CALL_DEADLINE)
        writer = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=process.stdin)
        self.processes.append(writer)
        process.stdin.close()
        sender = threading.Thread(target=lambda: (writer.stdin.write(data), writer.stdin.close()))
        sender.start()
        got = b""
        while True:
            more = peer.recv(65536)
            if not more:
                break  # the half-close has come through
            got += more
        self.assertEqual(got, data)
        sender.join()
        back = threading.Thread(target=lambda: (peer.sendall(data[::-1]), peer.close()))
        back.start()
        self.assertEqual(process.stdout.read(), data[::-1], "the other direction goes on")
        back.join()
        self.assertEqual(process.wait(CALL_DEADLINE), 0)

    def test_reader_leaves(self):
        path, server = self.echo_server()
        process = self.popen("-H", path, "proxy", stdin=subprocess.PIPE)
        peer, _ = server.accept()
        process.stdout.close()
        self.assertEqual(process.wait(CALL_DEADLINE), 0)
        self.assertEqual(peer.recv(1), b"")
        peer.close()

    def test_starts_the_daemon(self):
        process = self.popen("proxy", stdin=subprocess.PIPE)
        self.assertTrue(process.stdout.read1(9))  # its SETTINGS come only after ours
        process.stdin.close()
        process.wait(CALL_DEADLINE)

    def test_no_daemon(self):
        self.refused("-H", f"unix:{self.dir}/none.sock", "proxy", says="no daemon answers at")


class RealSsh(CliCase):
    """sshd as one who has no root would run it: another port, its own keys."""

    def setUp(self):
        super().setUp()
        self.assertIsNotNone(SSHD, "sshd is needed: apt-get install openssh-server")
        for name in ("host", "user"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f"{self.dir}/{name}"], check=True, stdin=subprocess.DEVNULL)
        shutil.copy(f"{self.dir}/user.pub", f"{self.dir}/authorized")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        forced = " ".join(f"{name}={value}" for name, value in self.environment.items() if name not in ("PATH",))
        with open(f"{self.dir}/sshd_config", "w", encoding="ascii") as file:
            file.write(f"ListenAddress 127.0.0.1\nPort {self.port}\nHostKey {self.dir}/host\nAuthorizedKeysFile {self.dir}/authorized\n"
                       f"StrictModes no\nUsePAM no\nPasswordAuthentication no\nPidFile none\nPermitRootLogin yes\nSetEnv {forced}\n")
        os.makedirs("/run/sshd", exist_ok=True)  # Debian's privilege separation wants it
        self.sshd = subprocess.Popen([SSHD, "-D", "-e", "-f", f"{self.dir}/sshd_config"], stderr=subprocess.PIPE, env=self.environment)
        self.processes.append(self.sshd)
        wait_for(self.listens, "sshd")
        options = f"-i {self.dir}/user -o UserKnownHostsFile={self.dir}/known -o StrictHostKeyChecking=no -o LogLevel=ERROR -F none"
        self.environment["PWEMU_SSH"] = "ssh " + options
        self.environment["PWEMU_HOST"] = f"ssh://{getpass.getuser()}@127.0.0.1:{self.port}?pwemu={PWEMU}"
        self.addCleanup(self.environment.pop, "PWEMU_HOST")

    def listens(self):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def test_it(self):
        self.pwemu("start", BOARD, "-f", firmware("echo.elf"))
        self.assertIn(", on ", self.pwemu("status"))
        self.pwemu("send", "-l", "ping", "--expect", "ping")
        self.assertRegex(self.pwemu("gdb-cmds", "-e", firmware("echo.elf"), "info registers pc"), r"pc +0x")
        self.assertIn("exit on", self.pwemu("run", BOARD, firmware("exit.elf"), "--semihosting", code=42))
        begin = time.monotonic()
        self.pwemu("daemon", "stop", "--with-instances")
        self.assertLess(time.monotonic() - begin, 15)
        os.unlink(f"{self.dir}/authorized")
        err = self.run_any("ls").err
        self.assertIn("Permission denied", err)
        self.assertIn("ssh has ended, see above", err)


if __name__ == "__main__":
    unittest.main()
