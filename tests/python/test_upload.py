# SPDX-License-Identifier: Apache-2.0
"""Images that are sent to the daemon: Channels.Upload itself, and the command line of a client that sees other files."""

import hashlib
import json
import os
import subprocess
import threading
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from pwemu_cli import CliCase
from pwemu_fixture import CALL_DEADLINE, Case, channels_pb2, channels_pb2_grpc, common_pb2, firmware, grpc, instances_pb2, wait_for

Code = grpc.StatusCode
PIECE = 64 << 10
ELSEWHERE = {"origin": common_pb2.Origin(machine="0" * 31 + "1", host="far-away", remote=True)}


def digest(data):
    return hashlib.sha256(data).hexdigest()


def begin(data, **fields):
    fields = {"sha256": digest(data), "size": len(data), "name": "test", **fields}
    return channels_pb2.UploadRequest(begin=channels_pb2.UploadBegin(**fields))


def pieces(data, size=PIECE):
    return [channels_pb2.UploadRequest(data=data[at : at + size]) for at in range(0, len(data), size)]


def read(path):
    with open(path, "rb") as file:
        return file.read()


class UploadCase(Case):
    settings = {}

    def setUp(self):
        super().setUp()
        self.store = os.path.join(self.daemon.state_dir, "images", str(os.getuid()))

    def start_daemon(self, **options):
        path = os.path.join(self.dir, "pwemud.json")
        with open(path, "w", encoding="ascii") as file:
            json.dump(self.settings, file)
        return super().start_daemon(arguments=("--config", path), **options)

    def upload(self, data, requests=None, **fields):
        requests = [begin(data, **fields), *pieces(data)] if requests is None else requests
        return self.channels.Upload(iter(requests), timeout=CALL_DEADLINE)

    def stored(self):
        """Finished images, and what is not finished."""
        names = os.listdir(self.store) if os.path.isdir(self.store) else []
        return sorted(name for name in names if not name.startswith(".")), [name for name in names if name.startswith(".")]

    def assert_refused(self, code, reason, requests, text=""):
        self.assert_fails(code, reason, self.channels.Upload, iter(requests), text=text, timeout=CALL_DEADLINE)
        wait_for(lambda: not self.stored()[1], "the unfinished file to go")


