# SPDX-License-Identifier: Apache-2.0
"""Properties of devices, on real QEMU: through the API and the command line."""

import json
import os
import signal
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import grpc  # noqa: E402
from pwemu_fixture import CALL_DEADLINE, PATH, PWEMU, Case, firmware, properties_pb2  # noqa: E402

Code = grpc.StatusCode


class Properties(Case):
    def list_properties(self, path, name="default"):
        request = properties_pb2.ListPropertiesRequest(instance=self.ref(name), path=path)
        reply = self.properties.List(request, timeout=CALL_DEADLINE)
        return {row.name: row.type for row in reply.properties}

    def get_property(self, path, name, instance="default"):
        request = properties_pb2.GetPropertyRequest(instance=self.ref(instance), path=path, property=name)
        return self.properties.Get(request, timeout=CALL_DEADLINE)

    def value(self, path, name):
        return json.loads(self.get_property(path, name).json)

    def set_request(self, path, name, **value):
        return properties_pb2.SetPropertyRequest(instance=self.ref(), path=path, property=name, **value)

    def set_text(self, path, name, text):
        self.properties.Set(self.set_request(path, name, text=text), timeout=CALL_DEADLINE)

    def set_json(self, path, name, text):
        self.properties.Set(self.set_request(path, name, json=text), timeout=CALL_DEADLINE)

    def assert_set_fails(self, code, reason, request, text=""):
        return self.assert_fails(code, reason, self.properties.Set, request, timeout=CALL_DEADLINE, text=text)


