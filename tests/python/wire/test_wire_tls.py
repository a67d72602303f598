# SPDX-License-Identifier: Apache-2.0
"""Everything that the wire promises, under TLS: the same tests, and what is TLS's own."""

import os
import socket
import ssl
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import test_wire  # noqa: E402
import test_wire_attacks  # noqa: E402
from rig import CALL_DEADLINE, Case, PREFACE, SETTINGS, TlsServer, frame, pb  # noqa: E402


class Calls(test_wire.Calls):
    server_type = TlsServer


class Health(test_wire.Health):
    server_type = TlsServer


class Drain(test_wire.Drain):
    server_type = TlsServer


class Readers(test_wire_attacks.Readers):
    server_type = TlsServer
    last_words = (test_wire_attacks.CALM, None)  # who still sends when it is over gets a reset, which TCP lets overtake them
    limit_kib = 20 * 9 * 1024  # what all may queue; libc keeps it between the small things that OpenSSL holds, and it grows no further


class Floods(test_wire_attacks.Floods):
    server_type = TlsServer
    test_ping = test_settings = None  # these look at the socket without reading, which TLS does not have


class Idle(test_wire_attacks.Idle):
    server_type = TlsServer
    limit_kib = 50


def load_tests(loader, tests, pattern):
    """Only what is named here: the modules that were imported run their own."""
    return unittest.TestSuite(
        loader.loadTestsFromTestCase(case) for case in (Calls, Health, Drain, Readers, Floods, Idle, Handshakes)
    )


class Handshakes(Case):
    """What comes in instead of a good handshake costs nobody anything."""

    server_type = TlsServer
    options = {"handshake_ms": 300}

    def plain(self):
        connection = socket.create_connection(("127.0.0.1", self.server.port), CALL_DEADLINE)
        self.addCleanup(connection.close)
        return connection

    def assert_closed(self, connection):
        try:
            while connection.recv(65536):
                pass
        except ConnectionResetError:
            pass
        except ssl.SSLError as error:
            self.assertNotIsInstance(error, ssl.SSLWantReadError)

    def test_plain_http2(self):
        connection = self.plain()
        connection.sendall(PREFACE + frame(SETTINGS))
        self.assert_closed(connection)
        self.assert_served()

    def test_half_handshake(self):
        """A client that says hello and no more, another that says nothing: both are closed in time."""
        silent = self.plain()
        half = self.plain()
        context = self.server.context()
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
        with self.assertRaises(ssl.SSLWantReadError):
            tls.do_handshake()
        half.sendall(outgoing.read())
        self.assert_closed(half)
        self.assert_closed(silent)
        self.assert_served()

    def handshake(self, context):
        connection = context.wrap_socket(self.plain(), server_hostname="localhost")
        self.addCleanup(connection.close)
        return connection

    def test_no_alpn(self):
        context = ssl.create_default_context(cafile=os.path.join(self.server.dir.name, "tls/ca.pem"))
        connection = self.handshake(context)
        self.assertIsNone(connection.selected_alpn_protocol())
        try:
            connection.sendall(PREFACE + frame(SETTINGS))
        except OSError:
            pass
        self.assert_closed(connection)
        self.assert_served()

    def test_other_alpn(self):
        context = ssl.create_default_context(cafile=os.path.join(self.server.dir.name, "tls/ca.pem"))
        context.set_alpn_protocols(["http/1.1"])
        with self.assertRaises((ssl.SSLError, ConnectionResetError)):
            self.handshake(context)
        self.assert_served()

    def test_old_tls(self):
        context = self.server.context()
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
        context.set_ciphers("ALL:@SECLEVEL=0")
        with self.assertRaises((ssl.SSLError, ConnectionResetError)) as caught:
            self.handshake(context)
        self.assertRegex(str(caught.exception), "(?i)version|reset")
        self.assert_served()

    def test_tls_1_2(self):
        context = self.server.context()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        connection = self.handshake(context)
        self.assertEqual((connection.version(), connection.selected_alpn_protocol()), ("TLSv1.2", "h2"))
        self.assertIsNone(connection.compression())

    def test_no_resumption(self):
        """What a pin or certificate has said is looked at again on each connection."""
        context = self.server.context()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        first = self.handshake(context)
        again = context.wrap_socket(self.plain(), server_hostname="localhost", session=first.session)
        self.addCleanup(again.close)
        self.assertFalse(again.session_reused)

    def test_garbage(self):
        for data in (b"\0" * 100, b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\xff\xff" + b"\1" * 70000):
            connection = self.plain()
            try:
                connection.sendall(data)
            except OSError:
                pass
            self.assert_closed(connection)
        self.assert_served()
