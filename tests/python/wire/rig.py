# SPDX-License-Identifier: Apache-2.0
"""The wire's test server as a child process, stock gRPC channels to it, and HTTP/2 frames made by hand."""

import os
import select
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import time
import unittest

BUILD = os.environ.get("PWEMU_BUILD", os.path.join(os.path.dirname(__file__), "../../../build/release"))
sys.path.insert(0, os.path.join(BUILD, "gen/python"))
SERVER = os.path.join(BUILD, "tests/fake/wire_server")
TLS_MODULE = os.path.join(BUILD, "libexec/pwemu/pwemu-tls.so")

import grpc  # noqa: E402
import wire_test_pb2 as pb  # noqa: E402
import wire_test_pb2_grpc  # noqa: E402

TEST_DEADLINE = 60
CALL_DEADLINE = 20

with open(SERVER, "rb") as program:
    IS_SANITIZED = b"__asan_init" in program.read()  # its memory says nothing


def wait_for(condition, what, deadline=CALL_DEADLINE):
    """Until the condition holds; polls, since what is waited for happens in another process."""
    end = time.monotonic() + deadline
    while not condition():
        if time.monotonic() > end:
            raise AssertionError("waited in vain for: " + what)
        select.select([], [], [], 0.01)


class Server:
    def __init__(self, **options):
        self.dir = tempfile.TemporaryDirectory(prefix="wire-")
        self.path = os.path.join(self.dir.name, "s")
        arguments = ["%s=%d" % item for item in options.items()]
        self.process = subprocess.Popen([SERVER, self.path] + arguments + self.more_arguments(), stdout=subprocess.PIPE)
        self.told = self.process.stdout.readline().split()
        assert self.told[:1] == [b"ready"]
        self.channels = []
        self.raws = []
        self.is_terminated = False

    def more_arguments(self):
        return []

    def channel(self, *options):
        # an own subchannel pool: each channel is a connection of its own
        channel = grpc.insecure_channel("unix:" + self.path, options=[("grpc.use_local_subchannel_pool", 1)] + list(options))
        self.channels.append(channel)
        return channel

    def stub(self, *options):
        return wire_test_pb2_grpc.WireStub(self.channel(*options))

    def raw(self, **settings):
        self.raws.append(Raw(self.path, **settings))
        return self.raws[-1]

    def status(self, key):
        with open("/proc/%d/status" % self.process.pid) as lines:
            for line in lines:
                if line.startswith(key + ":"):
                    return int(line.split()[1])
        raise KeyError(key)

    def rss_kib(self):
        return self.status("VmRSS")

    def cpu_ticks(self):
        with open("/proc/%d/stat" % self.process.pid) as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return int(fields[11]) + int(fields[12])

    def is_asleep(self):
        with open("/proc/%d/stat" % self.process.pid) as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] == "S"

    def fds(self):
        return len(os.listdir("/proc/%d/fd" % self.process.pid))

    def terminate(self):
        if self.is_terminated:
            return
        self.is_terminated = True
        self.process.send_signal(signal.SIGTERM)

    def close(self):
        for client in self.channels + self.raws:
            client.close()
        if self.process.poll() is None:
            self.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process.stdout.close()
        self.dir.cleanup()


class TlsServer(Server):
    """The same, and its clients come by TLS."""

    def more_arguments(self):
        return ["tls=" + TLS_MODULE]

    def context(self):
        context = ssl.create_default_context(cafile=os.path.join(self.dir.name, "tls/ca.pem"))
        context.set_alpn_protocols(["h2"])
        return context

    @property
    def port(self):
        return int(self.told[1])

    def channel(self, *options):
        with open(os.path.join(self.dir.name, "tls/ca.pem"), "rb") as file:
            credentials = grpc.ssl_channel_credentials(file.read())
        options = [("grpc.use_local_subchannel_pool", 1)] + list(options)
        channel = grpc.secure_channel("127.0.0.1:%d" % self.port, credentials, options=options)
        self.channels.append(channel)
        return channel

    def raw(self, **settings):
        self.raws.append(TlsRaw(self, **settings))
        return self.raws[-1]


