# SPDX-License-Identifier: Apache-2.0
"""A daemon of all users: what root's privileges or knowledge could give a user who only asks. Needs root."""

import json
import os
import socket
import subprocess
import sys
import unittest
from unittest import mock

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from pwemu_fixture import BOARD, CALL_DEADLINE, PATH, PWEMU, daemon_pb2, firmware, read_proc  # noqa: E402
from users_fixture import SANITIZERS, SystemCase  # noqa: E402

ELSEWHERE = {"machine": "ab" * 16, "host": "far", "remote": True}


def variables_of(pid):
    return dict(row.split("=", 1) for row in read_proc(pid, "environ").decode().split("\0") if "=" in row)


class Secrets(SystemCase):
    def start_daemon(self, **options):
        with mock.patch.dict(os.environ, {"TEST_SECRET": "root's own", "HOME": "/root"}):
            return super().start_daemon(**options)

    def upload(self, user, path, name):
        """A client on another machine: the image is sent, the emulator has a plain environment and the variables that were asked for."""
        program = ("import hashlib, os, sys\n"
                   "sys.path.insert(0, os.path.join(os.environ['PWEMU_BUILD'], 'gen/python-pwemu'))\n"
                   "import grpc\nfrom pwemu.v1 import channels_pb2 as c, channels_pb2_grpc as g\n"
                   "data = open(sys.argv[2], 'rb').read()\nsha = hashlib.sha256(data).hexdigest()\n"
                   "parts = [c.UploadRequest(begin=c.UploadBegin(sha256=sha, size=len(data), name='x'))]\n"
                   "parts += [c.UploadRequest(data=data[i:i + 65536]) for i in range(0, len(data), 65536)]\n"
                   "with grpc.insecure_channel('unix:' + sys.argv[1]) as channel:\n"
                   "    print(g.ChannelsStub(channel).Upload(iter(parts), timeout=30).sha256)\n")
        from pwemu_fixture import BUILD
        environment = dict(self.user_environment(user), PWEMU_BUILD=BUILD)
        digest = self.as_user(user, ["/usr/bin/python3", "-c", program, self.daemon.socket, path], environment=environment).strip()
        request = {"target_name": BOARD, "name": name, "origin": ELSEWHERE, "images": [{"path": "/far/x.elf", "digest": digest}],
                   "environment": {"variables": ["WANTED=1"], "umask": 63}}
        ((status, _, reply),) = self.ask(user, [["Instances", "Start", request]])
        self.assertEqual(status, "OK", reply)
        return digest, reply

    def test_environment_of_an_emulator_from_elsewhere(self):
        _, reply = self.upload(self.alice, firmware("echo.elf"), "far")
        variables = variables_of(reply["pid"])
        self.assertNotIn("TEST_SECRET", variables)
        self.assertEqual((variables["WANTED"], variables["USER"]), ("1", self.alice))
        self.assertNotEqual(variables.get("HOME"), "/root")

    def test_images_are_their_users(self):
        """Everybody sees their names in the list of processes."""
        digest, reply = self.upload(self.alice, firmware("echo.elf"), "far")
        words = read_proc(reply["pid"], "cmdline").decode()
        self.assertIn(digest, words)
        path = os.path.join(self.daemon.state_dir, "images", str(self.uids[self.alice]), digest)
        self.as_user(self.alice, ["cmp", path, firmware("echo.elf")])
        self.assertIn("Permission denied", self.as_user(self.bob, ["head", "-c1", path], code=1))
        self.as_user(self.alice, ["sh", "-c", f"echo > {os.path.dirname(path)}/x"], code=2)

    def test_no_token_in_emulators(self):
        """The address that the client has used may have one; it is no matter of the emulator's, nor of the record's."""
        calls = [["Instances", "Start", {"target_name": BOARD, "images": [{"path": firmware("echo.elf")}],
                                         "environment": {"variables": ["PWEMU_HOST=tcp://a:1?token=s3cret", "PWEMU_CONTEXT=lab", "KEPT=1",
                                                                       "PATH=" + os.environ["PATH"]], "umask": 63}}]]  # fmt: skip
        ((status, _, reply),) = self.ask(self.alice, calls)
        self.assertEqual(status, "OK", reply)
        variables = variables_of(reply["pid"])
        self.assertEqual(variables["KEPT"], "1")
        self.assertEqual([name for name in ("PWEMU_HOST", "PWEMU_CONTEXT") if name in variables], [])
        with open(os.path.join(self.daemon.state_dir, "data", reply["id"], "record"), "rb") as file:
            self.assertNotIn(b"s3cret", file.read())


