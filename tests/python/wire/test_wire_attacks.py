# SPDX-License-Identifier: Apache-2.0
"""Clients that mean no good, made of sockets and frames: memory stays bounded, others are served meanwhile."""

import os
import struct
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from rig import (  # noqa: E402
    CALL_DEADLINE,
    CALM,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    PING,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    Case,
    frame,
    header,
    message,
    pb,
    request_headers,
    wait_for,
)

MIB = 1024 * 1024
ZERO_WINDOW = {"values": [(INITIAL_WINDOW_SIZE, 0)]}
HUGE_WINDOW = {"values": [(INITIAL_WINDOW_SIZE, 2**31 - 1)]}


class Readers(Case):
    """Who asks and does not take."""

    options = {"stall_ms": 1000}
    limit_kib = 20 * 1024
    last_words = (CALM,)

    def test_zero_window_many_replies(self):
        """20 connections that ask for 20 MB each: what is queued for one is limited, and then it is ended."""
        before = self.server.rss_kib()
        clients = [self.server.raw(**ZERO_WINDOW) for _ in range(20)]
        for client in clients:
            for _ in range(100):
                client.request(b"Big", pb.Note(number=200000))
        self.assert_served()
        for client in clients:
            self.assertIn(client.read_to_end(), self.last_words)
        self.assert_rss_below(before, self.limit_kib)

    def test_zero_window_below_the_limit(self):
        """Few large replies that nobody lets go: ended by time. A paused stream of small pieces is not."""
        paused = self.server.raw(**ZERO_WINDOW)
        stream = paused.request(b"Numbers", pb.Note(number=100000, data=bytes(1000)))
        stalled = self.server.raw(**ZERO_WINDOW)
        for _ in range(3):
            stalled.request(b"Big", pb.Note(number=2 * MIB))
        self.assertEqual(stalled.read_to_end(), CALM)
        self.assert_served()
        paused.send(frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", 5000)))
        self.assertTrue(paused.read_until(DATA, stream)[3])
        paused.close()

    def test_many_paused_streams(self):
        """All streams of a connection paused: within the limit, so nobody is ended, and each goes on."""
        client = self.server.raw(**ZERO_WINDOW)
        before = self.server.rss_kib()
        streams = [client.request(b"Numbers", pb.Note(number=10000, data=bytes(32000))) for _ in range(127)]
        echo = client.request(b"Echo", pb.Note())
        client.send(frame(WINDOW_UPDATE, 0, echo, struct.pack(">I", 100)))
        client.read_until(DATA, echo)
        self.assert_rss_below(before, 12 * 1024)
        for stream in streams:
            client.send(frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", 100)))
            self.assertEqual(len(client.read_until(DATA, stream)[3]), 100)
        client.close()

    def test_never_reads(self):
        before = self.server.rss_kib()
        fds = self.server.fds()
        clients = [self.server.raw(**HUGE_WINDOW) for _ in range(10)]
        for client in clients:
            client.send(frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 2**30)))
            for _ in range(5):  # more would not fit into the socket: the server has stopped reading too
                client.request(b"Numbers", pb.Note(number=1000000, data=bytes(10000)))
        wait_for(lambda: self.server.fds() >= fds + 10, "the clients to be accepted")
        self.assert_served()
        wait_for(lambda: self.server.fds() <= fds + 1, "the clients to be ended")
        self.assert_rss_below(before, 30 * 1024)
        self.assert_served()

    def test_slow_but_alive(self):
        """Who takes a little before each time-out stays."""
        fds = self.server.fds()
        slow, stuck = self.server.raw(**HUGE_WINDOW), self.server.raw(**HUGE_WINDOW)
        for client in (slow, stuck):
            client.send(frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 2**30)))
            client.request(b"Numbers", pb.Note(number=1000000, data=bytes(10000)))
        wait_for(lambda: self.server.fds() == fds + 2, "both to be accepted")

        def is_other_gone():
            self.assertIsNotNone(slow.read_frame())
            return self.server.fds() == fds + 1

        wait_for(is_other_gone, "the other one to be ended")
        for _ in range(100):
            self.assertIsNotNone(slow.read_frame())

    def test_flood_of_acks(self):
        """Makes the server want to write without end, and reads nothing."""
        for payload in (frame(SETTINGS), frame(PING, 0, 0, bytes(8))):
            before = self.server.rss_kib()
            client = self.server.raw()
            while client.send(payload * 1000):
                pass
            self.assert_rss_below(before, 2 * 1024)
            self.assert_served()


