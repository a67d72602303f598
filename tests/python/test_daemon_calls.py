# SPDX-License-Identifier: Apache-2.0
"""The real daemon as a stock gRPC client sees it: calls, limits, health, reflection, and clients that mean no good."""

import os
import socket
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import grpc  # noqa: E402
from pwemu_fixture import (  # noqa: E402
    BOARD, CALL_DEADLINE, Case, Raw, daemon_pb2, daemon_pb2_grpc, instances_pb2, targets_pb2, wait_for,
)  # fmt: skip
from google.protobuf import descriptor_pb2  # noqa: E402
from health.v1 import health_pb2, health_pb2_grpc  # noqa: E402
from reflection.v1 import reflection_pb2, reflection_pb2_grpc  # noqa: E402
from reflection.v1alpha import reflection_pb2 as alpha_pb2, reflection_pb2_grpc as alpha_pb2_grpc  # noqa: E402

Code = grpc.StatusCode
SERVICES = ["pwemu.v1.Channels", "pwemu.v1.Daemon", "pwemu.v1.Instances", "pwemu.v1.Properties", "pwemu.v1.Targets"]


def same(data):
    return data


class Calls(Case):
    def raw_call(self, path, data, **options):
        call = self.daemon.channel().unary_unary(path, request_serializer=same, response_deserializer=same)
        return call(data, timeout=CALL_DEADLINE, **options)

    def test_unary(self):
        for _ in range(200):
            self.assertEqual(self.control.Info(daemon_pb2.InfoRequest(), timeout=CALL_DEADLINE).pid, self.daemon.pid)

    def test_parallel(self):
        """400 at once on one connection, which allows 128 streams; each gets its own answer."""
        names = [target.name for target in self.targets.List(targets_pb2.ListTargetsRequest(), timeout=CALL_DEADLINE).targets]
        calls = [
            (names[n % len(names)], self.targets.Get.future(targets_pb2.GetTargetRequest(name=names[n % len(names)]), timeout=CALL_DEADLINE))
            for n in range(400)
        ]
        for name, call in calls:
            self.assertEqual(call.result().name, name)

    def test_parallel_connections(self):
        results = []

        def ask():
            stub = daemon_pb2_grpc.DaemonStub(self.daemon.channel())
            results.append(stub.Info(daemon_pb2.InfoRequest(), timeout=CALL_DEADLINE).pid)

        threads = [threading.Thread(target=ask) for _ in range(40)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(CALL_DEADLINE)
        self.assertEqual(results, [self.daemon.pid] * 40)

    def test_targets(self):
        reply = self.targets.List(targets_pb2.ListTargetsRequest(), timeout=CALL_DEADLINE)
        names = [target.name for target in reply.targets]
        self.assertEqual(names, sorted(names))
        self.assertIn(BOARD, names)
        self.assertEqual(list(reply.errors), [])
        target = self.targets.Get(targets_pb2.GetTargetRequest(name=BOARD), timeout=CALL_DEADLINE)
        self.assertEqual((target.qemu.machine, len(target.channels)), ("lm3s6965evb", 3))
        request = targets_pb2.GetTargetRequest(name="qemu-lm3s6965ebv")
        self.assert_fails(Code.NOT_FOUND, "invalid-target", self.targets.Get, request, timeout=CALL_DEADLINE, text=BOARD)

    def test_unknown_method(self):
        for path in ("/pwemu.v1.Instances/Fly", "/pwemu.v1.Nobody/Get", "/pwemu.v2.Instances/Get", "/"):
            self.assert_fails(Code.UNIMPLEMENTED, "", self.raw_call, path, b"")

    def test_malformed(self):
        """Bytes that are no message of this kind; the connection goes on."""
        for data in (b"\xff", b"\x0a\x05abc", b"\x0a\xff\xff\xff\xff\x0f", b"\x0a\x02\x0a\x09", b"\x07"):
            self.assert_fails(Code.INVALID_ARGUMENT, "", self.raw_call, "/pwemu.v1.Instances/Get", data)
        self.assert_served()

    def test_unknown_fields(self):
        """What a newer client adds is no error."""
        data = daemon_pb2.InfoRequest().SerializeToString() + b"\x98\x06\x01\xa2\x06\x03abc"
        reply = daemon_pb2.InfoReply.FromString(self.raw_call("/pwemu.v1.Daemon/Info", data))
        self.assertEqual(reply.pid, self.daemon.pid)

    def test_oversize(self):
        """Each method has a limit of its own; what is beyond is not even read into memory."""
        before = self.daemon.rss_kib()
        for path, size in (("/pwemu.v1.Daemon/Info", 2000), ("/pwemu.v1.Instances/Get", 20000), ("/pwemu.v1.Instances/Start", 3 << 20)):
            self.assert_fails(Code.RESOURCE_EXHAUSTED, "", self.raw_call, path, b"\x0a" + bytes(size))
        self.assert_rss_below(before, 8 * 1024)
        self.assert_served()

    def test_large_environment(self):
        """A megabyte of it is within the limit of Start, though the kernel may think otherwise of one variable."""
        environment = self.environment(*(f"V{n}={'x' * 10000}" for n in range(80)))
        self.assertEqual(self.start("hello.elf", environment=environment).state, instances_pb2.STATE_RUNNING)

    def test_deadline(self):
        """The daemon forgets the call, not the stop."""
        self.start_stubborn()
        request = instances_pb2.StopRequest(instance=self.ref(), grace_ms=2000)
        start = time.monotonic()
        self.assert_fails(Code.DEADLINE_EXCEEDED, "", self.instances.Stop, request, timeout=0.3)
        self.assertLess(time.monotonic() - start, 20)
        self.assertEqual(self.wait_end().cause, instances_pb2.END_CAUSE_STOPPED)

    def test_cancel(self):
        self.start_stubborn()
        call = self.instances.Stop.future(instances_pb2.StopRequest(instance=self.ref(), grace_ms=2000), timeout=CALL_DEADLINE)
        wait_for(lambda: self.get().state == instances_pb2.STATE_STOPPING, "the call to arrive")
        call.cancel()
        with self.assertRaises(grpc.FutureCancelledError):
            call.result()
        self.assertEqual(self.wait_end().cause, instances_pb2.END_CAUSE_STOPPED)

    def test_error_text(self):
        """Text of people's making comes back as it is, in the status and in its trailer."""
        name = 'caf\u00e9 "100 %"\n'
        self.assert_fails(Code.NOT_FOUND, "no-instance", self.get, name, text=name)

    def test_descriptors_are_closed(self):
        def fds():
            return len(os.listdir(f"/proc/{self.daemon.pid}/fd"))

        before = fds()
        for _ in range(50):
            self.assert_served()
            self.daemon.channels.pop().close()
        wait_for(lambda: fds() <= before + 1, "the connections to be closed", 10)


class Standard(Case):
    def test_health(self):
        stub = health_pb2_grpc.HealthStub(self.daemon.channel())
        for service in ["", *SERVICES]:
            reply = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=CALL_DEADLINE)
            self.assertEqual(reply.status, health_pb2.HealthCheckResponse.SERVING, service)
        self.assert_fails(Code.NOT_FOUND, "", stub.Check, health_pb2.HealthCheckRequest(service="pwemu.v1.X"), timeout=CALL_DEADLINE)
        watch = stub.Watch(health_pb2.HealthCheckRequest(), timeout=CALL_DEADLINE)
        self.assertEqual(next(watch).status, health_pb2.HealthCheckResponse.SERVING)
        watch.cancel()

    def reflect(self, module, stub_type, **request):
        stub = stub_type(self.daemon.channel())
        return next(stub.ServerReflectionInfo(iter([module.ServerReflectionRequest(**request)]), timeout=CALL_DEADLINE))

    def test_reflection(self):
        for module, stub_type in (
            (reflection_pb2, reflection_pb2_grpc.ServerReflectionStub),
            (alpha_pb2, alpha_pb2_grpc.ServerReflectionStub),
        ):
            reply = self.reflect(module, stub_type, list_services="*")
            names = [service.name for service in reply.list_services_response.service]
            self.assertEqual([name for name in names if name.startswith("pwemu.")], SERVICES)
            self.assertIn("grpc.health.v1.Health", names)
            reply = self.reflect(module, stub_type, file_containing_symbol="pwemu.v1.Channels")
            files = [descriptor_pb2.FileDescriptorProto.FromString(data) for data in reply.file_descriptor_response.file_descriptor_proto]
            self.assertIn("pwemu/v1/channels.proto", [file.name for file in files])
            reply = self.reflect(module, stub_type, file_by_filename="no/such.proto")
            self.assertEqual(reply.error_response.error_code, Code.NOT_FOUND.value[0])

    def test_every_method_is_served(self):
        """Whatever reflection shows can be called, in the way that it says."""
        reply = self.reflect(reflection_pb2, reflection_pb2_grpc.ServerReflectionStub, file_containing_symbol="pwemu.v1.Instances")
        found = 0
        for name in SERVICES:
            reply = self.reflect(reflection_pb2, reflection_pb2_grpc.ServerReflectionStub, file_containing_symbol=name)
            for data in reply.file_descriptor_response.file_descriptor_proto:
                file = descriptor_pb2.FileDescriptorProto.FromString(data)
                for service in file.service:
                    if f"{file.package}.{service.name}" == name:
                        found += len(service.method)
                        self.assert_methods(name, service.method)
        self.assertGreaterEqual(found, 16)

    def assert_methods(self, service, methods):
        for method in methods:
            if method.name == "Shutdown":
                continue
            kinds = {
                (False, False): self.daemon.channel().unary_unary,
                (False, True): self.daemon.channel().unary_stream,
                (True, False): self.daemon.channel().stream_unary,
                (True, True): self.daemon.channel().stream_stream,
            }
            kind = kinds[method.client_streaming, method.server_streaming]
            call = kind(f"/{service}/{method.name}", request_serializer=same, response_deserializer=same)
            try:
                timeout = 2 if method.server_streaming else CALL_DEADLINE  # a Watch of everything never ends by itself
                result = call(iter([b""]) if method.client_streaming else b"", timeout=timeout)
                if method.server_streaming:
                    list(result)
            except grpc.RpcError as error:
                expected = [Code.NOT_FOUND, Code.INVALID_ARGUMENT, Code.FAILED_PRECONDITION]
                if method.server_streaming:
                    expected.append(Code.DEADLINE_EXCEEDED)
                self.assertIn(error.code(), expected, f"{method.name}: {error}")