class Case(unittest.TestCase):
    options = {}
    server_type = Server

    def setUp(self):
        def late(number, frame):
            raise AssertionError("the test takes too long")

        signal.signal(signal.SIGALRM, late)
        signal.alarm(TEST_DEADLINE)
        self.addCleanup(signal.alarm, 0)
        self.server = self.start(**self.options)

    def start(self, **options):
        server = self.server_type(**options)
        self.addCleanup(self.stop, server)
        return server

    def stop(self, server):
        server.close()
        self.assertEqual(server.process.returncode, 0, "the server ended badly")

    def assert_served(self, server=None):
        """A client that has just come gets its answer."""
        server = server or self.server
        reply = server.stub().Echo(pb.Note(text="alive"), timeout=CALL_DEADLINE)
        self.assertEqual(reply.text, "alive")

    def assert_rss_below(self, before_kib, growth_kib, server=None):
        if not IS_SANITIZED:
            self.assertLess((server or self.server).rss_kib() - before_kib, growth_kib)


# ---------------------------------------------------------------- HTTP/2 by hand

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS = 1, 1, 4
INITIAL_WINDOW_SIZE = 4
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
CALM = 11  # ENHANCE_YOUR_CALM


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + payload


def hpack_int(value, bits, first=0):
    limit = (1 << bits) - 1
    if value < limit:
        return bytes((first | value,))
    out = bytearray((first | limit,))
    value -= limit
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def hpack_text(text):
    return hpack_int(len(text), 7) + text


def header(name, value, first=0):
    """first: 0 not indexed, 0x40 added to the dynamic table."""
    return bytes((first,)) + hpack_text(name) + hpack_text(value)


def request_headers(method, *more, path=None):
    fields = [
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", path or b"/pwemu.test.Wire/" + method),
        (b":authority", b"test"),
        (b"content-type", b"application/grpc"),
        (b"te", b"trailers"),
    ]
    return b"".join(header(name, value) for name, value in fields + list(more))


def message(note):
    body = note if isinstance(note, bytes) else note.SerializeToString()
    return b"\0" + struct.pack(">I", len(body)) + body


class Raw:
    """A client that does what it is told and nothing else."""

    def __init__(self, path, preface=True, rcvbuf=None, **settings):
        self.connect(path, rcvbuf)
        self.next_stream = 1
        self.input = b""
        self.is_over = False
        if preface:
            body = b"".join(struct.pack(">HI", key, value) for key, value in settings.get("values", ()))
            self.send(PREFACE + frame(SETTINGS, payload=body))

    def connect(self, path, rcvbuf):
        self.socket = socket.socket(socket.AF_UNIX)
        if rcvbuf:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        self.socket.connect(path)  # waits while the queue is full; one with a time-out would not
        self.socket.settimeout(CALL_DEADLINE)

    def close(self):
        self.socket.close()

    def send(self, data):
        """False when the server has closed."""
        try:
            self.socket.sendall(data)
            return True
        except (BrokenPipeError, ConnectionResetError, ssl.SSLError):
            return False

    def request(self, method, note, end=True, more=()):
        stream = self.next_stream
        self.next_stream += 2
        body = message(note)
        out = frame(HEADERS, END_HEADERS, stream, request_headers(method, *more))
        for at in range(0, len(body), 16384):
            is_last = at + 16384 >= len(body)
            out += frame(DATA, END_STREAM if end and is_last else 0, stream, body[at : at + 16384])
        self.send(out)
        return stream

    def read_frame(self):
        """(kind, flags, stream, payload), None at the end."""
        while True:
            if len(self.input) >= 9:
                size = struct.unpack(">I", b"\0" + self.input[:3])[0]
                if len(self.input) >= 9 + size:
                    head, payload = self.input[:9], self.input[9 : 9 + size]
                    self.input = self.input[9 + size :]
                    return head[3], head[4], struct.unpack(">I", head[5:9])[0], payload
            try:
                data = self.socket.recv(65536)
            except (ConnectionResetError, ssl.SSLEOFError):
                data = b""
            if not data:
                self.is_over = True
                return None
            self.input += data

    def read_until(self, kind, stream=None):
        while True:
            got = self.read_frame()
            if got is None:
                raise AssertionError("the connection ended")
            if got[0] == kind and (stream is None or got[2] == stream):
                return got

    def read_to_end(self):
        """The error code of GOAWAY, None without."""
        code = None
        while True:
            got = self.read_frame()
            if got is None:
                return code
            if got[0] == GOAWAY:
                code = struct.unpack(">I", got[3][4:8])[0]


class TlsRaw(Raw):
    """path: the server."""

    def connect(self, path, rcvbuf):
        plain = socket.socket(socket.AF_INET)
        if rcvbuf:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        plain.settimeout(CALL_DEADLINE)
        plain.connect(("127.0.0.1", path.port))
        self.socket = path.context().wrap_socket(plain, server_hostname="localhost")
