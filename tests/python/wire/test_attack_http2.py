# SPDX-License-Identifier: Apache-2.0
"""Clients that attack the daemon by its HTTP/2, made of sockets and frames. Each is ended, with the right word, or bounded; somebody else is
served all along; memory stays bounded (attack_rig.Case)."""

import os
import random
import struct
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from attack_rig import Case  # noqa: E402
from pwemu_fixture import CALL_DEADLINE, IS_SANITIZED, channels_pb2, instances_pb2, targets_pb2, wait_for  # noqa: E402
from rig import (  # noqa: E402
    ACK,
    CALM,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    PING,
    PREFACE,
    PRIORITY,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    frame,
    header,
    message,
    request_headers,
)

PROTOCOL_ERROR, FLOW_CONTROL_ERROR, STREAM_CLOSED, FRAME_SIZE_ERROR, REFUSED_STREAM, CANCEL, COMPRESSION_ERROR = 1, 3, 5, 6, 7, 8, 9
PADDED, SEVEN_BITS = 8, 0x7FFFFFFF
LIST, WATCH, START = b"/pwemu.v1.Instances/List", b"/pwemu.v1.Instances/Watch", b"/pwemu.v1.Instances/Start"
REFLECTION = b"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
WATCH_HEADERS = request_headers(b"", path=WATCH)
LIST_HEADERS = request_headers(b"", path=LIST)
EMPTY = message(b"")
ZERO_WINDOW = {"values": [(INITIAL_WINDOW_SIZE, 0)]}


def u32(value):
    return struct.pack(">I", value)


def opened(stream, headers=WATCH_HEADERS, flags=END_HEADERS):
    return frame(HEADERS, flags, stream, headers)


def served(stream):
    """A call that stays open: events, for ever."""
    return opened(stream) + frame(DATA, END_STREAM, stream, EMPTY)


def listed(stream):
    return opened(stream, LIST_HEADERS) + frame(DATA, END_STREAM, stream, EMPTY)


# Per new stream: what a client sends so that streams are reset, by itself or by the daemon.
RESETS = {
    "by the client": lambda s: served(s) + frame(RST_STREAM, 0, s, u32(CANCEL)),
    "by the client, at once": lambda s: opened(s) + frame(RST_STREAM, 0, s, u32(CANCEL)),
    "a window too large": lambda s: opened(s) + frame(WINDOW_UPDATE, 0, s, u32(SEVEN_BITS)),
    "data behind the end": lambda s: served(s) + frame(DATA, 0, s, b"x"),
    "headers behind the end": lambda s: served(s) + opened(s, header(b"x", b"y"), END_HEADERS | END_STREAM),
    "more than announced": lambda s: opened(s, LIST_HEADERS + header(b"content-length", b"5")) + frame(DATA, 0, s, bytes(9)),
    "less than announced": lambda s: opened(s, LIST_HEADERS + header(b"content-length", b"5")) + frame(DATA, END_STREAM, s, b"x"),
    "headers without a path": lambda s: opened(s, header(b":method", b"POST"), END_HEADERS | END_STREAM),
    "no headers": lambda s: opened(s, b"", END_HEADERS | END_STREAM),
    "upper case": lambda s: opened(s, LIST_HEADERS + header(b"X", b"y"), END_HEADERS | END_STREAM),
    "trailers that do not end": lambda s: opened(s) + opened(s, header(b"x", b"y")),
    "too many": opened,
    "a window of nothing": lambda s: served(s) + frame(WINDOW_UPDATE, 0, s, u32(0)),
    "a parent that is itself": lambda s: served(s) + frame(PRIORITY, 0, s, u32(s) + b"\x10"),
}

# Frames that bring nothing forward; {stream} is an open one.
FLOODS = {
    "settings": frame(SETTINGS),
    "settings with values": frame(SETTINGS, payload=struct.pack(">HI", 1, 4096) * 16),
    "settings that were not asked": frame(SETTINGS, ACK),
    "table sizes": frame(SETTINGS, payload=struct.pack(">HIHI", 1, 0, 1, 65536)),
    "window sizes": frame(SETTINGS, payload=struct.pack(">HIHI", 4, 0, 4, SEVEN_BITS)),
    "ping": frame(PING, 0, 0, bytes(8)),
    "answers to no ping": frame(PING, ACK, 0, bytes(8)),
    "priority": frame(PRIORITY, 0, 1, u32(0) + b"\x10"),
    "priority of streams that are not there": b"".join(frame(PRIORITY, 0, s, u32(s + 2) + b"\xff") for s in range(1001, 1201, 2)),
    "empty data": frame(DATA, 0, 1),
    "padding": frame(DATA, PADDED, 1, b"\x10" + bytes(16)),
    "small windows": frame(WINDOW_UPDATE, 0, 1, u32(1)),
    "small windows of the connection": frame(WINDOW_UPDATE, 0, 0, u32(1)),
    "unknown": frame(0x42, 0xFF, 1, bytes(3)),
    "unknown of nothing": frame(0xFF, 0, 0),
    "goaway": frame(GOAWAY, 0, 0, u32(0) + u32(0)),
    "resets of an old stream": frame(RST_STREAM, 0, 1, u32(CANCEL)),
}