class Silence(Case):
    options = {"handshake_ms": 400}

    def test_silent(self):
        quiet = self.start(handshake_ms=1200)  # another server, idle meanwhile
        idle = quiet.raw()
        idle.read_until(SETTINGS)
        idle.request(b"Hold", pb.Note())
        without_call = quiet.raw()
        without_call.read_until(SETTINGS)
        without_call.read_until(SETTINGS)  # the acknowledgement of ours
        idle.request(b"Echo", pb.Note(text="after it"))
        idle.read_until(DATA)
        wait_for(quiet.is_asleep, "the idle server to sleep")
        switches = quiet.status("voluntary_ctxt_switches")
        cut = PREFACE + frame(SETTINGS) + frame(HEADERS, 0, 1, request_headers(b"Echo"))  # headers that never end
        for start in (b"", PREFACE[:10], PREFACE, PREFACE + frame(SETTINGS)[:5], cut, cut[:-5]):
            client = self.server.raw(preface=False)
            client.send(start)
            self.assert_served()
            client.read_to_end()
            self.assertTrue(client.is_over)
        self.assertEqual(quiet.status("voluntary_ctxt_switches"), switches, "an idle server woke up")
        idle.close()

    def test_no_http2(self):
        for text in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", bytes(1000), b"\xff" * 100000):
            client = self.server.raw(preface=False)
            client.send(text)
            client.read_to_end()
            self.assert_served()

    def test_idle_time(self):
        server = self.start(idle_ms=300)
        client = server.raw()
        hold = server.raw()
        hold.request(b"Hold", pb.Note())
        client.read_to_end()
        hold.send(frame(PING, 0, 0, bytes(8)))
        hold.read_until(PING)  # one with a call is not idle
        hold.close()

    def test_request_cut_off(self):
        """A connection that goes in the middle of everything."""
        whole = PREFACE + frame(SETTINGS) + frame(HEADERS, END_HEADERS, 1, request_headers(b"Chat"))
        whole += frame(DATA, 0, 1, message(pb.Note(text="x" * 100)))
        for length in range(0, len(whole), 7):
            client = self.server.raw(preface=False)
            client.send(whole[:length])
            client.close()
        self.assert_served()


