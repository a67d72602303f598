# SPDX-License-Identifier: Apache-2.0
"""A daemon of all users: what one user tries against another, or against the daemon, and does not get."""

import ctypes
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from pwemu_fixture import BOARD, BUILD, PWEMU, firmware, is_alive, processes_with, read_proc, wait_for  # noqa: E402
from users_fixture import ADMINS, GROUP, SystemCase, run  # noqa: E402


def status_of(pid):
    rows = (line.split(":", 1) for line in read_proc(pid, "status").decode().splitlines())
    return {key: value.split() for key, value in rows}


class Identity(SystemCase):
    def test_the_emulator_is_the_users(self):
        pid = self.start_as(self.alice)["pid"]
        uid = str(self.uids[self.alice])
        status = status_of(pid)
        self.assertEqual(status["Uid"], [uid] * 4)
        self.assertEqual(status["NoNewPrivs"], ["1"])
        self.assertEqual(status["CapEff"] + status["CapPrm"], ["0" * 16] * 2)
        groups = {str(group) for group in os.getgrouplist(self.alice, int(status["Gid"][0]))}
        self.assertEqual(set(status["Groups"]) | set(status["Gid"]), groups)

    def test_networks(self):
        """A user's emulators share one without a way out, two users' do not."""
        network = lambda user, name: os.readlink(f"/proc/{self.start_as(user, name=name)['pid']}/ns/net")  # noqa: E731
        alices, bobs = [network(self.alice, name) for name in ("a", "b")], [network(self.bob, name) for name in ("a", "b")]
        self.assertEqual(len({*alices, *bobs, os.readlink("/proc/self/ns/net")}), 3, (alices, bobs))

    def test_commands_and_files_are_the_users(self):
        """pre-start and post-start commands, handles.json, pid files, directories, PTYs."""
        project = {"targets": {"t": {"base": BOARD, "pre-start-cmds": {"before": ["sh", "-c", "id -u; id -Gn; exec sleep 1000"]},
                                     "qemu": {"channels": {"type": "pty", "chardevs": {"serial0": {"id": "serial0"}}}}}}}
        home = self.homes[self.alice]
        self.write_as(self.alice, "pwemu.json", json.dumps(project))
        self.cli(self.alice, "start", "-q", "t", "-f", firmware("echo.elf"), "-C", os.path.join(home, "wdir"))
        instance = json.loads(self.cli(self.alice, "ls", "-o", "json"))[0]
        log = wait_for(lambda: self.as_user(self.alice, ["cat", "wdir/before.log"]).split("\n")[1:2] and self.as_user(self.alice, ["cat", "wdir/before.log"]),
                       "the command's output")
        self.assertEqual(log.split("\n")[0], str(self.uids[self.alice]))
        self.assertIn(GROUP, log)
        for name in ("handles.json", "qemu.pid", "qemu.log", "before.pid"):
            self.assertEqual(os.lstat(os.path.join(home, "wdir", name)).st_uid, self.uids[self.alice], name)
        self.as_user(self.alice, ["cat", "wdir/qemu.log"])  # a log that is root's, and may be read
        self.as_user(self.bob, ["cat", os.path.realpath(os.path.join(home, "wdir/qemu.log"))], code=1)
        path = next(channel["path"] for channel in instance["channels"] if channel["name"] == "serial0")
        info = os.stat(path)
        self.assertEqual((info.st_uid, stat.S_IMODE(info.st_mode)), (self.uids[self.alice], 0o600))

    def write_as(self, user, name, text):
        path = os.path.join(self.homes[user], name)
        with open(path, "w", encoding="ascii") as file:
            file.write(text)
        os.chown(path, self.uids[user], -1)

    def test_no_environment_of_the_daemons(self):
        """A client that sends none gets a plain one, not root's."""
        calls = [["Instances", "Start", {"target_name": BOARD, "images": [{"path": firmware("echo.elf")}]}]]
        ((status, _, reply),) = self.ask(self.alice, calls)
        self.assertEqual(status, "OK", reply)
        rows = read_proc(reply["pid"], "environ").decode().split("\0")
        variables = dict(row.split("=", 1) for row in rows if row and not row.startswith("glibc."))  # it cuts GLIBC_TUNABLES up
        self.assertEqual(variables.pop("USER"), self.alice)
        self.assertLessEqual(set(variables), {"GLIBC_TUNABLES", "LOGNAME", "PATH", "PWEMU_INSTANCE"})  # the first is ours

    def test_again_after_the_daemon_died(self):
        """A restart by a later daemon is the user's, too."""
        self.cli(self.alice, "start", "-q", BOARD, "-f", firmware("echo.elf"), "--restart", "always,delay=0s")
        pid = self.status_as(self.alice)["pid"]
        self.restart_daemon()
        self.assertEqual(self.status_as(self.alice)["pid"], pid)
        os.kill(pid, signal.SIGKILL)
        after = wait_for(lambda: (self.status_as(self.alice)["state"] == "running" and self.status_as(self.alice)["pid"] not in (0, pid)
                                  and self.status_as(self.alice)["pid"]), "the restart")
        status = status_of(after)
        self.assertEqual(status["Uid"], [str(self.uids[self.alice])] * 4)
        self.assertIn(str(os.stat(f"/proc/{after}").st_gid), status["Gid"])