class Ports(SystemCase):
    def test_ports_of_root(self):
        """What a user may not bind himself the daemon does not bind for him."""
        low = next(port for port in range(1023, 600, -1) if self.is_free(port))
        text = self.cli(self.alice, "start", BOARD, "-f", firmware("echo.elf"), "--tcp", f"serial0={low}", code=1)
        self.assertIn("reserved", text)
        self.start_as(self.alice)
        ((status, reason, text),) = self.ask(self.alice, [["Channels", "Expose", {"instance": {"name": "default"}, "channel": "serial0",
                                                                                  "type": "tcp", "port": low}]])  # fmt: skip
        self.assertEqual((status, reason), ("PERMISSION_DENIED", "permission"), text)
        self.assertTrue(self.is_free(low))

    def is_free(self, port):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) != 0

    def test_whose_port(self):
        """That it is taken is no secret; by what of another user's is."""
        self.start_as(self.alice, "echo.elf", "hidden-name", "--tcp", "serial0")
        row = self.status_as(self.alice, "hidden-name")
        port = next(channel["port"] for channel in row["channels"] if channel["name"] == "serial0")
        start = ("start", BOARD, "-f", firmware("echo.elf"), "-i", "second", "--tcp", f"serial0={port}")
        text = self.cli(self.bob, *start, code=1)
        self.assertIn(f"port {port}", text)
        for word in ("hidden-name", row["id"], "qemu-system", "pwemu-shim"):
            self.assertNotIn(word, text)
        self.assertIn("hidden-name", self.cli(self.alice, *start, code=1))


class Certificates(SystemCase):
    settings = {"listen": "tcp://127.0.0.1:0"}

    def openssl(self, *words):
        subprocess.run(["openssl", *words], check=True, capture_output=True, timeout=30, cwd=self.dir)

    def start_daemon(self, **options):
        new = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
        if not os.path.exists(os.path.join(self.dir, "ca.pem")):
            self.openssl("req", "-x509", *new, "-days", "2", "-subj", "/CN=ca", "-keyout", "ca.key", "-out", "ca.pem")
            for name in ("root", "0", self.alice, str(self.uids[self.alice])):
                self.openssl("req", *new, "-subj", f"/CN={name}", "-keyout", name + ".key", "-out", name + ".csr")
                self.openssl("x509", "-req", "-in", name + ".csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-out", name + ".pem")
        self.settings = {**self.settings, "tls-client-ca": os.path.join(self.dir, "ca.pem")}
        return super().start_daemon(**options)

    def reload_as(self, name, code):
        info = self.control.Info(daemon_pb2.InfoRequest(), timeout=CALL_DEADLINE)
        url = f"{info.listen[0]}?ca={info.ca_pin}&cert={self.dir}/{name}.pem&key={self.dir}/{name}.key"
        result = subprocess.run([PWEMU, "daemon", "reload"], capture_output=True, text=True, timeout=CALL_DEADLINE, check=False, cwd="/",
                                env={"PATH": PATH, "HOME": "/nonexistent", "PWEMU_HOST": url, **SANITIZERS})  # fmt: skip
        self.assertEqual(result.returncode, code, result.stdout + result.stderr)
        return result.stderr

    def test_root_by_name(self):
        """A common name makes nobody root, and nobody the user of a number, unless root has written so."""
        for name in ("root", "0", str(self.uids[self.alice])):
            self.assertIn("tls-users", self.reload_as(name, 1))
        self.assertIn("administrators", self.reload_as(self.alice, 1))
        self.write_settings(**self.settings, **{"tls-users": "root=root"})
        self.pwemu("daemon", "reload")
        self.reload_as("root", 0)


class Limits(SystemCase):
    settings = {"user-instances": 1}

    def test_restart(self):
        """What has ended and is started again counts like what is new."""
        self.start_as(self.alice, name="one")
        self.cli(self.alice, "stop", "-q", "-i", "one")
        self.start_as(self.alice, name="two")
        ((status, reason, text),) = self.ask(self.alice, [["Instances", "Restart", {"instance": {"name": "one"}}]])
        self.assertEqual((status, reason), ("RESOURCE_EXHAUSTED", "limit-reached"), text)
        ((status, _, text),) = self.ask(self.alice, [["Instances", "Restart", {"instance": {"name": "two"}}]])
        self.assertEqual(status, "OK", text)
        self.assertEqual([row["name"] for row in json.loads(self.cli(self.alice, "ls", "-o", "json"))], ["two"])


if __name__ == "__main__":
    unittest.main()