class Uploads(UploadCase):
    def test_bytes_arrive(self):
        data = os.urandom(3 * PIECE + 17)
        reply = self.upload(data)
        self.assertEqual((reply.sha256, reply.present, reply.received), (digest(data), True, len(data)))
        self.assertEqual(self.stored(), ([digest(data)], []))
        self.assertEqual(read(os.path.join(self.store, digest(data))), data)

    def test_probe(self):
        data = os.urandom(1000)
        self.assertFalse(self.upload(data, [begin(data)]).present)
        self.assertEqual(self.stored(), ([], []))
        self.upload(data)
        reply = self.upload(data, [begin(data)])
        self.assertEqual((reply.present, reply.received), (True, 0))
        self.assertEqual(self.upload(data).received, 0, "it is not taken twice")
        other_size = begin(data, size=999)
        self.assertFalse(self.channels.Upload(iter([other_size]), timeout=CALL_DEADLINE).present)

    def test_what_is_wrong(self):
        data = os.urandom(PIECE + 1)
        self.assert_refused(Code.INVALID_ARGUMENT, "upload-mismatch", [begin(data), *pieces(b"x" + data[1:])], "not what was announced")
        self.assert_refused(Code.INVALID_ARGUMENT, "upload-mismatch", [begin(data), *pieces(data[:-1])], f"after {PIECE} of {PIECE + 1}")
        self.assert_refused(Code.INVALID_ARGUMENT, "upload-mismatch", [begin(data), *pieces(data + b"x")], "more came")
        self.assert_refused(Code.INVALID_ARGUMENT, "", [begin(b"", sha256=digest(b""))], "empty")
        self.assert_refused(Code.INVALID_ARGUMENT, "", [begin(data, sha256="../../../etc/passwd")], "64")
        self.assert_refused(Code.INVALID_ARGUMENT, "", [begin(data, sha256=digest(data).upper())], "64")
        self.assert_refused(Code.INVALID_ARGUMENT, "", pieces(data), "must be `begin`")
        self.assert_refused(Code.INVALID_ARGUMENT, "", [begin(data), begin(data)], "only `data`")
        self.assert_refused(Code.RESOURCE_EXHAUSTED, "", [begin(data), *pieces(data + b"x" * PIECE, PIECE + 100)])
        self.assertEqual(self.stored(), ([], []))
        self.upload(data)

    def test_interrupted(self):
        data = os.urandom(2 * PIECE)
        go_on = threading.Event()

        def requests():
            yield begin(data)
            yield pieces(data)[0]
            go_on.wait(CALL_DEADLINE)

        call = self.channels.Upload.future(requests(), timeout=CALL_DEADLINE)
        wait_for(lambda: self.stored()[1], "the upload to begin")
        call.cancel()
        go_on.set()
        wait_for(lambda: not self.stored()[1], "the unfinished file to go")
        self.assertEqual(self.stored(), ([], []))

    def test_left_by_a_daemon_that_died(self):
        data = os.urandom(2 * PIECE)
        go_on = threading.Event()

        def requests():
            yield begin(data)
            yield pieces(data)[0]
            go_on.wait(CALL_DEADLINE)

        call = self.channels.Upload.future(requests(), timeout=CALL_DEADLINE)
        wait_for(lambda: self.stored()[1], "the upload to begin")
        self.daemon.process.kill()
        self.daemon.process.wait()
        go_on.set()
        self.assertEqual(call.exception().code(), Code.UNAVAILABLE)
        self.assertTrue(self.stored()[1])
        self.restart_daemon()
        self.assertEqual(self.stored(), ([], []))

    def test_two_send_the_same(self):
        data = os.urandom(4 * PIECE)
        barrier = threading.Barrier(2)

        def requests():
            yield begin(data)
            yield pieces(data)[0]
            barrier.wait(CALL_DEADLINE)  # both are under way
            yield from pieces(data)[1:]

        calls = [channels_pb2_grpc.ChannelsStub(self.daemon.channel()).Upload.future(requests(), timeout=CALL_DEADLINE) for _ in range(2)]
        self.assertEqual([call.result().received for call in calls], [len(data)] * 2)
        self.assertEqual(self.stored(), ([digest(data)], []))

    def test_too_many_at_once(self):
        go_on = threading.Event()

        def requests(data):
            yield begin(data)
            yield channels_pb2.UploadRequest(data=data[:1])
            go_on.wait(CALL_DEADLINE)
            yield channels_pb2.UploadRequest(data=data[1:])

        images = [os.urandom(10) for _ in range(16)]
        calls = [self.channels.Upload.future(requests(data), timeout=CALL_DEADLINE) for data in images]
        wait_for(lambda: len(self.stored()[1]) == 16, "all to begin")
        data = os.urandom(10)
        self.assert_fails(Code.RESOURCE_EXHAUSTED, "upload-limit", self.channels.Upload, iter([begin(data), *pieces(data)]), text="16 images",
                          timeout=CALL_DEADLINE)
        go_on.set()
        self.assertEqual([call.result().received for call in calls], [10] * 16)
        self.upload(data)

    def test_start_from_it(self):
        data = read(firmware("hello.elf"))
        self.upload(data)
        image = instances_pb2.Image(path="/home/me/build/hello.elf", digest=digest(data))
        instance = self.start(images=[image], working_dir="/home/me/wd", **ELSEWHERE)
        self.assertEqual(list(instance.images), ["/home/me/build/hello.elf"])
        self.assertEqual((instance.working_dir, instance.host, instance.machine), ("/home/me/wd", "far-away", "0" * 31 + "1"))
        self.assertIn("hello", self.read_until(b"hello").decode())
        self.assertFalse(os.path.exists("/home/me"))
        self.stop()

    def test_start_from_what_is_not_there(self):
        image = instances_pb2.Image(path="/home/me/hello.elf", digest="ab" * 32)
        self.assert_fails(Code.NOT_FOUND, "image-elsewhere", self.start, images=[image], text="was uploaded, but is not with the daemon")
        image.digest = "../" * 21 + "x"
        self.assert_fails(Code.INVALID_ARGUMENT, "", self.start, images=[image], text="64 lower-case")
        image.digest = ""
        self.assert_fails(Code.FAILED_PRECONDITION, "image-elsewhere", self.start, images=[image], text="has to be uploaded", **ELSEWHERE)
        self.assert_nothing_runs()

    def test_load_from_it(self):
        self.start("echo.elf")
        self.read_until(b"ready> ")
        data = read(firmware("hello.elf"))
        image = instances_pb2.Image(path="/home/me/hello.elf", digest=digest(data))
        load = lambda **ref: self.instances.Load(  # noqa: E731
            instances_pb2.LoadRequest(instance=common_pb2.InstanceRef(name="default", **ref), image=image), timeout=CALL_DEADLINE)
        self.assert_fails(Code.NOT_FOUND, "image-elsewhere", load)
        self.upload(data)
        self.assertEqual(load().images[0], "/home/me/hello.elf")
        self.read_until(b"hello")
        image.digest = ""
        self.assert_fails(Code.FAILED_PRECONDITION, "image-elsewhere", load, **ELSEWHERE)

    def test_elsewhere_without_knowing(self):
        origins = {"another machine": common_pb2.Origin(machine="1" * 32), "another root": common_pb2.Origin(root_device=1, root_inode=1),
                   "another directory": common_pb2.Origin(cwd_device=1, cwd_inode=1)}
        for name, origin in origins.items():
            with self.subTest(name):
                self.assert_fails(Code.FAILED_PRECONDITION, "client-elsewhere", self.start, "hello.elf", origin=origin,
                                  environment=self.environment())
        self.assert_fails(Code.INVALID_ARGUMENT, "", self.start, "hello.elf", origin=common_pb2.Origin(machine="../x"))

    def test_machines_are_told_apart(self):
        data = read(firmware("echo.elf"))
        self.upload(data)
        images = [instances_pb2.Image(path="/w/echo.elf", digest=digest(data))]
        origins = [common_pb2.Origin(machine=str(n) * 32, host=f"host{n}", remote=True) for n in range(2)]
        fields = {"project": "/w", "working_dir": "/w/.pw_emu/x", "images": images}
        ids = [self.start(None, "x", origin=origin, **fields).id for origin in origins]
        self.assertEqual(len(set(ids)), 2)
        self.assert_fails(Code.ALREADY_EXISTS, "already-running", self.start, None, "x", origin=origins[0], **fields)
        self.restart_daemon()
        for origin, wanted in zip(origins, ids):
            for ref in (dict(working_dir="/w/.pw_emu/x"), dict(name="x", project="/w")):
                request = instances_pb2.GetRequest(instance=common_pb2.InstanceRef(origin=origin, **ref))
                self.assertEqual(self.instances.Get(request, timeout=CALL_DEADLINE).id, wanted)
        here = instances_pb2.GetRequest(instance=common_pb2.InstanceRef(working_dir="/w/.pw_emu/x"))
        self.assert_fails(Code.NOT_FOUND, "no-instance", self.instances.Get, here)

    def test_token(self):
        request = self.request("echo.elf", "x", token="t" * 64)
        first = self.instances.Start(request, timeout=CALL_DEADLINE)
        again = self.instances.Start(request, timeout=CALL_DEADLINE)
        self.assertEqual((again.id, again.boot), (first.id, 1))
        self.restart_daemon()
        self.assertEqual(self.instances.Start(request, timeout=CALL_DEADLINE).pid, first.pid)
        request.token = "another"
        self.assert_fails(Code.ALREADY_EXISTS, "already-running", self.instances.Start, request, timeout=CALL_DEADLINE)
        request.token = "t" * 65
        self.assert_fails(Code.INVALID_ARGUMENT, "", self.instances.Start, request, text="token", timeout=CALL_DEADLINE)