class Floods(Case):
    def reset_storm(self, client, frames_of):
        """Sends until the server has enough."""
        for _ in range(500):
            out = b""
            for _ in range(100):
                out += frames_of(client.next_stream)
                client.next_stream += 2
            if not client.send(out):
                return
        self.fail("the server takes everything")

    def held(self):
        return self.server.stub().Count(pb.Note(), timeout=CALL_DEADLINE).number

    def test_rapid_reset(self):
        before = self.server.rss_kib()
        headers = request_headers(b"Hold")

        def frames_of(stream):
            out = frame(HEADERS, END_HEADERS, stream, headers) + frame(DATA, END_STREAM, stream, message(pb.Note()))
            return out + frame(RST_STREAM, 0, stream, struct.pack(">I", 8))

        self.reset_storm(self.server.raw(), frames_of)
        self.assertEqual(self.held(), 0)
        self.assert_rss_below(before, 4 * 1024)

    def test_made_to_reset(self):
        """The client breaks a rule so that the server resets: a window beyond its limit."""
        before = self.server.rss_kib()
        headers = request_headers(b"Hold")

        def frames_of(stream):
            out = frame(HEADERS, END_HEADERS, stream, headers) + frame(DATA, 0, stream, message(pb.Note()))
            return out + frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", 2**31 - 1))

        self.reset_storm(self.server.raw(), frames_of)
        wait_for(lambda: self.held() == 0, "the calls to end")
        self.assert_rss_below(before, 4 * 1024)

    def test_too_many_streams(self):
        before = self.server.rss_kib()
        headers = request_headers(b"Hold")
        self.reset_storm(self.server.raw(), lambda stream: frame(HEADERS, END_HEADERS, stream, headers))
        self.assert_rss_below(before, 4 * 1024)
        self.assert_served()

    def flood(self, payload):
        """Repeats the payload and reads what comes, until the server ends the connection."""
        client = self.server.raw()
        before = self.server.rss_kib()
        client.socket.setblocking(False)
        out = b""
        for _ in range(200000):
            out = out or payload * 100
            try:
                out = out[client.socket.send(out) :]
            except BlockingIOError:
                pass
            except (BrokenPipeError, ConnectionResetError):
                break
            try:
                if not client.socket.recv(65536):
                    break
            except BlockingIOError:
                pass
            except ConnectionResetError:
                break
        else:
            self.fail("the server takes everything")
        self.assert_rss_below(before, 2 * 1024)
        self.assert_served()

    def test_settings(self):
        self.flood(frame(SETTINGS))

    def test_ping(self):
        self.flood(frame(PING, 0, 0, bytes(8)))

    def test_ping_paced(self):
        """Each is answered before the next come: no memory is at stake, but the time of others."""
        client = self.server.raw()
        client.read_until(SETTINGS)
        client.read_until(SETTINGS)
        for _ in range(200):
            client.send(frame(PING, 0, 0, bytes(8)) * 50)
            answers = [client.read_frame() for _ in range(50)]
            if None in answers:
                break
        else:
            self.fail("the server answers everything")
        self.assert_served()

    def test_header_bomb(self):
        """One entry of 4 KiB in the table, then a byte for each time it is meant."""
        client = self.server.raw()
        before = self.server.rss_kib()
        entry = header(b"x", bytes(b"y" * 3900), first=0x40)
        block = request_headers(b"Echo") + entry + b"\xbe" * 12000
        client.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, block))
        self.assertEqual(client.read_to_end(), CALM)
        self.assert_rss_below(before, 2 * 1024)
        self.assert_served()

    def test_long_headers(self):
        """A little too long is answered."""
        client = self.server.raw()
        stream = client.request(b"Echo", pb.Note(), more=[(b"x-%d" % n, b"y" * 100) for n in range(150)])
        self.assertTrue(client.read_until(HEADERS, stream)[1] & END_STREAM)  # trailers only
        stream = client.request(b"Echo", pb.Note(text="still there"))
        self.assertIn(b"still there", client.read_until(DATA, stream)[3])
        client.close()

    def test_continuations(self):
        for more in (b"", header(b"x", b"y")):
            before = self.server.rss_kib()
            client = self.server.raw()
            client.send(frame(HEADERS, 0, 1, request_headers(b"Echo")))
            for _ in range(10000):
                if not client.send(frame(CONTINUATION, 0, 1, more) * 10):
                    break
            else:
                self.fail("the server takes everything")
            self.assert_rss_below(before, 2 * 1024)
            self.assert_served()

    def test_half_messages(self):
        """Every stream holds an unfinished message: the sum is limited."""
        before = self.server.rss_kib()
        client = self.server.raw()
        body = b"\0" + struct.pack(">I", 1000000) + bytes(900000)
        headers = request_headers(b"Sum")
        windows = {}

        def take(stream):
            got = client.read_frame()
            if got and got[0] == WINDOW_UPDATE:
                windows[got[2]] = windows.get(got[2], 0) + struct.unpack(">I", got[3])[0]

        windows[0] = 65535
        for _ in range(100):
            stream = client.next_stream
            client.next_stream += 2
            client.send(frame(HEADERS, END_HEADERS, stream, headers))
            windows[stream] = 65535
            at = 0
            while at < len(body) and not client.is_over:
                size = min(16384, len(body) - at, windows[0], windows[stream])
                if size <= 0:
                    take(stream)
                    continue
                if not client.send(frame(DATA, 0, stream, body[at : at + size])):
                    client.is_over = True
                at += size
                windows[0] -= size
                windows[stream] -= size
            if client.is_over:
                break
        self.assertTrue(client.is_over, "the server keeps everything")
        self.assert_rss_below(before, 24 * 1024)
        self.assert_served()

    def test_two_messages(self):
        client = self.server.raw()
        for body, what in (
            (message(b"") * 2, "two"),
            (b"", "none"),
            (b"\0\0\0\0\x05x", "half of one"),
            (b"\2\0\0\0\0", "a wrong flag"),
            (b"\1\0\0\0\0", "compressed"),
        ):
            stream = client.next_stream
            client.next_stream += 2
            client.send(frame(HEADERS, END_HEADERS, stream, request_headers(b"Echo")) + frame(DATA, END_STREAM, stream, body))
            got = client.read_until(HEADERS, stream)
            self.assertTrue(got[1] & END_STREAM, what)  # trailers only
        self.assert_served()
        client.close()

    def test_other_http(self):
        client = self.server.raw()
        grpc = (b"content-type", b"application/grpc")
        for stream, method, kind in ((1, b"POST", (b"content-type", b"text/plain")), (3, b"GET", grpc), (5, b"POST", (b"x", b"y"))):
            block = header(b":method", method) + header(b":scheme", b"http") + header(b":path", b"/pwemu.test.Wire/Echo")
            block += header(b":authority", b"test") + header(*kind)
            client.send(frame(HEADERS, END_HEADERS | END_STREAM, stream, block))
            self.assertTrue(client.read_until(HEADERS, stream)[1] & END_STREAM)
        self.assert_served()
        client.close()


