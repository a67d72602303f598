# SPDX-License-Identifier: Apache-2.0
"""A stock client (grpcio) against the wire."""

import os
import sys
import threading
import time
import unittest

import grpc

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from rig import CALL_DEADLINE, Case, pb, wait_for  # noqa: E402

from health.v1 import health_pb2, health_pb2_grpc
from reflection.v1 import reflection_pb2, reflection_pb2_grpc
from reflection.v1alpha import reflection_pb2 as alpha_pb2
from reflection.v1alpha import reflection_pb2_grpc as alpha_pb2_grpc
from google.protobuf import descriptor_pb2

MIB = 1024 * 1024


def raw_call(channel, path):
    return channel.unary_unary(path, request_serializer=lambda data: data, response_deserializer=lambda data: data)


class Calls(Case):
    def assert_fails(self, code, call, *arguments, **options):
        with self.assertRaises(grpc.RpcError) as caught:
            call(*arguments, timeout=options.pop("timeout", CALL_DEADLINE), **options)
        self.assertEqual(caught.exception.code(), code, caught.exception.details())
        return caught.exception

    def count(self, ended=False):
        return self.server.stub().Count(pb.Note(number=-1 if ended else 0), timeout=CALL_DEADLINE).number

    def test_unary(self):
        stub = self.server.stub()
        for number in range(200):
            self.assertEqual(stub.Echo(pb.Note(number=number, text="x"), timeout=CALL_DEADLINE).number, number)

    def test_unary_large(self):
        note = pb.Note(data=bytes(range(256)) * 3900)
        self.assertEqual(self.server.stub().Echo(note, timeout=CALL_DEADLINE).data, note.data)

    def test_empty_message(self):
        self.assertEqual(self.server.stub().Echo(pb.Note(), timeout=CALL_DEADLINE), pb.Note())

    def test_server_stream(self):
        numbers = [n.number for n in self.server.stub().Numbers(pb.Note(number=5000, data=b"x" * 1000), timeout=CALL_DEADLINE)]
        self.assertEqual(numbers, list(range(5000)))

    def test_server_stream_empty(self):
        self.assertEqual(list(self.server.stub().Numbers(pb.Note(), timeout=CALL_DEADLINE)), [])

    def test_client_stream(self):
        notes = (pb.Note(number=n, data=b"x" * 50000) for n in range(200))
        reply = self.server.stub().Sum(notes, timeout=CALL_DEADLINE)
        self.assertEqual((reply.number, reply.text), (199 * 100, str(200 * 50000)))

    def test_client_stream_without_message(self):
        self.assert_fails(grpc.StatusCode.INVALID_ARGUMENT, self.server.stub().Sum, iter(()))

    def test_bidirectional(self):
        """One question, one answer, many times: nothing is held back."""
        answered = threading.Semaphore(0)

        def questions():
            for number in range(300):
                yield pb.Note(number=number)
                answered.acquire(timeout=CALL_DEADLINE)

        seen = []
        for note in self.server.stub().Chat(questions(), timeout=CALL_DEADLINE):
            seen.append(note.number)
            answered.release()
        self.assertEqual(seen, list(range(300)))

    def test_bidirectional_slow_reader(self):
        """8 MiB there and back while nobody reads for a while: the client is held up, the server's memory is not used."""
        chunk, count = bytes(32 * 1024), 256
        produced = []

        def notes():
            for number in range(count):
                produced.append(number)
                yield pb.Note(number=number, data=chunk)

        before = self.server.rss_kib()
        replies = self.server.stub().Chat(notes(), timeout=CALL_DEADLINE)
        last = [-1]

        def has_stopped():
            if len(produced) == last[0]:
                return last[0] > 0
            last[0] = len(produced)
            time.sleep(0.2)  # what shows that it stands still is that time passes
            return False

        wait_for(has_stopped, "flow control to stop the writer")
        self.assertLess(len(produced), count)
        self.assert_rss_below(before, 4 * 1024)
        self.assert_served()
        self.assertEqual([note.number for note in replies], list(range(count)))

    def test_deadline(self):
        start = time.monotonic()
        self.assert_fails(grpc.StatusCode.DEADLINE_EXCEEDED, self.server.stub().Hold, pb.Note(), timeout=0.3)
        self.assertLess(time.monotonic() - start, 5)
        wait_for(lambda: self.count(ended=True) == 1, "the server to end the call")

    def test_server_keeps_deadline(self):
        """The header alone: this client would wait for ever."""
        raw = self.server.raw()
        stream = raw.request(b"Hold", pb.Note(), more=[(b"grpc-timeout", b"100m")])
        payload = raw.read_until(1, stream)[3]
        self.assertTrue(payload)
        wait_for(lambda: self.count() == 0, "the server to end the call")
        raw.close()

    def test_cancel(self):
        call = self.server.stub().Hold.future(pb.Note(), timeout=CALL_DEADLINE)
        wait_for(lambda: self.count() == 1, "the call to arrive")
        call.cancel()
        wait_for(lambda: self.count() == 0, "the call to be cancelled")
        with self.assertRaises(grpc.FutureCancelledError):
            call.result()

    def test_cancel_stream(self):
        call = self.server.stub().Numbers(pb.Note(number=1000000, data=b"x" * 1000), timeout=CALL_DEADLINE)
        self.assertEqual(next(call).number, 0)
        call.cancel()
        wait_for(lambda: self.count(ended=True) == 1, "the stream to end")

    def test_lost_client(self):
        channel = self.server.channel()
        call = raw_call(channel, "/pwemu.test.Wire/Hold").future(b"", timeout=CALL_DEADLINE)
        wait_for(lambda: self.count() == 1, "the call to arrive")
        channel.close()
        wait_for(lambda: self.count() == 0, "the call to end")
        self.assertTrue(call.done())

    def test_error_text(self):
        text = "no such target: \"caf\u00e9\"\n100 % sure"
        error = self.assert_fails(grpc.StatusCode.FAILED_PRECONDITION, self.server.stub().Fail, pb.Note(text=text))
        self.assertEqual(error.details(), text)
        self.assertIn(("pwemu-reason", "already-running"), [tuple(item) for item in error.trailing_metadata()])

    def test_unknown_method(self):
        for path in ("/pwemu.test.Wire/Nothing", "/nobody/Echo", "/", "/" + "x" * 4000):
            error = self.assert_fails(grpc.StatusCode.UNIMPLEMENTED, raw_call(self.server.channel(), path), b"")
            self.assertIn("unknown method", error.details())

    def test_malformed(self):
        for body in (b"\xff", b"\x08", b"\x12\x7fshort", b"\x0a\x01x\x0b"):
            self.assert_fails(grpc.StatusCode.INVALID_ARGUMENT, raw_call(self.server.channel(), "/pwemu.test.Wire/Echo"), body)
        stream = self.server.channel().stream_stream("/pwemu.test.Wire/Chat", lambda d: d, lambda d: d)
        with self.assertRaises(grpc.RpcError) as caught:
            list(stream(iter([b"\x08\x01", b"\xff"]), timeout=CALL_DEADLINE))
        self.assertEqual(caught.exception.code(), grpc.StatusCode.INVALID_ARGUMENT)

    def test_oversize(self):
        error = self.assert_fails(grpc.StatusCode.RESOURCE_EXHAUSTED, self.server.stub().Echo, pb.Note(data=bytes(2 * MIB)))
        self.assertIn("1048576", error.details())
        self.assert_served()

    def test_compressed(self):
        note = pb.Note(data=bytes(10000))
        self.assert_fails(grpc.StatusCode.UNIMPLEMENTED, self.server.stub().Echo, note, compression=grpc.Compression.Gzip)

    def test_metadata_too_large(self):
        metadata = [("x-%d" % n, "y" * 1000) for n in range(20)]
        self.assert_fails(grpc.StatusCode.RESOURCE_EXHAUSTED, self.server.stub().Echo, pb.Note(), metadata=metadata)
        self.assert_served()

    def test_parallel(self):
        """Far more than the limit of streams, over one connection: the client queues, all succeed."""
        stub = self.server.stub()
        calls = [stub.Echo.future(pb.Note(number=n, data=b"x" * 2000), timeout=CALL_DEADLINE) for n in range(400)]
        self.assertEqual([call.result().number for call in calls], list(range(400)))

    def test_parallel_waiting(self):
        """The same when each stays open for a while."""
        stub = self.server.stub()
        holds = [stub.Hold.future(pb.Note(), timeout=CALL_DEADLINE) for _ in range(400)]
        wait_for(lambda: self.count() == 128, "the server to be full")
        for hold in holds:
            hold.cancel()
        wait_for(lambda: self.count() == 0, "all to be cancelled")
        self.assertEqual(stub.Echo(pb.Note(number=7), timeout=CALL_DEADLINE).number, 7)

    def test_parallel_connections(self):
        stubs = [self.server.stub() for _ in range(30)]
        calls = [stub.Echo.future(pb.Note(number=n), timeout=CALL_DEADLINE) for n, stub in enumerate(stubs)]
        self.assertEqual([call.result().number for call in calls], list(range(30)))