class Walls(SystemCase):
    def refused_as(self, user, script):
        """A shell script of the user's that must fail."""
        process = self.popen(user, ["sh", "-c", script])
        out, err = process.communicate(timeout=30)
        self.assertNotEqual(process.returncode, 0, f"{script}: {out}{err}")
        return err

    def test_run_directory(self):
        """It is root's, its owner passes through only: no forged record of a shim, no socket of one, no FIFO or link in place of another."""
        instance = self.start_as(self.alice)
        run_dir = os.path.join(self.run_dir, instance["id"])
        info = os.stat(run_dir)
        self.assertEqual((info.st_uid, stat.S_IMODE(info.st_mode)), (0, 0o711))
        for user in (self.alice, self.bob):
            for script in ("ls .", "echo 'pwemu-end 1' > boot-1.end", "ln -s /etc/passwd boot-1.end", "rm serial0.in", "mv serial0.in x",
                           "mkfifo x", "cat boot-1.run", "cat boot-1.lock", "socat - UNIX-CONNECT:boot-1.sock,type=5",
                           "socat - UNIX-CONNECT:control.sock", "socat - UNIX-CONNECT:gdb.sock"):
                self.refused_as(user, f"cd {run_dir} && {script}")
        self.refused_as(self.bob, f"cd {run_dir} && timeout 1 cat serial0.out")
        self.refused_as(self.bob, f"cd {run_dir} && echo x > serial0.in")
        self.refused_as(self.alice, f"mkdir {self.run_dir}/abcdef")
        self.assertEqual(self.status_as(self.alice)["state"], "running")

    def test_state_directory(self):
        instance = self.start_as(self.alice)
        data = os.path.join(self.daemon.state_dir, "data", instance["id"])
        for user in (self.alice, self.bob):
            for script in (f"cat {data}/record", f"ls {self.daemon.state_dir}", f"ls {data}", f"echo > {data}/serial0.log", f"rm {data}/record",
                           f"cat {self.daemon.state_dir}/events.log", f"cat {self.daemon.state_dir}/daemon.lock"):
                self.refused_as(user, script)
        self.refused_as(self.bob, f"ls {self.daemon.state_dir}/instances/{self.uids[self.alice]}")

    def test_no_signals(self):
        instance = self.start_as(self.alice)
        self.refused_as(self.bob, f"kill -9 {instance['pid']}")
        shim = int(read_proc(instance["pid"], "stat").rsplit(b")", 1)[1].split()[1])
        self.refused_as(self.alice, f"kill -9 {shim}")  # the shim is the daemon's
        self.assertTrue(is_alive(instance["pid"]))

    def test_linked_files_of_the_working_directory(self):
        """The daemon's files there are written as the user: a link of his leads to nothing that is not his."""
        secret = os.path.join(self.dir, "secret")
        with open(secret, "w", encoding="ascii") as file:
            file.write("untouched")
        os.chmod(secret, 0o600)
        wdir = os.path.join(self.homes[self.alice], "wdir")
        self.as_user(self.alice, ["sh", "-c", f"mkdir {wdir}; cd {wdir}; for f in handles.json qemu.pid qemu.log handles.json.pwemu-tmp qemu.pid.pwemu-tmp; "
                                              f"do ln -s {secret} $f; done"])
        self.cli(self.alice, "start", "-q", BOARD, "-f", firmware("echo.elf"), "-C", wdir)
        self.cli(self.alice, "stop", "-q", "-C", wdir)
        with open(secret, encoding="ascii") as file:
            self.assertEqual(file.read(), "untouched")
        self.assertEqual(os.stat(secret).st_uid, 0)

    def test_directories_that_are_not_the_users(self):
        """A working directory is made, and images are read, with the user's rights."""
        self.cli(self.alice, "start", BOARD, "-f", firmware("echo.elf"), "-C", os.path.join(self.homes[self.bob], "mine"), code=1)
        self.cli(self.alice, "start", BOARD, "-f", firmware("echo.elf"), "-C", "/root/pwemu-test", code=1)
        self.assertFalse(os.path.exists("/root/pwemu-test"))
        private = os.path.join(self.homes[self.bob], "private.elf")
        subprocess.run(["cp", firmware("echo.elf"), private], check=True)
        calls = [["Instances", "Start", {"target_name": BOARD, "images": [{"path": private}]}]]
        ((status, _, text),) = self.ask(self.alice, calls)
        self.assertNotEqual(status, "OK")
        self.assertIn("Permission denied", text)

    def test_a_directory_that_never_answers(self):
        """FUSE without a server: whoever asks for it waits, others are served, and it has an end."""
        mount = os.path.join(self.homes[self.alice], "hung")
        os.mkdir(mount)
        libc = ctypes.CDLL(None, use_errno=True)
        try:
            fuse = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            self.skipTest(f"optional: fuse: {error}")
        options = f"fd={fuse},rootmode=40000,user_id={self.uids[self.alice]},group_id=0,allow_other".encode()
        if libc.mount(b"x", mount.encode(), b"fuse", 0, options) != 0:
            os.close(fuse)
            self.skipTest(f"optional: fuse: {os.strerror(ctypes.get_errno())}")
        try:
            calls = [["Instances", "Start", {"target_name": BOARD, "images": [{"path": f"{mount}/x.elf"}]}]]
            program = os.path.join(os.path.dirname(os.path.abspath(__file__)), "ask_as.py")
            hung = self.popen(self.alice, ["/usr/bin/python3", program, self.daemon.socket, json.dumps(calls)],
                              environment=dict(self.user_environment(self.alice), PWEMU_BUILD=BUILD))
            wait_for(lambda: "preparing" in self.daemon.log_text(), "the start")
            begun = time.monotonic()
            self.start_as(self.bob)
            self.assertLess(time.monotonic() - begun, 10)
            self.assertIsNone(hung.poll())
            ((status, _, text),) = json.loads(hung.communicate(timeout=40)[0])
            self.assertEqual(status, "DEADLINE_EXCEEDED", text)
        finally:
            os.close(fuse)  # the connection is gone, who waits gets an error
            libc.umount2(mount.encode(), 2)

    def send_and_close(self, user, port):
        """Connects, sends and is gone before anybody can look at whose it is."""
        program = ("import socket, struct, sys\n"
                   "s = socket.create_connection(('127.0.0.1', int(sys.argv[1])))\n"
                   "s.sendall(b'evil\\r')\n"
                   "s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', int(sys.argv[2]), 0))\n"
                   "s.close()\n")
        for linger in (0, 1):
            self.as_user(user, ["/usr/bin/python3", "-c", program, str(port), str(linger)], code=None)

    def test_ports_of_channels(self):
        self.start_as(self.alice, "echo.elf", "default", "--tcp", "serial0", "--tcp", "monitor")
        ports = {row["name"]: row["port"] for row in self.status_as(self.alice)["channels"] if row["port"]}
        for _ in range(20):
            self.send_and_close(self.bob, ports["serial0"])
        talk = ["/usr/bin/python3", "-c", "import socket, sys\ns = socket.create_connection(('127.0.0.1', int(sys.argv[1])), 20)\n"
                                          "try:\n s.sendall(b'info status\\r\\n')\n sys.stdout.write(repr(s.recv(100)))\nexcept OSError as e: print(repr(b''))"]
        self.assertEqual(self.as_user(self.bob, [*talk, str(ports["monitor"])]).strip(), "b''")
        self.cli(self.alice, "send", "-q", "-l", "good", "--expect", "got: good")
        self.assertNotIn("evil", self.cli(self.alice, "logs"))
        # shared, the port is his, too; not shared any more, he is sent away
        self.cli(self.alice, "share", "-q", "--with", GROUP, "write")
        self.assertEqual(self.as_user(self.bob, [*talk, str(ports["monitor"])]).strip(), "b''")
        client = self.popen(self.bob, ["/usr/bin/python3", "-c", "import socket, sys\ns = socket.create_connection(('127.0.0.1', int(sys.argv[1])), 20)\n"
                                       "s.sendall(b'shared\\r')\nwhile s.recv(100): pass", str(ports["serial0"])])
        self.cli(self.alice, "wait", "-q", "--expect", "got: shared", "--timeout", "20s")
        self.cli(self.alice, "unshare", "-q")
        self.assertEqual(client.wait(30), 0)

    def test_containers_root(self):
        """uid 0 of another mount namespace is not root here; of another user namespace it is who it was."""
        environment = dict(self.user_environment(self.alice), HOME=self.dir, XDG_RUNTIME_DIR=self.dir)
        inside = subprocess.run(["unshare", "-m", PWEMU, "ls"], env=environment, capture_output=True, text=True, timeout=30, check=False)
        self.assertEqual(inside.returncode, 1, inside.stdout)
        self.assertIn("root of a container", inside.stderr)
        self.start_as(self.bob)
        shell = self.popen(self.bob, ["unshare", "-U", "-r", "sh", "-c", f"id -u; {PWEMU} ls --all-users -o json"])
        out, err = shell.communicate(timeout=30)
        if "unshare" in err:
            self.skipTest(f"optional: userns: {err}")
        self.assertEqual(out.split("\n")[0], "0")
        self.assertEqual([row["owner"] for row in json.loads(out.split("\n", 1)[1])], [self.bob])

    def test_two_users_one_directory(self):
        """Directories and names are each user's own."""
        shared = os.path.join(self.dir, "shared")
        os.mkdir(shared)
        os.chmod(shared, 0o1777)
        for user in (self.alice, self.bob):
            self.cli(user, "start", "-q", BOARD, "-f", firmware("echo.elf"), "-C", shared)
        self.cli(self.alice, "stop", "-q", "-C", shared)
        self.assertEqual(json.loads(self.cli(self.bob, "status", "-C", shared, "-o", "json"))["state"], "running")