class Attacks(Case):
    def test_zero_window(self):
        """Large replies that nobody lets go: the daemon keeps a bounded part of them."""
        before = self.daemon.rss_kib()
        for _ in range(10):
            raw = Raw(self, window=0)
            for _ in range(100):
                raw.request(b"/pwemu.v1.Targets/List", targets_pb2.ListTargetsRequest())
        self.assert_served()
        self.assert_rss_below(before, 40 * 1024)

    def test_never_reading(self):
        before = self.daemon.rss_kib()
        for _ in range(10):
            raw = Raw(self, rcvbuf=4096)
            raw.socket.settimeout(1)
            try:
                for _ in range(2000):
                    raw.request(b"/pwemu.v1.Targets/List", targets_pb2.ListTargetsRequest())
            except (socket.timeout, BrokenPipeError, ConnectionResetError):
                pass  # it stopped reading us, or had enough
        self.assert_served()
        self.assert_rss_below(before, 100 * 1024)

    def test_silence_and_nonsense(self):
        ends = []
        for data in (b"", b"PRI * HTTP/2.0\r\n", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", os.urandom(5000), b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9)):
            for _ in range(5):
                end = socket.socket(socket.AF_UNIX)
                end.connect(self.daemon.socket)
                try:
                    end.sendall(data)
                except (BrokenPipeError, ConnectionResetError):
                    pass
                ends.append(end)
        self.assert_served()
        for end in ends:
            end.close()
        self.assert_served()


if __name__ == "__main__":
    unittest.main()
