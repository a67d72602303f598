# SPDX-License-Identifier: Apache-2.0
"""Instances.Load: an image into a board that runs, on real QEMU."""

import os
import signal
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import grpc  # noqa: E402
from pwemu_fixture import CALL_DEADLINE, Attachment, converted, firmware, instances_pb2, wait_for  # noqa: E402
from test_daemon_endpoints import ON_FAILURE, Endpoints, Reader, policy, tcp  # noqa: E402

Code = grpc.StatusCode
RUNNING, PAUSED = instances_pb2.STATE_RUNNING, instances_pb2.STATE_PAUSED


class Load(Endpoints):
    def image(self, path, compare=True, **fields):
        path = path if "/" in path else firmware(path)
        if compare:
            status = os.stat(path)
            fields.update(device=status.st_dev, inode=status.st_ino, size=status.st_size)
        return instances_pb2.Image(path=path, **fields)

    def load_request(self, image, name="default", **fields):
        image = self.image(image) if isinstance(image, str) else image
        return instances_pb2.LoadRequest(instance=self.ref(name), image=image, **fields)

    def load(self, image, name="default", **fields):
        return self.instances.Load(self.load_request(image, name, **fields), timeout=CALL_DEADLINE)

    def assert_refused(self, code, reason, image, text="", **fields):
        return self.assert_fails(code, reason, self.instances.Load, self.load_request(image, **fields), timeout=CALL_DEADLINE, text=text)

    def reset(self, name="default"):
        return self.instances.Reset(instances_pb2.ResetRequest(instance=self.ref(name)), timeout=CALL_DEADLINE)

    def resume(self, name="default"):
        return self.instances.Resume(instances_pb2.ResumeRequest(instance=self.ref(name)), timeout=CALL_DEADLINE)

    def converted(self, name, form, board="lm3s6965evb"):
        return converted(firmware(name + ".elf", board), form, self.dir)

    def count(self, text, wanted, name="default"):
        """Until the console has printed the text that often since the start."""
        wait_for(lambda: self.read_all("", name).count(text) >= wanted, f"{wanted} times {text!r}: {self.read_all('', name)!r}")

    def assert_echoes(self, name="default"):
        client = Attachment(self, name=name, write=True, now=True)
        client.send(b"ping\r")
        client.wait_output(b"got: ping\r\nready> ")
        client.close()


class Boards(Load):
    def check_board(self, board):
        """Over an image of the start, into an empty board, and again at a reset."""
        for name, image in (("with", "hello.elf"), ("without", None)):
            name = f"{name}-{board}"
            self.start(firmware(image, board) if image else None, name=name, board="qemu-" + board, pause=image is None)
            instance = self.load(firmware("echo.elf", board), name)
            self.assertEqual(instance.state, RUNNING)
            self.count(b"ready> ", 1, name)
            self.assert_echoes(name)
            self.reset(name)
            self.count(b"ready> ", 3, name)
            self.assert_echoes(name)
            self.load(firmware("hello.elf", board), name)
            before = self.read_all("", name)
            self.reset(name)
            wait_for(lambda: len(self.read_all("", name)) > len(before), "the other image's words")
            self.assertEqual(self.read_all("", name).count(b"ready> "), 4, "prompts of the first image alone")
            self.stop(name)

    def test_lm3s6965evb(self):
        self.check_board("lm3s6965evb")

    def test_mps2_an385(self):
        self.check_board("mps2-an385")

    def test_netduinoplus2(self):
        self.check_board("netduinoplus2")

    def test_riscv32_virt(self):
        self.check_board("riscv32-virt")