class Daemon(SystemCase):
    settings = {"admin_group": ADMINS}

    def test_administration(self):
        for command in (("daemon", "stop"), ("daemon", "reload"), ("daemon", "restart")):
            self.assertIn("administrators", self.cli(self.alice, *command, code=1))
        run("usermod", "-aG", ADMINS, self.bob)
        self.addCleanup(run, "gpasswd", "-d", self.bob, ADMINS)
        self.start_as(self.alice)
        self.cli(self.bob, "daemon", "reload")
        self.cli(self.bob, "daemon", "restart")
        self.assertEqual([row["owner"] for row in json.loads(self.cli(self.bob, "ls", "--all-users", "-o", "json"))], [self.alice])
        self.cli(self.bob, "stop", "-q", "-i", f"{self.alice}/default")

    def test_not_for_others_than_root(self):
        process = self.popen(self.alice, [os.path.join(BUILD, "bin/pwemud"), "--system", "-f", "--state-dir", self.homes[self.alice]])
        self.assertIn("--system is for root", process.communicate(timeout=30)[1])
        self.assertEqual(process.returncode, 1)

    def test_where_clients_look(self):
        """Where the host's daemon has its socket it is used, whether it answers or not; a private daemon is never made instead."""
        script = ("set -e; mount -t tmpfs none /run; mkdir /run/pwemu; chmod 755 /run /run/pwemu; ln {0} /run/pwemu/control.sock 2>/dev/null || "
                  "{{ touch /run/pwemu/control.sock; mount --bind {0} /run/pwemu/control.sock; }}\n"
                  "exec setpriv --reuid {1} --regid {1} --clear-groups sh -c '{2} daemon info -o json; {2} -H unix:{3}/none.sock ls; echo $?'")
        uid = self.uids[self.alice]
        environment = {"PATH": os.environ["PATH"], "HOME": self.homes[self.alice], "PWEMU_TEST_DIR": self.dir}
        command = ["unshare", "-m", "sh", "-c", script.format(self.daemon.socket, uid, PWEMU, self.dir)]
        result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=False)
        info = json.loads(result.stdout[: result.stdout.rindex("}") + 1])
        self.assertEqual((info["pid"], info["is_system"]), (self.daemon.pid, True), result.stderr)
        self.assertTrue(result.stdout.endswith("1\n"), result.stdout)
        self.daemon.kill()
        result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=False)
        self.assertIn("no daemon answers at /run/pwemu/control.sock", result.stderr)
        self.assertEqual(set(processes_with(self.dir)), set())
        self.start_daemon()