class Api(Properties):
    def test_list(self):
        self.start("hello.elf")
        rows = self.list_properties("/machine")
        self.assertEqual((rows["type"], rows["graphics"], rows["unattached"]), ("string", "bool", "child<container>"))
        self.assertEqual(self.list_properties("unattached"), self.list_properties("/machine/unattached"), "a partial path")
        self.assertIn("machine", self.list_properties("/"))

    def test_get_again(self):
        """The one that was got last is known, and another, or one that is not there, is not taken for it."""
        self.start("hello.elf")
        for path, name, type in [("/machine", "type", "string"), ("/machine", "graphics", "bool"), ("/machine", "type", "string")]:
            self.assertEqual([self.get_property(path, name).type for _ in range(3)], [type] * 3, name)
        self.set_json("/machine", "graphics", "true")
        self.assertEqual([self.value("/machine", "graphics") for _ in range(2)], [True] * 2)
        self.set_json("/machine", "graphics", "false")
        self.assertEqual(self.value("/machine", "graphics"), False)
        request = properties_pb2.GetPropertyRequest(instance=self.ref(), path="/machin", property="graphics")
        self.assert_fails(Code.NOT_FOUND, "invalid-property-path", self.properties.Get, request, timeout=CALL_DEADLINE)

    def test_get(self):
        self.start("hello.elf")
        value = self.get_property("/machine", "type")
        self.assertEqual((json.loads(value.json), value.type), ("lm3s6965evb-machine", "string"))
        value = self.get_property("/machine", "graphics")
        self.assertEqual((value.json, value.type), ("false", "bool"))
        value = self.get_property("/machine", "phandle-start")
        self.assertEqual((value.json, value.type), ("0", "int"))
        self.assertEqual(self.value("/machine", "unattached"), "/machine/unattached", "a child gives its path")
        self.assertEqual(self.value("/machine", "kernel"), firmware("hello.elf"), "no escaped slashes")
        self.assertIsInstance(self.value("/machine", "smp"), dict)

    def test_set_text(self):
        self.start("hello.elf")
        for text, value in (("on", True), ("off", False), ("yes", True), ("0", False), ("true", True), ("FALSE", False), ("1", True), ("no", False)):
            self.set_text("/machine", "graphics", text)
            self.assertIs(self.value("/machine", "graphics"), value, text)
        for text, value in (("12", 12), ("0x1f", 31), ("4K", 4096), ("0", 0), ("1M", 1 << 20)):
            self.set_text("/machine", "phandle-start", text)
            self.assertEqual(self.value("/machine", "phandle-start"), value, text)
        for text in ("true", "12", '{"a": 1}', '"quoted"', "plain \\ \"", "Grüße", ""):
            self.set_text("/machine", "append", text)
            self.assertEqual(self.value("/machine", "append"), text, "a string stays what it is")

    def test_set_json(self):
        self.start("hello.elf")
        self.set_json("/machine", "graphics", "true")
        self.assertIs(self.value("/machine", "graphics"), True)
        self.set_json("/machine", "append", '"a\\nb"')
        self.assertEqual(self.value("/machine", "append"), "a\nb")
        self.assert_set_fails(Code.INVALID_ARGUMENT, "invalid-value", self.set_request("/machine", "graphics", json='"off"'), text="expected: boolean")
        self.assert_set_fails(Code.INVALID_ARGUMENT, "invalid-value", self.set_request("/machine", "graphics", json="{"), text="no JSON")
        self.assert_set_fails(Code.INVALID_ARGUMENT, "invalid-value", self.set_request("/machine", "graphics"), text="needs a value")
        # QEMU's own parser would stumble over it
        self.assert_set_fails(Code.INVALID_ARGUMENT, "invalid-value", self.set_request("/machine", "graphics", json="[NaN]"))
        self.assertIs(self.value("/machine", "graphics"), True)

    def test_bad_values(self):
        self.start("hello.elf")
        request = self.set_request("/machine", "graphics", text="maybe")
        self.assert_set_fails(Code.INVALID_ARGUMENT, "invalid-value", request, text="write on or off")
        request = self.set_request("/machine", "phandle-start", text="many")
        self.assert_set_fails(Code.INVALID_ARGUMENT, "invalid-value", request, text="write 12")

    def test_errors_as_qemu_gives_them(self):
        self.start("hello.elf")

        def get(path, name):
            return properties_pb2.GetPropertyRequest(instance=self.ref(), path=path, property=name)

        def fails(reason, text, path, name="type"):
            error = self.assert_fails(Code.NOT_FOUND, reason, self.properties.Get, get(path, name), timeout=CALL_DEADLINE, text=text)
            return error.details()

        text = fails("invalid-property", "Property 'lm3s6965evb-machine.graphcis' not found", "/machine", "graphcis")
        self.assertIn('did you mean "graphics"?', text)
        text = fails("invalid-property-path", "Device '/machine/unatached' not found", "/machine/unatached")
        self.assertIn('did you mean "unattached"?', text)
        self.assertIn('did you mean "machine"?', fails("invalid-property-path", "not found", "/machin/unattached/device[2]"))
        self.assertIn('did you mean "system[0]"', fails("invalid-property-path", "not found", "sytem[0]"), "a partial path")
        fails("invalid-property-path", "not found", "/nope")
        fails("invalid-property-path", "ambiguous", "")
        request = properties_pb2.ListPropertiesRequest(instance=self.ref(), path="/machine/unatached")
        self.assert_fails(
            Code.NOT_FOUND, "invalid-property-path", self.properties.List, request, timeout=CALL_DEADLINE, text='did you mean "unattached"?'
        )
        request = self.set_request("/machine", "type", text="x")
        self.assert_fails(
            Code.FAILED_PRECONDITION, "read-only-property", self.properties.Set, request, timeout=CALL_DEADLINE, text="is not writable"
        )
        request = self.set_request("/machine", "graphcis", text="x")
        self.assert_fails(Code.NOT_FOUND, "invalid-property", self.properties.Set, request, timeout=CALL_DEADLINE, text='"graphics"')

    def test_not_running(self):
        self.start("hello.elf")
        self.stop()
        request = properties_pb2.ListPropertiesRequest(instance=self.ref(), path="/machine")
        self.assert_fails(Code.FAILED_PRECONDITION, "not-running", self.properties.List, request, timeout=CALL_DEADLINE)
        request = properties_pb2.ListPropertiesRequest(instance=self.ref("nobody"), path="/machine")
        self.assert_fails(Code.NOT_FOUND, "no-instance", self.properties.List, request, timeout=CALL_DEADLINE)

    def test_an_emulator_that_is_stopped_and_ends(self):
        """The question waits for a silent emulator; the stop answers it, and nobody else waits meanwhile."""
        instance = self.start("hello.elf")
        os.kill(instance.pid, signal.SIGSTOP)
        request = properties_pb2.GetPropertyRequest(instance=self.ref(), path="/machine", property="type")
        future = self.properties.Get.future(request, timeout=CALL_DEADLINE)
        self.assert_served()
        self.assertFalse(future.done())
        self.stop(grace_ms=1)
        with self.assertRaises(grpc.RpcError) as caught:
            future.result()
        self.assertEqual(caught.exception.code(), Code.FAILED_PRECONDITION, caught.exception.details())

    def test_boards(self):
        for board in ("mps2-an385", "netduinoplus2", "riscv32-virt"):
            name = "b-" + board
            self.start(firmware("hello.elf", board), name=name, board="qemu-" + board)
            value = self.get_property("/machine", "type", name)
            self.assertEqual(json.loads(value.json), board.replace("riscv32-", "") + "-machine")
            self.assertIn("unattached", self.list_properties("/machine", name))

    def test_after_adoption_and_paused(self):
        self.start("hello.elf", pause=True)
        self.restart_daemon()
        self.set_text("/machine", "graphics", "on")
        self.assertIs(self.value("/machine", "graphics"), True)