class Health(Case):
    def test_check(self):
        stub = health_pb2_grpc.HealthStub(self.server.channel())
        for service in ("", "pwemu.test.Wire", "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection"):
            reply = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=CALL_DEADLINE)
            self.assertEqual(reply.status, health_pb2.HealthCheckResponse.SERVING)
        for service in ("pwemu.test.Wir", "pwemu.test.Wire/", "pwemu"):
            with self.assertRaises(grpc.RpcError) as caught:
                stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=CALL_DEADLINE)
            self.assertEqual(caught.exception.code(), grpc.StatusCode.NOT_FOUND)

    def test_watch(self):
        stub = health_pb2_grpc.HealthStub(self.server.channel())
        unknown = stub.Watch(health_pb2.HealthCheckRequest(service="nobody"), timeout=CALL_DEADLINE)
        self.assertEqual(next(unknown).status, health_pb2.HealthCheckResponse.SERVICE_UNKNOWN)
        watch = stub.Watch(health_pb2.HealthCheckRequest(), timeout=CALL_DEADLINE)
        self.assertEqual(next(watch).status, health_pb2.HealthCheckResponse.SERVING)
        self.server.terminate()
        self.assertEqual(next(watch).status, health_pb2.HealthCheckResponse.NOT_SERVING)
        with self.assertRaises(grpc.RpcError) as caught:
            next(watch)
        self.assertEqual(caught.exception.code(), grpc.StatusCode.UNAVAILABLE)