# What is told once, and the codes that are right for it.
MISTAKES = {
    "a stream of the server's": (served(2), {PROTOCOL_ERROR}),
    "stream 0": (frame(HEADERS, END_HEADERS, 0, WATCH_HEADERS), {PROTOCOL_ERROR}),
    "data of stream 0": (frame(DATA, 0, 0, b"x"), {PROTOCOL_ERROR}),
    "data of no stream": (frame(DATA, 0, 99, b"x"), {PROTOCOL_ERROR, STREAM_CLOSED}),
    "a reset of no stream": (frame(RST_STREAM, 0, 99, u32(1)), {PROTOCOL_ERROR}),
    "a window of no stream": (frame(WINDOW_UPDATE, 0, 99, u32(1)), {PROTOCOL_ERROR}),
    "a push": (frame(PUSH_PROMISE, END_HEADERS, 1, u32(2) + WATCH_HEADERS), {PROTOCOL_ERROR}),
    "a continuation of nothing": (frame(CONTINUATION, END_HEADERS, 1), {PROTOCOL_ERROR}),
    "something between": (frame(HEADERS, 0, 1, WATCH_HEADERS) + frame(PING, 0, 0, bytes(8)), {PROTOCOL_ERROR}),
    "no HPACK": (opened(1, b"\xff" * 40), {COMPRESSION_ERROR}),
    "an index of nothing": (opened(1, b"\xfe"), {COMPRESSION_ERROR}),
    "a number without an end": (opened(1, b"\x7f" + b"\xff" * 100), {COMPRESSION_ERROR}),
    "a table that is too large": (opened(1, b"\x3f\xff\xff\x7f" + WATCH_HEADERS), {COMPRESSION_ERROR}),
    "a frame that is too large": (struct.pack(">I", 262145)[1:] + bytes((DATA, 0)) + u32(1), {FRAME_SIZE_ERROR}),
    "the largest frame": (b"\xff\xff\xff" + bytes((0x42, 0)) + u32(0), {FRAME_SIZE_ERROR}),
    "a short ping": (frame(PING, 0, 0, b"x"), {FRAME_SIZE_ERROR}),
    "short settings": (frame(SETTINGS, 0, 0, b"x"), {FRAME_SIZE_ERROR}),
    "an answer with settings": (frame(SETTINGS, ACK, 0, bytes(6)), {FRAME_SIZE_ERROR}),
    "a short reset": (opened(1) + frame(RST_STREAM, 0, 1, b"x"), {FRAME_SIZE_ERROR}),
    "a short window": (frame(WINDOW_UPDATE, 0, 0, b"x"), {FRAME_SIZE_ERROR}),
    "too much padding": (opened(1) + frame(DATA, PADDED, 1, b"\xff"), {PROTOCOL_ERROR}),
    "a window of the connection too large": (frame(WINDOW_UPDATE, 0, 0, u32(SEVEN_BITS)), {FLOW_CONTROL_ERROR}),
    "a window of nothing": (frame(WINDOW_UPDATE, 0, 0, u32(0)), {PROTOCOL_ERROR}),
    "initial windows too large": (frame(SETTINGS, payload=struct.pack(">HI", 4, 2**31)), {FLOW_CONTROL_ERROR, PROTOCOL_ERROR}),
    "frames of a size that is not": (frame(SETTINGS, payload=struct.pack(">HI", 5, 1)), {PROTOCOL_ERROR}),
    "more settings than there are": (frame(SETTINGS, payload=struct.pack(">HI", 9, 1) * 40), {CALM, PROTOCOL_ERROR}),
}

PREFACES = [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", bytes(100000), b"\xff" * 300, PREFACE[:-1] + b"x" * 50, b"\x16\x03\x01\x02\x00\x01" + bytes(500),
            PREFACE + frame(PING, 0, 0, bytes(8)), PREFACE + b"\0\0\0", PREFACE + PREFACE]  # fmt: skip