class Many(Case):
    options = {"files": 64}

    def test_no_file_left(self):
        """accept pauses instead of spinning, and goes on when there is room."""
        clients = [self.server.raw() for _ in range(100)]
        wait_for(lambda: self.server.fds() >= 64, "the server to have no file left")
        ticks = self.server.cpu_ticks()
        clients[0].request(b"Echo", pb.Note())
        clients[0].read_until(DATA)
        for _ in range(200):  # some time of work for those that are in
            for client in clients[:20]:
                client.request(b"Echo", pb.Note())
                client.read_until(DATA)
        self.assertLess(self.server.cpu_ticks() - ticks, 200)
        for client in clients:
            client.close()
        self.assert_served()

    def test_max_connections(self):
        """One more costs the one its place that has been without a call for the longest time; where all have calls it is sent away."""
        server = self.start(max_connections=5)
        clients = [server.raw() for _ in range(5)]
        for client in clients:
            client.read_until(SETTINGS)
        late = server.raw()
        late.read_until(SETTINGS)
        clients[0].read_to_end()
        for client in clients[1:] + [late]:
            client.request(b"Hold", pb.Note())
            client.request(b"Echo", pb.Note(text="in"))
            client.read_until(DATA)
        later = server.raw()
        later.read_to_end()
        late.close()
        wait_for(lambda: self.is_taken(server), "a place to be free")

    @staticmethod
    def is_taken(server):
        client = server.raw()
        got = client.read_frame()
        client.close()
        return got is not None


class Idle(Case):
    limit_kib = 20
    def test_memory(self):
        """An idle connection with an open stream."""
        path = b"/grpc.health.v1.Health/Watch"
        clients = []

        def connect(count):
            for _ in range(count):
                client = self.server.raw()
                client.send(frame(HEADERS, END_HEADERS, 1, request_headers(b"", path=path)) + frame(DATA, END_STREAM, 1, message(b"")))
                client.read_until(DATA, 1)
                clients.append(client)

        connect(50)
        before = self.server.rss_kib()
        connect(400)
        per_connection = (self.server.rss_kib() - before) / 400
        print("idle connection with a stream: %.1f KiB" % per_connection)
        self.assert_rss_below(before, 400 * self.limit_kib)


if __name__ == "__main__":
    unittest.main()