class Limits(SystemCase):
    settings = {"user-instances": 2, "all-instances": 3, "user-connections": 5}

    def test_instances(self):
        self.start_as(self.alice)
        self.start_as(self.alice, name="two")
        text = self.cli(self.alice, "start", BOARD, "-f", firmware("echo.elf"), "-i", "three", code=1)
        self.assertIn("user-instances", text)
        ((status, reason, _),) = self.ask(self.alice, [["Instances", "Start", {"target_name": BOARD, "name": "three"}]])
        self.assertEqual((status, reason), ("RESOURCE_EXHAUSTED", "limit-reached"))
        self.start_as(self.bob)
        self.assertIn("all-instances", self.cli(self.bob, "start", BOARD, "-f", firmware("echo.elf"), "-i", "two", code=1))
        self.write_settings(**{"user-instances": 3})
        self.pwemu("daemon", "reload")
        self.start_as(self.alice, name="three")

    def test_connections(self):
        """One user's do not cost another his."""
        holder = self.popen(self.alice, ["/usr/bin/python3", "-c", "import socket, sys\nall = []\nfor _ in range(50):\n"
                                         " s = socket.socket(socket.AF_UNIX)\n s.connect(sys.argv[1])\n all.append(s)\n"
                                         "print('there', flush=True)\nsys.stdin.read()", self.daemon.socket], stdin=subprocess.PIPE)
        self.assertEqual(holder.stdout.readline(), "there\n")
        wait_for(lambda: "user-connections" in self.cli(self.alice, "ls", code=None) + self.cli(self.alice, "ls", code=1), "the limit")
        self.cli(self.bob, "ls")
        holder.communicate("", timeout=30)
        wait_for(lambda: "user-connections" not in self.cli(self.alice, "ls", code=None), "the end of the limit")
        self.cli(self.alice, "ls")

    def test_requests(self):
        self.write_settings(**{"user-requests": 2})
        self.pwemu("daemon", "reload")
        answers = self.ask(self.alice, [["Daemon", "Info", {}]] * 60)
        refused = [row for row in answers if row[0] != "OK"]
        self.assertGreater(len(refused), 20)
        self.assertEqual({tuple(row[:2]) for row in refused}, {("RESOURCE_EXHAUSTED", "limit-requests")})
        self.assertIn("user-requests", refused[0][2])
        self.cli(self.bob, "ls")

    def test_cpu_of_an_emulator(self):
        """Which limit it was is said."""
        self.write_settings(**{"emulator-cpu": "1s"})
        self.pwemu("daemon", "reload")
        self.cli(self.alice, "start", "-q", BOARD, "-f", firmware("seq.elf"), "--restart", "no")
        self.cli(self.alice, "wait", "-q", "--exit", "--timeout", "60s")
        end = self.status_as(self.alice)["end"]
        self.assertEqual((end["cause"], end["signal"]), ("killed", signal.SIGXCPU))
        self.assertIn("resource exhausted", end["message"])
        self.assertIn("emulator-cpu", end["message"])

    def test_memory_of_an_emulator(self):
        self.write_settings(**{"emulator-memory": "256M"})
        self.pwemu("daemon", "reload")
        text = self.cli(self.alice, "start", BOARD, "-f", firmware("echo.elf"), "--restart", "no", "--args=-m 512M", code=1)
        self.assertIn("setting emulator-memory", text)
        self.write_settings(**{"emulator-memory": "8G"})
        self.pwemu("daemon", "reload")
        pid = self.start_as(self.alice)["pid"]
        (line,) = [line for line in read_proc(pid, "limits").decode().splitlines() if line.startswith("Max address space")]
        self.assertEqual(line.split()[3:5], [str(8 << 30)] * 2)

    def test_log_bytes(self):
        self.start_as(self.alice, "seq.elf")
        self.cli(self.alice, "stop", "-q")
        self.write_settings(**{"user-log-bytes": "4K"})
        self.pwemu("daemon", "reload")
        self.assertIn("user-log-bytes", self.cli(self.alice, "start", BOARD, "-f", firmware("echo.elf"), "-i", "two", code=1))
        self.cli(self.alice, "rm", "-q")
        self.start_as(self.alice)


if __name__ == "__main__":
    unittest.main()