class Limits(UploadCase):
    settings = {"upload-limit": "100K", "upload-store": "250K"}

    def test_one(self):
        data = os.urandom(101 << 10)
        self.assert_refused(Code.RESOURCE_EXHAUSTED, "upload-limit", [begin(data)], "upload-limit")
        self.upload(data[: 100 << 10])

    def test_oldest_unused_goes(self):
        images = [read(firmware("echo.elf"))] + [os.urandom(90 << 10) for _ in range(3)]
        self.upload(images[0])
        self.start(images=[instances_pb2.Image(path="/echo.elf", digest=digest(images[0]))], **ELSEWHERE)
        room = (250 << 10) - len(images[0])
        keeps = room // (90 << 10)
        self.assertGreaterEqual(keeps, 1)
        for data in images[1:]:
            self.upload(data)
        left = self.stored()[0]
        self.assertIn(digest(images[0]), left, "it is in use")
        self.assertNotIn(digest(images[1]), left)
        self.assertIn(digest(images[3]), left)
        self.assertEqual(len(left), 1 + keeps)

    def test_full_of_what_is_used(self):
        data = read(firmware("echo.elf"))
        images = [data + bytes([n]) * ((90 << 10) - len(data)) for n in range(3)]
        for n, image in enumerate(images[:2]):
            self.upload(image)
            self.start(None, f"i{n}", images=[instances_pb2.Image(path="/echo.elf", digest=digest(image))], **ELSEWHERE)
        self.assert_refused(Code.RESOURCE_EXHAUSTED, "upload-store", [begin(images[2]), *pieces(images[2])], "upload-store")
        self.stop("i0")
        self.assert_refused(Code.RESOURCE_EXHAUSTED, "upload-store", [begin(images[2]), *pieces(images[2])], "pwemu rm")
        self.instances.Remove(instances_pb2.RemoveRequest(instance=self.ref("i0")), timeout=CALL_DEADLINE)
        self.upload(images[2])

    def test_two_that_do_not_fit_together(self):
        images = [os.urandom(100 << 10) for _ in range(3)]
        go_on = threading.Event()

        def requests(data):
            yield begin(data)
            yield pieces(data)[0]
            go_on.wait(CALL_DEADLINE)
            yield from pieces(data)[1:]

        calls = [self.channels.Upload.future(requests(data), timeout=CALL_DEADLINE) for data in images[:2]]
        wait_for(lambda: len(self.stored()[1]) == 2, "both to begin")
        self.assert_fails(Code.RESOURCE_EXHAUSTED, "upload-store", self.channels.Upload, iter([begin(images[2]), *pieces(images[2])]),
                          timeout=CALL_DEADLINE)
        go_on.set()
        self.assertEqual([call.result().received for call in calls], [100 << 10] * 2)