class Cli(Properties):
    def test_ls(self):
        self.start("hello.elf")
        text = self.pwemu("prop-ls", "/machine")
        rows = json.loads(text)
        self.assertEqual(text, json.dumps(rows, indent=4) + "\n", "pw_emu's own form")
        self.assertEqual(rows[0], {"name": "type", "type": "string"})
        self.assertEqual(self.pwemu("prop-ls", "/machine", "-o", "json"), text)
        table = self.pwemu("prop-ls", "/machine", "-o", "table").splitlines()
        self.assertEqual(table[0].split(), ["NAME", "TYPE"])
        self.assertIn(["graphics", "bool"], [line.split() for line in table])
        rows = json.loads(self.pwemu("prop-ls", "/machine/peripheral"))
        self.assertEqual([row["name"] for row in rows], ["type"])

    def test_get_and_set(self):
        self.start("hello.elf")
        self.assertEqual(self.pwemu("prop-get", "/machine", "type"), "lm3s6965evb-machine\n")
        self.assertEqual(self.pwemu("prop-get", "/machine", "type", "-o", "json"), '"lm3s6965evb-machine"\n')
        self.assertEqual(self.pwemu("prop-get", "/machine", "graphics"), "false\n")
        self.assertEqual(self.pwemu("prop-set", "/machine", "graphics", "on"), "")
        self.assertEqual(self.pwemu("prop-get", "/machine", "graphics"), "true\n")
        self.pwemu("prop-set", "/machine", "phandle-start", "0x10")
        self.assertEqual(self.pwemu("prop-get", "/machine", "phandle-start"), "16\n")
        self.assertIsInstance(json.loads(self.pwemu("prop-get", "/machine", "smp")), dict)
        self.assertIn("did you mean", self.pwemu("prop-get", "/machine", "graphcis", code=1))
        self.assertIn("not writable", self.pwemu("prop-set", "/machine", "type", "x", code=1))
        self.pwemu("prop-get", "/machine", code=2)

    def best_times(self, commands, rounds=60):
        """Of each command the best of many runs, taken by turns."""
        best = [float("inf")] * len(commands)
        for _ in range(rounds):
            for index, words in enumerate(commands):
                begin = time.perf_counter()
                subprocess.run(
                    [PWEMU, "-H", "unix:" + self.daemon.socket, *words], env={"PATH": PATH, "HOME": self.dir}, stdout=subprocess.DEVNULL, check=True
                )
                best[index] = min(best[index], time.perf_counter() - begin)
        return best

    def test_speed(self):
        """A whole command is one question to the daemon, as `status` is; what QEMU takes to answer is little beside it."""
        self.start("hello.elf")
        status, got = self.best_times([["status"], ["prop-get", "/machine", "type"]])
        print(f"status {status * 1e3:.2f} ms, prop-get {got * 1e3:.2f} ms", file=sys.stderr)
        self.assertLess(got, 2.5 * status)


if __name__ == "__main__":
    unittest.main()