class Reflection(Case):
    def ask(self, pb2, pb2_grpc, *requests):
        stub = pb2_grpc.ServerReflectionStub(self.server.channel())
        return list(stub.ServerReflectionInfo(iter(pb2.ServerReflectionRequest(**r) for r in requests), timeout=CALL_DEADLINE))

    def check(self, pb2, pb2_grpc):
        services, by_symbol, by_method, by_name, unknown, nothing, extensions = self.ask(
            pb2,
            pb2_grpc,
            {"list_services": ""},
            {"file_containing_symbol": "pwemu.test.Wire"},
            {"file_containing_symbol": "grpc.health.v1.Health.Watch"},
            {"file_by_filename": "wire_test.proto"},
            {"file_containing_symbol": "pwemu.test.Nothing"},
            {"host": "x"},
            {"all_extension_numbers_of_type": "pwemu.test.Note"},
        )
        self.assertEqual(
            [service.name for service in services.list_services_response.service],
            [
                "grpc.health.v1.Health",
                "grpc.reflection.v1.ServerReflection",
                "grpc.reflection.v1alpha.ServerReflection",
                "pwemu.test.Wire",
            ],
        )
        for reply in (by_symbol, by_name):
            file = descriptor_pb2.FileDescriptorProto.FromString(reply.file_descriptor_response.file_descriptor_proto[0])
            self.assertEqual(file.name, "wire_test.proto")
            self.assertIn("Chat", [method.name for method in file.service[0].method])
        file = descriptor_pb2.FileDescriptorProto.FromString(by_method.file_descriptor_response.file_descriptor_proto[0])
        self.assertEqual(file.package, "grpc.health.v1")
        self.assertEqual(unknown.error_response.error_code, grpc.StatusCode.NOT_FOUND.value[0])
        self.assertEqual(unknown.original_request.file_containing_symbol, "pwemu.test.Nothing")
        self.assertEqual(nothing.error_response.error_code, grpc.StatusCode.INVALID_ARGUMENT.value[0])
        self.assertEqual(nothing.valid_host, "x")
        self.assertEqual(extensions.all_extension_numbers_response.base_type_name, "pwemu.test.Note")

    def test_v1(self):
        self.check(reflection_pb2, reflection_pb2_grpc)

    def test_v1alpha(self):
        self.check(alpha_pb2, alpha_pb2_grpc)


class Drain(Case):
    options = {"drain_ms": 10000}

    def test_drain(self):
        """Who has a call open may end it; new clients are not taken; then the server ends by itself."""
        stub = self.server.stub()
        go_on = threading.Event()

        def notes():
            yield pb.Note(number=1)
            go_on.wait(CALL_DEADLINE)
            yield pb.Note(number=2)

        chat = stub.Chat(notes(), timeout=CALL_DEADLINE)
        self.assertEqual(next(chat).number, 1)
        watch = health_pb2_grpc.HealthStub(self.server.channel()).Watch(health_pb2.HealthCheckRequest(), timeout=CALL_DEADLINE)
        next(watch)
        self.server.terminate()
        self.assertEqual(next(watch).status, health_pb2.HealthCheckResponse.NOT_SERVING)  # the drain has begun
        with self.assertRaises(grpc.RpcError) as caught:
            self.server.stub().Echo(pb.Note(), timeout=CALL_DEADLINE)
        self.assertEqual(caught.exception.code(), grpc.StatusCode.UNAVAILABLE)
        self.assertIsNone(self.server.process.poll())
        go_on.set()
        self.assertEqual([note.number for note in chat], [2])
        self.assertEqual(self.server.process.wait(5), 0)

    def test_deadline(self):
        server = self.start(drain_ms=300)
        hold = server.stub().Hold.future(pb.Note(), timeout=CALL_DEADLINE)
        wait_for(lambda: server.stub().Count(pb.Note(), timeout=CALL_DEADLINE).number == 1, "the call to arrive")
        server.terminate()
        self.assertEqual(hold.exception(CALL_DEADLINE).code(), grpc.StatusCode.UNAVAILABLE)
        self.assertEqual(server.process.wait(CALL_DEADLINE), 0)


if __name__ == "__main__":
    unittest.main()