class SmallDisk(UploadCase):
    """The store on a file system of its own, of 1 MiB."""

    def test_full(self):
        place = os.path.dirname(self.store)
        os.makedirs(place, exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", place], check=True)
        self.addCleanup(subprocess.run, ["umount", "-l", place], check=True)
        data = os.urandom(2 << 20)
        self.assert_refused(Code.RESOURCE_EXHAUSTED, "disk-full", [begin(data), *pieces(data)], "disk is full")
        self.upload(data[: 512 << 10])
        self.daemon.terminate()  # before its place goes
        self.daemon.wait()


class CommandLine(CliCase):
    """A client that is told that it is elsewhere by its address, and one that has other mounts."""

    def setUp(self):
        super().setUp()
        self.pwemu("ls")
        self.socket = json.loads(self.pwemu("daemon", "info", "-o", "json"))["socket"]
        self.store = os.path.join(self.environment["XDG_STATE_HOME"], "pwemu/images", str(os.getuid()))

    def remote(self, *words, **options):
        return self.pwemu("-H", f"unix:{self.socket}?remote", *words, **options)

    def test_run(self):
        self.assertIn("exit on lm3s6965evb", self.remote("run", "qemu-lm3s6965evb", firmware("exit.elf"), "--semihosting", code=42))
        self.assertEqual(os.listdir(self.store), [digest(read(firmware("exit.elf")))])
        before = os.stat(os.path.join(self.store, os.listdir(self.store)[0])).st_ino
        self.remote("-v", "run", "qemu-lm3s6965evb", firmware("exit.elf"), "--semihosting", code=42)
        self.assertNotIn("uploading", self.last_err)
        self.assertEqual(os.stat(os.path.join(self.store, os.listdir(self.store)[0])).st_ino, before)

    def test_instance(self):
        directory = os.path.join(self.work, "wd")
        self.remote("start", "qemu-lm3s6965evb", "-C", directory, "-f", firmware("echo.elf"), "--tcp", "serial1")
        self.assertIn("daemon's machine", self.last_err)
        status = json.loads(self.remote("status", "-C", directory, "-o", "json"))
        self.assertEqual(status["working_dir"], directory)
        self.assertEqual(status["host"], os.uname().nodename)
        self.assertEqual(status["images"], [firmware("echo.elf")])
        self.assertFalse(os.path.exists(directory))
        self.assertIn(status["host"], self.pwemu("ls"))
        cwd = os.readlink(f"/proc/{status['pid']}/cwd")
        self.assertTrue(cwd.startswith(self.environment["XDG_STATE_HOME"]), cwd)
        self.pwemu("start", "qemu-lm3s6965evb", "-C", directory, "-f", firmware("echo.elf"))  # a local one of the same name is another
        self.assertTrue(os.path.exists(os.path.join(directory, "handles.json")))
        self.remote("load", "-C", directory, firmware("hello.elf"))
        self.assertIn("hello", self.remote("wait", "-C", directory, "--expect", "hello") + self.remote("logs", "-C", directory))
        self.remote("restart", "-C", directory)
        self.remote("rm", "-C", directory, "--force")
        wait_for(lambda: not os.path.exists(cwd), "its directory to go")
        self.assertEqual(self.pwemu("-C", directory, "status").splitlines()[0].split(), ["name:", "default"])

    def test_environment_stays(self):
        path = os.path.join(self.dir, "emulator")
        with open(path, "w", encoding="ascii") as file:
            file.write(f"#!/bin/sh\nenv > {self.dir}/environment\npwd > {self.dir}/cwd\nexec sleep 1000\n")
        os.chmod(path, 0o755)
        config = os.path.join(self.work, "pwemu.json")
        with open(config, "w", encoding="ascii") as file:
            json.dump({"targets": {"t": {"qemu": {"executable": path, "machine": "lm3s6965evb"}}}}, file)
        process = self.popen("-H", f"unix:{self.socket}?remote", "start", "t", "--set-env", "MINE=here", environment={"SECRET": "mine"})
        wait_for(lambda: os.path.exists(f"{self.dir}/cwd"), "the emulator")
        process.kill()
        seen = read(f"{self.dir}/environment").decode()
        self.assertIn("MINE=here\n", seen)
        self.assertNotIn("SECRET", seen)
        self.assertIn("PATH=", seen)
        self.remote("stop", "--all")

    def test_what_cannot_be_sent(self):
        err = self.refused("-H", f"unix:{self.socket}?remote", "run", "qemu-lm3s6965evb", self.work, code=125, says="directory")
        self.assertIn(self.work, err)
        empty = os.path.join(self.work, "empty.elf")
        with open(empty, "wb"):
            pass
        self.refused("-H", f"unix:{self.socket}?remote", "start", "qemu-lm3s6965evb", "-f", empty, says="is empty")

    def test_private_mount(self):
        """Its own machine and root, but files that the daemon does not see."""
        private = os.path.join(self.dir, "private")
        os.mkdir(private)
        script = (f"mount -t tmpfs none {private} && cp {firmware('echo.elf')} {private}/echo.elf && cd {self.work} && "
                  f"pwemu -v -i a start qemu-lm3s6965evb -f {private}/echo.elf && "
                  f"pwemu -i a load {firmware('hello.elf')} && pwemu -i a load {private}/echo.elf && "
                  f"cd {private} && pwemu -v -C {private}/wd start qemu-lm3s6965evb -f echo.elf && pwemu -C {private}/wd status -o json && "
                  f"ls -A {private}")
        done = subprocess.run(["unshare", "-m", "sh", "-c", script], env=self.environment, capture_output=True, text=True,
                              timeout=CALL_DEADLINE, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("different views of the file system", done.stderr)
        self.assertEqual(done.stdout.splitlines()[-1], "echo.elf", "nothing is written there")
        rows = {row["name"]: row for row in json.loads(self.pwemu("ls", "-o", "json"))}
        self.assertEqual(rows["a"]["host"], "", "only its image is elsewhere")
        self.assertEqual(rows["default"]["host"], os.uname().nodename)
        self.assertEqual(os.listdir(private), [])

    def test_progress_on_a_terminal(self):
        large = os.path.join(self.work, "large.bin")
        with open(large, "wb") as file:
            file.truncate(9 << 20)
        command = f"pwemu -H 'unix:{self.socket}?remote' start qemu-lm3s6965evb -f {large}"
        for quiet, wanted in (("", True), (" -q", False)):
            done = subprocess.run(["script", "-qec", command + quiet, "/dev/null"], env=self.environment, cwd=self.work, capture_output=True,
                                  stdin=subprocess.DEVNULL, timeout=CALL_DEADLINE, check=False)
            self.assertEqual(b"large.bin: uploading" in done.stdout, wanted, done.stdout)
            for name in os.listdir(self.store):
                os.unlink(os.path.join(self.store, name))
        done = self.run_any("-H", f"unix:{self.socket}?remote", "start", "qemu-lm3s6965evb", "-f", large)
        self.assertNotIn("uploading", done.err)


if __name__ == "__main__":
    unittest.main()