class Floods(Case):
    def test_resets(self):
        for name, frames_of in RESETS.items():
            with self.subTest(name):
                raw = self.raw()

                def more(raw=raw, frames_of=frames_of):
                    first = raw.next_stream
                    raw.next_stream += 100
                    return b"".join(frames_of(stream) for stream in range(first, first + 100, 2))

                self.assertIn(self.flood(raw, more), {CALM, PROTOCOL_ERROR, STREAM_CLOSED}, name)
        self.assert_unharmed()

    def test_own_resets_are_called_so(self):
        """Rapid reset, the very thing: it is told to calm down, and not called an internal error."""
        for name in ("by the client", "by the client, at once", "a window too large"):
            raw, frames_of = self.raw(), RESETS[name]

            def more(raw=raw, frames_of=frames_of):
                raw.next_stream += 2
                return frames_of(raw.next_stream - 2)

            self.assertEqual(self.flood(raw, more), CALM, name)
        self.assert_unharmed()

    def test_useless_frames(self):
        for name, payload in FLOODS.items():
            with self.subTest(name):
                raw = self.raw()
                raw.send(opened(1))
                right = {CALM, PROTOCOL_ERROR} if "not asked" in name else {CALM}
                self.assertIn(self.flood(raw, lambda payload=payload: payload * (1 + 4000 // len(payload))), right, name)
        self.assert_unharmed()

    def test_nobody_reads_the_answers(self):
        """What makes the daemon answer, from one who does not read: it stops reading too, and ends it."""
        for payload in (frame(SETTINGS), frame(PING, 0, 0, bytes(8)), opened(1, b"", END_HEADERS | END_STREAM)):
            raw = self.raw()
            end = time.monotonic() + CALL_DEADLINE
            while raw.send(payload * 500):
                self.assertLess(time.monotonic(), end, "the daemon takes everything")
        self.assert_unharmed()

    def test_continuations(self):
        for begin, piece in ((WATCH_HEADERS, b""), (WATCH_HEADERS, header(b"x", b"y" * 1000)), (b"", b"")):
            raw = self.raw()
            raw.send(frame(HEADERS, 0, 1, begin))
            self.assertIn(self.flood(raw, lambda piece=piece: frame(CONTINUATION, 0, 1, piece) * 10), {CALM, None})
        self.assert_unharmed()

    def test_connections(self):
        """Connect and leave, in all ways, as fast as it goes."""
        starts = (b"", PREFACE[:5], PREFACE, PREFACE + frame(SETTINGS) + served(1), PREFACE + frame(SETTINGS) + served(1)[:-3])
        for number in range(1500):
            raw = self.raw(preface=False)
            raw.send(starts[number % len(starts)])
            raw.close()
            self.raws.remove(raw)
        self.assert_unharmed()


class Headers(Case):
    def test_bombs(self):
        """One entry of the table, meant many times: small on the wire, large when read."""
        entry = header(b"x", b"y" * 4000, first=0x40)
        for repeat in (4, 100, 200000):
            raw = self.raw()
            raw.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, WATCH_HEADERS + entry + b"\xbe" * min(repeat, 250000)))
            code = raw.read_to_end() if repeat > 4 else raw.read_until(HEADERS, 1)
            self.assertIn(code if repeat > 4 else CALM, {CALM, FRAME_SIZE_ERROR})
        self.assert_unharmed()

    def test_too_long(self):
        """A list of more than 16 KiB is refused, and the connection goes on."""
        raw = self.raw()
        raw.read_until(SETTINGS)
        raw.send(frame(SETTINGS, ACK))
        raw.send(opened(1, LIST_HEADERS + b"".join(header(b"x-%d" % n, b"y" * 200) for n in range(80)), END_HEADERS | END_STREAM))
        flags, block = raw.read_until(HEADERS, 1)[1::2]
        self.assertTrue(flags & END_STREAM)
        self.assertIn(b"8", block)
        raw.send(listed(3))
        raw.read_until(DATA, 3)
        self.assert_unharmed()

    def test_table_sizes(self):
        """Ten thousand changes of the table's size in one block."""
        raw = self.raw()
        raw.send(opened(1, b"\x20\x3f\xe1\x1f" * 10000 + LIST_HEADERS, END_HEADERS | END_STREAM))
        raw.send(listed(3))
        self.assertIn(raw.read_to_end() if raw.read_frame() is None else CALM, {None, CALM, COMPRESSION_ERROR})
        self.assert_unharmed()

    def test_streams(self):
        """More streams than are allowed: of a client that may not know it yet those beyond are refused, another one is ended."""
        raw = self.raw()
        raw.send(b"".join(served(stream) for stream in range(1, 401, 2)))
        refused = set()
        while len(refused) < 200 - 128:
            _, _, stream, payload = raw.read_until(RST_STREAM)
            self.assertEqual(payload, u32(REFUSED_STREAM))
            refused.add(stream)
        self.assertEqual(min(refused), 257)
        raw.send(frame(RST_STREAM, 0, 1, u32(CANCEL)) + listed(401))
        raw.read_until(DATA, 401)
        raw.send(frame(SETTINGS, ACK) + b"".join(served(stream) for stream in range(403, 801, 2)))
        self.assertEqual(raw.read_to_end(), PROTOCOL_ERROR)
        self.assert_unharmed()

    def test_old_streams(self):
        """Requests with numbers that are behind are ignored, however many they are."""
        raw = self.raw()
        raw.send(served(999999))
        for _ in range(200):
            raw.send(b"".join(opened(stream, WATCH_HEADERS, END_HEADERS | END_STREAM) for stream in range(1, 201, 2)))
        raw.send(listed(1000001))
        raw.read_until(DATA, 1000001)
        self.assert_unharmed()


class Frames(Case):
    def test_mistakes(self):
        for name, (payload, codes) in MISTAKES.items():
            with self.subTest(name):
                raw = self.raw()
                raw.send(payload + frame(PING, 0, 0, bytes(8)) + bytes(300000 if "frame" in name else 0))
                self.assertIn(raw.read_to_end(), codes, name)
        self.assert_unharmed()

    def test_prefaces(self):
        for text in PREFACES:
            raw = self.raw(preface=False)
            raw.send(text)
            raw.socket.shutdown(1)
            raw.read_to_end()
            self.assertTrue(raw.is_over)
        self.assert_unharmed()

    def test_beyond_the_window(self):
        """More data than the daemon has given room for."""
        for stream_id, pieces in ((1, 6), (1, 100)):
            raw = self.raw()
            raw.send(opened(stream_id, request_headers(b"", path=REFLECTION)))
            body = b"\0" + u32(4000000)
            raw.send(b"".join(frame(DATA, 0, stream_id, (body if n == 0 else b"") + bytes(16000)) for n in range(pieces)))
            raw.send(frame(PING, 0, 0, bytes(8)))
            got = set()
            while True:
                one = raw.read_frame()
                if one is None or one[0] in (RST_STREAM, GOAWAY, HEADERS):
                    got.add(one and one[0])
                    break
            self.assertTrue(got)
        self.assert_unharmed()

    def test_goaway(self):
        """Who says that it leaves gets the answers of its calls."""
        raw = self.raw()
        raw.send(served(1) + listed(3) + frame(GOAWAY, 0, 0, u32(0) + u32(0)))
        raw.read_until(DATA, 3)
        raw.send(frame(RST_STREAM, 0, 1, u32(CANCEL)))
        self.assert_unharmed()

    def test_noise(self):
        """Frames that are nearly right, by chance; the same every time."""
        chance = random.Random(1)
        for _ in range(100):
            raw = self.raw()
            whole = bytearray(served(1) + listed(3) + frame(WINDOW_UPDATE, 0, 1, u32(100)) + frame(PING, 0, 0, bytes(8)))
            for _ in range(chance.randrange(1, 6)):
                whole[chance.randrange(len(whole))] = chance.randrange(256)
            raw.send(bytes(whole))
            raw.close()
            self.raws.remove(raw)
        self.assert_unharmed()


class Messages(Case):
    def status(self, raw, stream):
        """The number in grpc-status, of trailers that HPACK has not made unreadable."""
        _, flags, _, block = raw.read_until(HEADERS, stream)
        self.assertTrue(flags & END_STREAM)
        return block

    def test_lengths(self):
        raw = self.raw()
        for length in (5000000, 2**31, 2**32 - 1):
            stream = raw.next_stream
            raw.next_stream += 2
            raw.send(opened(stream, LIST_HEADERS) + frame(DATA, 0, stream, b"\0" + u32(length)))
            self.status(raw, stream)  # at once: nobody waits for what is announced
        raw.send(opened(raw.next_stream, LIST_HEADERS) + frame(DATA, END_STREAM, raw.next_stream, b"\1" + u32(0)))
        self.status(raw, raw.next_stream)
        raw.send(listed(raw.next_stream + 2))
        raw.read_until(DATA, raw.next_stream + 2)
        self.assert_unharmed()

    def test_byte_by_byte(self):
        """A request in frames of one byte, each sent alone, is a request."""
        raw = self.raw(preface=False)
        body = message(instances_pb2.ListRequest(all=True).SerializeToString())
        whole = PREFACE + frame(SETTINGS) + opened(1, LIST_HEADERS)
        whole += b"".join(frame(DATA, 0, 1, bytes((byte,))) for byte in body) + frame(DATA, END_STREAM, 1)
        for byte in whole:
            raw.send(bytes((byte,)))
        self.assertEqual(raw.read_until(DATA, 1)[3][:1], b"\0")
        self.assert_unharmed()

    def test_unknown_fields(self):
        """Fields that nobody knows, some of which protobuf-c can read once and not again: the daemon copies the target."""
        target = targets_pb2.Target(name="x", emulator="qemu", qemu=targets_pb2.QemuTarget(executable="qemu-system-arm", machine="m"))
        for strange in (b"\x85\0\0\0\0\0", b"\xf8\xff\xff\xff\x0f\x01", b"\xfa\xff\xff\xff\x0f\x02ab"):
            inner = target.SerializeToString() + strange
            body = b"\x12" + bytes((len(inner),)) + inner
            tag = targets_pb2.CheckTargetRequest.DESCRIPTOR.fields_by_name["target_config"].number
            body = bytes((tag << 3 | 2,)) + body[1:] + strange
            raw = self.raw()
            raw.send(opened(1, request_headers(b"", path=b"/pwemu.v1.Targets/Check")) + frame(DATA, END_STREAM, 1, message(body)))
            raw.read_until(HEADERS, 1)
        self.assert_unharmed()


class Readers(Case):
    growth_kib = 24 * 1024

    def test_reflection_is_not_read(self):
        """Small questions with large answers that nobody takes."""
        raw = self.raw(**ZERO_WINDOW)
        question = message(b"\x22\x12pwemu.v1.Instances")
        raw.send(b"".join(opened(stream, request_headers(b"", path=REFLECTION)) for stream in range(1, 101, 2)))
        for _ in range(40):
            if not raw.send(b"".join(frame(DATA, 0, stream, question * 40) for stream in range(1, 101, 2))):
                break
        self.assert_unharmed()

    def guest_output(self, wanted):
        self.start("seq.elf")
        wait_for(lambda: self.get().channels[0].offset > wanted, "the guest to print")

    def follow(self, raw, count):
        path = request_headers(b"", path=b"/pwemu.v1.Channels/Read")
        ask = channels_pb2.ReadRequest(instance=self.ref(), follow=True).SerializeToString()
        for stream in range(1, 2 * count, 2):
            raw.send(opened(stream, path) + frame(DATA, END_STREAM, stream, message(ask)))

    def test_tiny_windows(self):
        """A large log, read a byte at a time by many streams: bytes come in order, and who gives back a byte at a time for ever is ended."""
        self.guest_output(300000)
        raw = self.raw(**ZERO_WINDOW)
        self.follow(raw, 100)
        for _ in range(20):
            raw.send(frame(WINDOW_UPDATE, 0, 1, u32(1)))
            self.assertEqual(len(raw.read_until(DATA, 1)[3]), 1)
        code = self.flood(raw, lambda: b"".join(frame(WINDOW_UPDATE, 0, stream, u32(1)) for stream in range(1, 200, 2)))
        self.assertEqual(code, CALM)
        self.assert_unharmed()

    def test_large_streams_not_read(self):
        """Many connections with all their streams open on a large log and no window, and one that reads nothing at all."""
        self.guest_output(300000)
        raws = [self.raw(**ZERO_WINDOW) for _ in range(3)]
        for raw in raws:
            self.follow(raw, 100)
        deaf = self.raw(values=[(INITIAL_WINDOW_SIZE, SEVEN_BITS)])
        deaf.send(frame(WINDOW_UPDATE, 0, 0, u32(2**30)))
        self.follow(deaf, 100)
        raws[0].send(frame(PING, 0, 0, bytes(8)))
        raws[0].read_until(PING)
        if not IS_SANITIZED:
            self.assertLess(self.daemon.rss_kib() - self.before_kib, 4 * 9 * 1024)
        self.growth_kib = 4 * 9 * 1024
        self.assert_unharmed()


if __name__ == "__main__":
    unittest.main()