class Forms(Load):
    def test_binary_and_hex(self):
        for board in ("lm3s6965evb", "netduinoplus2"):
            self.start(firmware("hello.elf", board), name=board, board="qemu-" + board)
            self.load(self.converted("echo", "binary", board), board)
            self.count(b"ready> ", 1, board)
            self.load(self.converted("echo", "ihex", board), board)
            self.count(b"ready> ", 2, board)
            self.assert_echoes(board)

    def test_address_and_offset(self):
        """A bin goes to its address or the offset; to others the offset is added."""
        self.start(firmware("hello.elf", "netduinoplus2"), board="qemu-netduinoplus2")
        path = self.converted("echo", "binary", "netduinoplus2")
        self.load(self.image(path, address=0x08000000))
        self.count(b"ready> ", 1)
        self.load(path, offset=0x08000000)
        self.count(b"ready> ", 2)
        self.assert_refused(Code.INVALID_ARGUMENT, "invalid-image", path, offset=0x50000000, text="does not fit into memory")
        elf = firmware("echo.elf", "netduinoplus2")
        self.assert_refused(Code.INVALID_ARGUMENT, "invalid-image", self.image(elf, address=0x08000000), text="addresses of its own")
        self.assert_refused(Code.INVALID_ARGUMENT, "invalid-image", elf, offset=0x40000000, text="0x48000000")
        self.assert_refused(Code.INVALID_ARGUMENT, "invalid-image", self.converted("echo", "ihex", "netduinoplus2"), offset=0x40000000)
        self.assert_echoes()

    def test_boot_loader_and_application(self):
        """An image without the vector table is started by what is there."""
        board = "mps2-an385"
        second = [instances_pb2.Image(path=firmware("app.elf", board))]
        self.start(firmware("bootloader.elf", board), board="qemu-" + board, images=second)
        self.count(b"app\n", 1)
        self.load(firmware("app.elf", board))
        first = b"boot\napp\n"
        wait_for(lambda: self.read_all() == first + first, f"the same again after {first!r}: {self.read_all()!r}")

    def test_large(self):
        """More than a packet, more than a buffer, with every byte at its place."""
        board = "netduinoplus2"
        self.start(firmware("echo.elf", board), board="qemu-" + board)
        with open(self.converted("echo", "binary", board), "rb") as file:
            data = file.read()
        data += bytes(range(256)) * ((512 * 1024 - len(data)) // 256)
        path = os.path.join(self.dir, "large.bin")
        with open(path, "wb") as file:
            file.write(data)
        self.load(path)
        self.count(b"ready> ", 2)
        self.assert_echoes()


class Behaviour(Load):
    def test_pause(self):
        """Paused before the first instruction; the resume runs it."""
        self.start("hello.elf")
        before = len(self.read_until(b"\n"))  # all that it says
        instance = self.load("echo.elf", pause=True)
        self.assertEqual(instance.state, PAUSED)
        self.assertEqual(self.offset(), before)
        self.resume()
        self.count(b"ready> ", 1)

    def test_into_a_paused_guest(self):
        """It runs afterwards, as after gdb's load and detach; a reset of a paused one leaves it paused."""
        self.start("hello.elf", pause=True)
        self.assertEqual(self.load("echo.elf").state, RUNNING)
        self.count(b"ready> ", 1)
        self.instances.Pause(instances_pb2.PauseRequest(instance=self.ref()), timeout=CALL_DEADLINE)
        self.assertEqual(self.reset().state, PAUSED)
        before = self.offset()
        self.assertEqual(self.offset(), before)
        self.resume()
        self.count(b"ready> ", 2)

    def test_images_are_shown(self):
        self.start("hello.elf")
        self.assertEqual(list(self.load("echo.elf").images), [firmware("echo.elf"), firmware("hello.elf")])
        self.assertEqual(list(self.load("hello.elf").images), [firmware("hello.elf")])

    def test_image_is_checked(self):
        self.start("echo.elf")
        self.count(b"ready> ", 1)
        self.assert_refused(Code.INVALID_ARGUMENT, "invalid-image", firmware("echo.elf", "riscv32-virt"), text="RISC-V")
        self.assert_refused(Code.INVALID_ARGUMENT, "invalid-image", firmware("echo.elf", "netduinoplus2"), text="0x08000000")
        self.assert_refused(Code.INVALID_ARGUMENT, "invalid-image", os.path.abspath(__file__), text="text file")
        gone = self.image(os.path.join(self.dir, "gone.elf"), compare=False)
        self.assert_refused(Code.NOT_FOUND, "invalid-image", gone, text="No such file")
        other = self.image("echo.elf")
        other.inode += 1
        self.assert_refused(Code.FAILED_PRECONDITION, "image-elsewhere", other)
        self.assert_refused(Code.INVALID_ARGUMENT, "invalid-image", instances_pb2.Image(path="echo.elf"), text="absolute")
        self.assert_echoes()
        self.assertEqual(self.read_all().count(b"ready> "), 2, "it ran on all the time")

    def test_not_running(self):
        self.start("hello.elf")
        self.stop()
        self.assert_refused(Code.FAILED_PRECONDITION, "not-running", "echo.elf")

    def test_debugger_has_the_stub(self):
        """While one is attached a load is refused, naming it; when it has gone all is well, and the guest runs."""
        self.start("hello.elf", endpoints=[tcp("gdb")])
        connection = self.dial(self.endpoint("gdb").port)
        connection.sendall(b"$?#3f")
        Reader(connection.fileno()).until(b"$T")
        self.assert_refused(Code.FAILED_PRECONDITION, "busy", "echo.elf", text="tcp client")
        connection.close()
        wait_for(lambda: self.get().state == RUNNING, "the guest to run on")
        self.load("echo.elf")
        self.count(b"ready> ", 1)
        connection = self.dial(self.endpoint("gdb").port)
        connection.sendall(b"$?#3f")
        Reader(connection.fileno()).until(b"$T")

    def test_survives_a_new_daemon(self):
        """A reset loads it again, though the file is gone and the daemon another one."""
        self.start("hello.elf")
        path = os.path.join(self.dir, "mine.elf")
        with open(firmware("echo.elf"), "rb") as source, open(path, "wb") as copy:
            copy.write(source.read())
        self.load(path)
        self.count(b"ready> ", 1)
        os.unlink(path)
        self.restart_daemon()
        self.assertEqual(list(self.get().images), [path, firmware("hello.elf")])
        wait_for(lambda: self.get().state == RUNNING, "it to be adopted")
        self.reset()
        self.count(b"ready> ", 2)
        self.assert_echoes()

    def test_restarts_begin_with_the_start(self):
        instance = self.start("echo.elf", restart=policy(ON_FAILURE))
        self.count(b"ready> ", 1)
        self.load("hello.elf")
        os.kill(self.get().pid, signal.SIGKILL)
        self.wait_boot(2)
        self.count(b"ready> ", 2)
        self.assertEqual(list(self.get().images), list(instance.images))
        self.load("hello.elf")
        self.instances.Restart(instances_pb2.RestartRequest(instance=self.ref()), timeout=CALL_DEADLINE)
        self.assertEqual(list(self.get().images), list(instance.images))
        self.count(b"ready> ", 1)
        self.assertFalse(os.path.exists(os.path.join(self.daemon.state_dir, "data", instance.id, "loaded")))

    def test_one_at_a_time_and_nothing_beside(self):
        """Of many at once some are told that another is under way; afterwards the board runs."""
        self.start("hello.elf")
        calls = [self.instances.Load.future(self.load_request("echo.elf"), timeout=CALL_DEADLINE) for _ in range(5)]
        calls.append(self.instances.Resume.future(instances_pb2.ResumeRequest(instance=self.ref()), timeout=CALL_DEADLINE))
        results = [call.exception() for call in calls]
        self.assertTrue(any(error is None for error in results))
        for error in results:
            if error is not None:
                self.assertEqual(error.code(), Code.FAILED_PRECONDITION, error.details())
                self.assertIn("being loaded", error.details())
        self.count(b"ready> ", 1)
        self.assert_echoes()

    def test_emulator_dies_meanwhile(self):
        instance = self.start("hello.elf")
        os.kill(instance.pid, signal.SIGSTOP)
        call = self.instances.Load.future(self.load_request("echo.elf"), timeout=CALL_DEADLINE)
        wait_for(lambda: os.path.exists(os.path.join(self.daemon.state_dir, "data", instance.id, "loaded.new")), "the load to begin")
        self.assert_served()
        os.kill(instance.pid, signal.SIGKILL)
        error = wait_for(call.exception, "the load to fail")
        self.assertEqual(error.code(), Code.FAILED_PRECONDITION, error.details())
        self.wait_end()
        self.assertFalse(os.path.exists(os.path.join(self.daemon.state_dir, "data", instance.id, "loaded.new")))

    def test_daemon_dies_meanwhile(self):
        """The emulator lives; another load makes it whole."""
        instance = self.start("hello.elf")
        os.kill(instance.pid, signal.SIGSTOP)
        call = self.instances.Load.future(self.load_request("echo.elf"), timeout=CALL_DEADLINE)
        wait_for(lambda: os.path.exists(os.path.join(self.daemon.state_dir, "data", instance.id, "loaded.new")), "the load to begin")
        self.daemon.kill()
        self.assertIsNotNone(call.exception())
        os.kill(instance.pid, signal.SIGCONT)
        self.start_daemon()
        wait_for(lambda: self.get().state in (RUNNING, PAUSED), "it to be adopted")
        self.assertEqual(self.get().pid, instance.pid)
        self.load("echo.elf")
        self.count(b"ready> ", 1)


class Cli(Load):
    def test_load(self):
        self.start("hello.elf")
        self.assertEqual(self.pwemu("load", firmware("echo.elf")), "")
        self.count(b"ready> ", 1)
        self.pwemu("load", "-p", self.converted("echo", "binary") + "@0")
        self.assertEqual(self.get().state, PAUSED)
        self.pwemu("load", "--offset", "0x0", self.converted("echo", "ihex"))
        self.count(b"ready> ", 2)
        self.assertIn("RISC-V", self.pwemu("load", firmware("echo.elf", "riscv32-virt"), code=1))
        self.assertIn("No such file", self.pwemu("load", "nothing.elf", code=1))
        self.assertIn("--offset", self.pwemu("load", "-o", "many", firmware("echo.elf"), code=2))


if __name__ == "__main__":
    unittest.main()
