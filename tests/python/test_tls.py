# SPDX-License-Identifier: Apache-2.0
"""The network: the daemon under TLS, by pwemu and by stock clients, with tokens, with certificates, and those who have neither."""

import hashlib
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import grpc  # noqa: E402
from pwemu_fixture import (  # noqa: E402
    BOARD, BUILD, CALL_DEADLINE, PATH, PWEMU, PWEMUD, ROOT, Case, channels_pb2, channels_pb2_grpc, common_pb2, daemon_pb2, daemon_pb2_grpc,
    firmware, instances_pb2, instances_pb2_grpc, sequence, wait_for,
)  # fmt: skip

Code = grpc.StatusCode
MIB = 1 << 20
SERVER_NAME = ("grpc.ssl_target_name_override", "localhost")


def openssl(*arguments, text=None):
    subprocess.run(["openssl", *arguments], input=text, check=True, capture_output=True, text=True, timeout=CALL_DEADLINE)


class Network(Case):
    listen = ["tcp://127.0.0.1:0"]
    settings = {}

    def start_daemon(self, **options):
        self.write_settings(self.settings)
        arguments = [word for address in self.listen for word in ("--listen", address)]
        options.setdefault("arguments", arguments)
        super().start_daemon(**options)
        if options.get("wait", True):
            self.info = self.control.Info(daemon_pb2.InfoRequest(), timeout=CALL_DEADLINE)
            self.port = int(self.info.listen[0].rpartition(":")[2])
        return self.daemon

    def write_settings(self, settings):
        directory = os.path.join(self.dir, "config/pwemu")
        os.makedirs(directory, exist_ok=True)
        with open(os.path.join(directory, "pwemud.json"), "w", encoding="utf-8") as file:
            json.dump({key: value.replace("@", self.dir) for key, value in settings.items()}, file)

    # ---------------------------------------------------------------- the command line, of somebody on another machine

    def client_environment(self, **more):
        home = os.path.join(self.dir, "client")
        os.makedirs(home, exist_ok=True)
        environment = {"HOME": home, "PATH": os.path.join(BUILD, "bin") + ":" + PATH, "PWEMU_TEST_DIR": self.dir, "LANG": "C.UTF-8"}
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS"):
            if name in os.environ:
                environment[name] = os.environ[name]
        return {**environment, **more}

    def run_pwemu(self, *arguments, input=None, **environment):
        return subprocess.run(
            [PWEMU, *arguments], input=input, stdin=subprocess.DEVNULL if input is None else None, capture_output=True, cwd=self.dir,
            env=self.client_environment(**environment), timeout=CALL_DEADLINE, check=False,
        )  # fmt: skip

    def pwemu(self, *arguments, code=0, **options):
        result = self.run_pwemu(*arguments, **options)
        self.assertEqual(result.returncode, code, (arguments, result.stdout[-2000:], result.stderr))
        return result.stdout

    def refused(self, *arguments, **options):
        result = self.run_pwemu(*arguments, **options)
        self.assertEqual(result.returncode, 1, (arguments, result.stdout[-2000:], result.stderr))
        return result.stderr.decode()

    def add_token(self, *arguments):
        """The line that is to be run on the client."""
        return self.pwemu("-H", self.daemon.socket, "token", "add", *arguments).decode()

    def url(self, *arguments):
        return re.search(r"'(tcp://.*)'", self.add_token(*arguments))[1]

    def enter(self):
        """As the set-up is documented: what one side prints is run on the other."""
        line = self.add_token()
        subprocess.run(["sh", "-c", line.replace("context add ", "context add lab-")], env=self.client_environment(), check=True, capture_output=True)
        self.context = "lab-" + line.split()[3]
        self.pwemu("context", "use", self.context)

    # ---------------------------------------------------------------- a stock client

    def secret(self, **fields):
        return self.control.AddToken(daemon_pb2.AddTokenRequest(**fields), timeout=CALL_DEADLINE)

    def ca(self):
        with open(os.path.join(self.daemon.state_dir, "tls/ca.pem"), "rb") as file:
            return file.read()

    def tls_channel(self, token=None, ca=None, key=None, cert=None, name="127.0.0.1", options=()):
        credentials = grpc.ssl_channel_credentials(ca or self.ca(), key, cert)
        if token:
            credentials = grpc.composite_channel_credentials(credentials, grpc.access_token_call_credentials(token))
        channel = grpc.secure_channel(f"{name}:{self.port}", credentials, options=[("grpc.use_local_subchannel_pool", 1), *options])
        self.daemon.channels.append(channel)
        return channel

    def ask(self, channel, **options):
        return daemon_pb2_grpc.DaemonStub(channel).Info(daemon_pb2.InfoRequest(), timeout=CALL_DEADLINE, **options)

    def assert_refused(self, channel, reason, text, **options):
        with self.assertRaises(grpc.RpcError) as caught:
            self.ask(channel, **options)
        self.assertEqual(caught.exception.code(), Code.UNAUTHENTICATED, caught.exception)
        self.assertEqual(dict(caught.exception.trailing_metadata()).get("pwemu-reason"), reason)
        self.assertRegex(caught.exception.details(), text)
        self.assertIn("pwemu token add", caught.exception.details())


class CommandLine(Network):
    """pwemu itself, over the network."""

    def setUp(self):
        super().setUp()
        self.enter()

    def test_whole_life(self):
        self.pwemu("start", BOARD, "-f", firmware("echo.elf"))
        self.pwemu("wait", "--expect", "ready", "--timeout", "20s")
        self.pwemu("send", "-l", "hello there", "--expect", "hello there", "--timeout", "20s")
        status = json.loads(self.pwemu("status", "-o", "json"))
        self.assertEqual((status["name"], status["state"]), ("default", "running"))
        self.assertIn(b"hello there", self.pwemu("logs"))
        self.assertEqual(len(self.pwemu("ls").splitlines()), 2)
        self.pwemu("stop")
        self.assertEqual(json.loads(self.pwemu("status", "-o", "json", code=3))["state"], "ended")
        self.assertEqual(self.get().state, instances_pb2.STATE_ENDED)

    def test_a_port_of_the_daemon_s_choice_stays(self):
        """Contexts have it: a restart from afar comes back to where they point."""
        for _ in range(2):
            self.pwemu("daemon", "restart")
            self.assertEqual(json.loads(self.pwemu("daemon", "info", "-o", "json"))["listen"], [f"tcp://127.0.0.1:{self.port}"])

    def test_exit_code(self):
        result = self.run_pwemu("run", BOARD, firmware("demo.elf"), "--semihosting")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn(b"Firmware done", result.stdout)
        self.assertIn(b"passed", result.stderr)

    def test_megabytes_out(self):
        """Every byte of a long log, in order, while others are served."""
        want = 8 * MIB
        self.start_fake(f"output=burst:{want}", "long")
        follower = subprocess.Popen([PWEMU, "-i", "long", "logs", "-f"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                    stdin=subprocess.DEVNULL, env=self.client_environment())  # fmt: skip
        got = bytearray()
        while len(got) < want:
            piece = os.read(follower.stdout.fileno(), 65536)
            self.assertNotEqual(piece, b"", "the stream ended")
            got += piece
        follower.kill()
        follower.wait()
        follower.stdout.close()
        self.assertEqual(bytes(got), sequence(0, len(got)))

    def test_megabytes_both_ways(self):
        """What goes in comes out again, and neither waits for the other."""
        self.start_fake("output=echo", "echo")
        data = sequence(0, 2 * MIB)
        pipe = subprocess.Popen([PWEMU, "-q", "-i", "echo", "pipe", "serial0"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                env=self.client_environment())  # fmt: skip
        for clean_up in (pipe.stdout.close, pipe.wait, pipe.kill):
            self.addCleanup(clean_up)

        def feed():
            pipe.stdin.write(data)
            pipe.stdin.close()

        thread = threading.Thread(target=feed)
        thread.start()
        got = bytearray()
        while len(got) < len(data):
            piece = os.read(pipe.stdout.fileno(), 65536)
            self.assertNotEqual(piece, b"", "the stream ended")
            got += piece
        thread.join(CALL_DEADLINE)
        self.assertEqual(bytes(got), data)

    def test_term(self):
        """Without a terminal, term is a pipe both ways; it goes on while nobody speaks."""
        self.pwemu("start", BOARD, "-f", firmware("echo.elf"))
        term = subprocess.Popen([PWEMU, "term"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                env=self.client_environment())  # fmt: skip
        self.addCleanup(term.stdout.close)
        self.addCleanup(term.wait)
        self.addCleanup(term.kill)
        got = b""
        for number in range(20):
            term.stdin.write(b"word%d\r" % number)
            term.stdin.flush()
            while b"word%d" % number not in got:
                piece = os.read(term.stdout.fileno(), 65536)
                self.assertNotEqual(piece, b"")
                got += piece
        term.stdin.close()

    def test_gdb(self):
        """gdb runs pwemu again; the token is in no arguments."""
        self.pwemu("start", BOARD, "-f", firmware("echo.elf"))
        out = self.pwemu("gdb-cmds", "-e", firmware("echo.elf"), "info registers pc", "shell cat /proc/*/cmdline | tr '\\0' ' '")
        self.assertIn(b"pc ", out)
        self.assertIn(b"pipe gdb", out)
        self.assertNotIn(b"token=", out)
        self.assertNotIn(self.token_secret().encode(), out)

    def token_secret(self):
        with open(os.path.join(self.dir, "client/.config/pwemu/contexts.json"), encoding="utf-8") as file:
            return re.search(r"token=([^\"&]*)", file.read())[1]

    def test_token_is_nowhere(self):
        secret = self.token_secret()
        self.pwemu("-v", "ls")
        for shown in (self.pwemu("context", "ls"), self.pwemu("context", "ls", "-o", "json"), self.daemon.log_text().encode()):
            self.assertNotIn(secret.encode(), shown)
        self.assertIn("token=…", self.pwemu("context", "ls").decode())
        mode = os.stat(os.path.join(self.dir, "client/.config/pwemu/contexts.json")).st_mode
        self.assertEqual(mode & 0o777, 0o600)
        with open(os.path.join(self.daemon.state_dir, "tokens"), encoding="utf-8") as file:
            kept = file.read()
        self.assertNotIn(secret, kept)
        self.assertNotIn(secret.partition(".")[2], kept)
        self.assertEqual(os.stat(os.path.join(self.daemon.state_dir, "tokens")).st_mode & 0o777, 0o600)

    def test_arguments_are_hidden(self):
        """The address of -H is in our arguments, where others look; not for long."""
        self.pwemu("start", BOARD, "-f", firmware("echo.elf"))
        url = self.url()
        follower = subprocess.Popen([PWEMU, "-H", url, "logs", "-f"], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL,
                                    env=self.client_environment())  # fmt: skip
        self.addCleanup(follower.stdout.close)
        self.addCleanup(follower.wait)
        self.addCleanup(follower.kill)
        os.read(follower.stdout.fileno(), 100)
        with open(f"/proc/{follower.pid}/cmdline", "rb") as file:
            self.assertNotIn(url.rpartition("=")[2].encode(), file.read())

    def test_precedence(self):
        """-H, --context, PWEMU_HOST, PWEMU_CONTEXT, the current context, the daemon here; of what was named none is started."""
        nowhere = f"unix:{self.dir}/nowhere.sock"
        here = f"unix:{self.daemon.socket}"
        self.pwemu("context", "add", "nowhere", nowhere)
        self.assertIn("nowhere.sock", self.refused("-H", nowhere, "--context", self.context, "ls", PWEMU_HOST=here))
        self.assertIn("nowhere.sock", self.refused("--context", "nowhere", "ls", PWEMU_HOST=here, PWEMU_CONTEXT=self.context))
        self.assertIn("nowhere.sock", self.refused("ls", PWEMU_HOST=nowhere, PWEMU_CONTEXT=self.context))
        self.assertIn("nowhere.sock", self.refused("ls", PWEMU_CONTEXT="nowhere"))
        self.pwemu("ls", PWEMU_HOST=here, PWEMU_CONTEXT="nowhere")
        self.assertIn(f"{self.port}".encode(), self.pwemu("daemon", "info"))
        self.assertIn("there is no context 'nowhre' (did you mean \"nowhere\"?)", self.refused("--context", "nowhre", "ls"))
        self.pwemu("context", "use", "nowhere")
        self.assertIn("nowhere.sock", self.refused("ls"))
        self.assertFalse(os.path.exists(os.path.join(self.dir, "client/.local/state/pwemu")), "a daemon was started")

    def test_contexts(self):
        self.pwemu("context", "add", "other", f"unix:{self.daemon.socket}")
        self.pwemu("context", "add", "again", "-", input=self.url().encode())
        rows = json.loads(self.pwemu("context", "ls", "-o", "json"))
        self.assertEqual({row["name"]: row["current"] for row in rows}, {self.context: True, "other": False, "again": False})
        self.pwemu("context", "rm", self.context, "other")
        rows = json.loads(self.pwemu("context", "ls", "-o", "json"))
        self.assertEqual([(row["name"], row["current"]) for row in rows], [("again", False)])
        self.assertIn("cannot be called", self.refused("context", "add", "default", "unix:/x"))
        self.assertIn("is no name", self.refused("context", "add", "a b", "unix:/x"))
        os.chmod(os.path.join(self.dir, "client/.config/pwemu/contexts.json"), 0o644)
        self.assertIn("chmod 600", self.refused("context", "ls"))

    def test_ca_for_others(self):
        self.assertEqual(self.pwemu("context", "ca"), self.ca())


class Refusals(Network):
    """Each tells host, port, reason, and what to do."""

    def with_url(self, old, new):
        url = self.url()
        self.assertIn(old, url)
        return url.replace(old, new)

    def test_unreachable(self):
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            port = unused.getsockname()[1]
            text = self.refused("-H", f"tcp://127.0.0.1:{port}?token=x", "ls")
        self.assertRegex(text, f"127.0.0.1 port {port}: Connection refused; is pwemud started there with --listen")
        self.assertRegex(self.refused("-H", "tcp://no-such-host.invalid:7777", "ls"), 'host "no-such-host.invalid" is not found')

    def test_another_ca(self):
        """A server in between, with a CA of its own."""
        url = self.url()
        pin = re.search(r"ca=([^&]*)", url)[1]
        wrong = url.replace(pin, ("A" if pin[0] != "A" else "B") + pin[1:])
        text = self.refused("context", "add", "lab", wrong)
        self.assertRegex(text, f"127.0.0.1 port {self.port}: the server's CA is not the one pinned in context lab; if it was renewed on purpose")
        self.pwemu("context", "add", "--no-check", "lab", wrong)
        self.assertIn("not the one pinned in context lab", self.refused("--context", "lab", "ls"))

    def test_not_pinned(self):
        """Without a pin the public CAs are believed, which do not know us; with cafile the name has to fit."""
        token = self.secret().secret
        base = f"tcp://127.0.0.1:{self.port}?token={token}"
        self.assertRegex(self.refused("-H", base, "ls"), "not from the CA expected.*add ca=PIN")
        ca = os.path.join(self.daemon.state_dir, "tls/ca.pem")
        self.pwemu("-H", f"{base}&cafile={ca}", "ls")
        self.assertIn("another host name", self.refused("-H", f"{base}&cafile={ca}&tls-server-name=elsewhere", "ls"))

    def test_server_name(self):
        """A pinned CA of a daemon's own is enough for an address; a name has to be in the certificate."""
        url = self.url()
        self.pwemu("-H", url, "ls")
        self.assertIn("another host name", self.refused("-H", url + "&tls-server-name=elsewhere.example", "ls"))
        self.pwemu("-H", url.replace("127.0.0.1", "localhost"), "ls")

    def test_not_tls(self):
        """Something else listens there, and something that says nothing."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]

            def answer():
                connection, _ = server.accept()
                connection.recv(1000)
                connection.sendall(b"SSH-2.0-nothing\r\n")
                connection.close()

            thread = threading.Thread(target=answer)
            thread.start()
            text = self.refused("-H", f"tcp://127.0.0.1:{port}?token=x", "ls")
            thread.join()
        self.assertRegex(text, f"127.0.0.1 port {port}: the TLS handshake failed: wrong version number")

    def test_tokens(self):
        self.assertIn("not one of this daemon", self.refused("-H", self.with_url("token=", "token=0"), "ls"))
        url = self.url()
        self.assertIn("must tell who it is", self.refused("-H", url[: url.index("&token")], "ls"))

    def test_urls(self):
        for url, text in (
            ("tcp://127.0.0.1", "no HOST:PORT"),
            ("tcp://[::1:7777", "no HOST:PORT"),
            ("tcp://127.0.0.1:99999", "no HOST:PORT"),
            ("tcp://127.0.0.1:7777?tls=off", "it is always TLS"),
            ("tcp://127.0.0.1:7777?tokn=x", 'did you mean "token"'),
            ("tcp://127.0.0.1:7777?ca=short", "43 characters"),
            ("http://127.0.0.1:7777", "write unix:"),
        ):
            self.assertIn(text, self.refused("-H", url, "ls"))


class Stock(Network):
    """grpcio with nothing but metadata."""

    listen = ["tcp://127.0.0.1:0", "tcp://[::1]:0"]

    def test_both_addresses(self):
        reply = self.secret(note="both")
        self.assertEqual(list(reply.listen), list(self.info.listen))
        self.assertTrue(reply.url.startswith(f"tcp://127.0.0.1:{self.port}?ca={self.info.ca_pin}&token="))
        self.assertEqual(self.ask(self.tls_channel(reply.secret)).pid, self.daemon.pid)
        self.port = int(self.info.listen[1].rpartition(":")[2])
        self.assertEqual(self.ask(self.tls_channel(reply.secret, name="[::1]")).pid, self.daemon.pid)
        self.assertIn(self.info.listen[1], self.daemon.log_text())

    def test_refused(self):
        self.assert_refused(self.tls_channel(), "no-token", "must tell who it is")
        good = self.secret().secret
        wrong = good[:-1] + ("A" if good[-1] != "A" else "B")
        self.assert_refused(self.tls_channel(wrong), "bad-token", "not one of this daemon")
        self.assert_refused(self.tls_channel(), "no-token", "must tell", metadata=[("authorization", "Basic " + good)])
        self.ask(self.tls_channel(), metadata=[("authorization", "bearer " + good)])
        log = self.daemon.log_text()
        self.assertRegex(log, r"127\.0\.0\.1:\d+ was sent away")
        self.assertNotIn(wrong, log)
        self.assertNotIn(good, log)

    def test_reflection_and_health_too(self):
        call = self.tls_channel().unary_unary("/grpc.health.v1.Health/Check", request_serializer=bytes, response_deserializer=bytes)
        with self.assertRaises(grpc.RpcError) as caught:
            call(b"", timeout=CALL_DEADLINE)
        self.assertEqual(caught.exception.code(), Code.UNAUTHENTICATED)

    def test_two_tokens_on_one_connection(self):
        """Each call tells who it is; the tokens of a connection are few."""
        channel = self.tls_channel()
        tokens = [self.secret().secret for _ in range(3)]
        for token in tokens * 3:
            self.ask(channel, metadata=[("authorization", "Bearer " + token)])
        self.assert_refused(channel, "bad-token", "not one", metadata=[("authorization", "Bearer 00000000." + "x" * 43)])
        self.ask(channel, metadata=[("authorization", "Bearer " + tokens[0])])

    def test_guesses(self):
        """They are slowed down and do not fill the log; who has a token is not disturbed, from the same address either."""
        good = self.tls_channel(self.secret().secret)
        before = len(self.daemon.log_text())
        for number in range(60):
            channel = self.tls_channel("%08x." % number + "y" * 43)
            with self.assertRaises(grpc.RpcError):
                self.ask(channel)
            channel.close()
        self.assertLess(self.daemon.log_text()[before:].count("was sent away"), 15)
        self.ask(good)
        self.ask(self.tls_channel(self.secret().secret))

    def test_revoked(self):
        """The streams of a token end with it, those of others do not."""
        self.start("echo.elf")
        first, second = self.secret(), self.secret()
        watches = []
        for reply in (first, second):
            stub = instances_pb2_grpc.InstancesStub(self.tls_channel(reply.secret))
            watch = stub.Watch(instances_pb2.WatchRequest(instance=self.ref(), snapshots=True))
            next(iter(watch))
            watches.append(watch)
        self.pwemu("-H", self.daemon.socket, "token", "rm", first.token.id)
        with self.assertRaises(grpc.RpcError) as caught:
            for _ in watches[0]:
                pass
        self.assertEqual(caught.exception.code(), Code.UNAVAILABLE)
        self.assert_refused(self.tls_channel(first.secret), "bad-token", "not one")
        self.stop()
        for _ in watches[1]:
            pass
        self.assertEqual([row.id for row in self.control.ListTokens(daemon_pb2.ListTokensRequest(), timeout=CALL_DEADLINE).tokens], [second.token.id])

    def test_expired(self):
        reply = self.secret(ttl_ms=1500, note="short")
        channel = self.tls_channel(reply.secret)
        self.start("echo.elf")
        watch = instances_pb2_grpc.InstancesStub(channel).Watch(instances_pb2.WatchRequest(instance=self.ref(), snapshots=True))
        with self.assertRaises(grpc.RpcError) as caught:
            for _ in watch:
                pass
        self.assertEqual(caught.exception.code(), Code.UNAVAILABLE)
        self.assertGreaterEqual(time.time(), reply.token.expires_s)
        self.assert_refused(self.tls_channel(reply.secret), "bad-token", f"token {reply.token.id} has expired")

    def test_a_token_makes_no_tokens(self):
        stub = daemon_pb2_grpc.DaemonStub(self.tls_channel(self.secret().secret))
        with self.assertRaises(grpc.RpcError) as caught:
            stub.AddToken(daemon_pb2.AddTokenRequest(), timeout=CALL_DEADLINE)
        self.assertEqual(caught.exception.code(), Code.PERMISSION_DENIED)
        self.assertEqual(len(stub.ListTokens(daemon_pb2.ListTokensRequest(), timeout=CALL_DEADLINE).tokens), 1)

    def test_tokens_stay(self):
        """Over a restart; a file that somebody has spoilt is an error at start, not a daemon that lets nobody in."""
        token = self.secret(note="for\xa0ci").secret
        self.restart_daemon()
        self.assertEqual(self.ask(self.tls_channel(token)).pid, self.daemon.pid)
        with open(os.path.join(self.daemon.state_dir, "tokens"), "a", encoding="ascii") as file:
            file.write("what is this\n")
        self.daemon.kill()
        result = subprocess.run([PWEMUD, "--foreground", "--socket", self.daemon.socket, "--state-dir", self.daemon.state_dir],
                                capture_output=True, text=True, timeout=CALL_DEADLINE, check=False)  # fmt: skip
        self.assertEqual(result.returncode, 1)
        self.assertRegex(result.stderr, r"tokens:3: no token can be read; remove the line")

    def test_bad_requests(self):
        for fields, text in (({"user": "no\tsuch"}, "no user"), ({"user": "nobody-else"}, "serves user"), ({"note": "a\nb"}, "control"),
                             ({"note": "x" * 200}, "longer"), ({"ttl_ms": 1 << 60}, "so long")):  # fmt: skip
            with self.assertRaises(grpc.RpcError) as caught:
                self.secret(**fields)
            self.assertIn(text, caught.exception.details())

    def test_big_stream(self):
        """A guest's output, followed by offset."""
        self.start_fake(f"output=burst:{8 * MIB}")
        stub = channels_pb2_grpc.ChannelsStub(self.tls_channel(self.secret().secret))
        call = stub.Read(channels_pb2.ReadRequest(instance=self.ref(), follow=True, **{"from": common_pb2.Position(offset=0)}))
        got = bytearray()
        for reply in call:
            if reply.HasField("data"):
                self.assertEqual(reply.data.offset, len(got))
                got += reply.data.bytes
            if len(got) >= 8 * MIB:
                break
        call.cancel()
        self.assertEqual(bytes(got), sequence(0, len(got)))


def node_modules():
    """Where @grpc/grpc-js is, got from npm if need be; or why it is not."""
    place = os.path.join(ROOT, "build/npm")
    modules = os.path.join(place, "node_modules")
    packages = ["@grpc/grpc-js@1", "@grpc/proto-loader@0"]
    if not shutil.which("node") or not shutil.which("npm"):
        return None, "node and npm are not installed"
    if not os.path.exists(os.path.join(modules, "@grpc/proto-loader")):
        os.makedirs(place, exist_ok=True)
        command = ["npm", "install", "--prefix", place, "--no-audit", "--no-fund", "--fetch-retries=1", "--fetch-timeout=20000", *packages]
        try:
            result = subprocess.run(command, cwd=place, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False)
        except subprocess.TimeoutExpired:
            return None, "npm takes too long"
        if result.returncode != 0:
            return None, "npm: " + " ".join(result.stderr.split())[:200]
    return modules, None


class Node(Network):
    def test_grpc_js(self):
        """Another stock client, of another maker."""
        modules, trouble = node_modules()
        if trouble:
            self.skipTest("optional: grpc-js: " + trouble)
        self.start_fake(f"output=burst:{8 * MIB}", "long")
        self.start_fake("output=echo", "echo")
        ca = os.path.join(self.daemon.state_dir, "tls/ca.pem")
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "network_client.js")
        arguments = [os.path.join(ROOT, "proto"), f"localhost:{self.port}", ca, self.secret().secret, "long", "echo"]
        result = subprocess.run(["node", script, *arguments], env={"NODE_PATH": modules, "PATH": PATH}, stdin=subprocess.DEVNULL,
                                capture_output=True, text=True, timeout=2 * CALL_DEADLINE, check=False)  # fmt: skip
        self.assertEqual(result.returncode, 0, result.stderr)
        told = json.loads(result.stdout)
        self.assertEqual(told["pid"], self.daemon.pid)
        self.assertEqual(told["wrong"], {"code": Code.UNAUTHENTICATED.value[0], "reason": "bad-token"})
        self.assertGreaterEqual(told["read"]["got"], 4 * MIB)
        self.assertEqual(told["read"]["sha256"], hashlib.sha256(sequence(0, told["read"]["got"])).hexdigest())
        self.assertTrue(told["echoed"])


class Certificates(Network):
    """Configured ones, and clients that show theirs."""

    settings = {"tls-client-ca": "@/client-ca.pem", "tls-users": "someone else=%s wrong=nobody-at-all" % os.environ.get("USER", "root")}

    def setUp(self):
        self.names = iter(range(100))
        super().setUp()

    def start_daemon(self, **options):
        if not os.path.exists(self.path("client-ca.pem")):
            self.make_ca("client-ca")
        return super().start_daemon(**options)

    def path(self, name):
        return os.path.join(self.dir, name)

    def make_ca(self, name):
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", f"/CN={name}",
                "-keyout", self.path(name + ".key"), "-out", self.path(name + ".pem"))  # fmt: skip

    def make_certificate(self, ca, common_name, days=2, names="DNS:localhost,IP:127.0.0.1"):
        """(key file, certificate file)"""
        base = self.path(f"cert{next(self.names)}")
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={common_name}",
                "-keyout", base + ".key", "-out", base + ".csr")  # fmt: skip
        with open(base + ".ext", "w", encoding="ascii") as file:
            file.write(f"subjectAltName={names}\n")
        openssl("x509", "-req", "-in", base + ".csr", "-CA", ca + ".pem", "-CAkey", ca + ".key", "-days", str(days), "-CAcreateserial",
                "-extfile", base + ".ext", "-out", base + ".pem")  # fmt: skip
        return base + ".key", base + ".pem"

    def channel_of(self, common_name, ca="client-ca"):
        key, cert = (open(path, "rb").read() for path in self.make_certificate(self.path(ca), common_name))
        return self.tls_channel(key=key, cert=cert)

    @property
    def user(self):
        return self.secret().token.user

    def test_common_name(self):
        self.assertEqual(self.ask(self.channel_of(self.user)).pid, self.daemon.pid)
        self.write_settings({**self.settings, "tls-users": f"someone else={self.user} laptop={self.user} wrong=nobody-at-all"})
        self.control.Reload(daemon_pb2.ReloadRequest(), timeout=CALL_DEADLINE)
        self.assertEqual(self.ask(self.channel_of("laptop")).pid, self.daemon.pid)
        for name in ("wrong", "nobody-here"):
            with self.assertRaises(grpc.RpcError) as caught:
                self.ask(self.channel_of(name))
            self.assertEqual(caught.exception.code(), Code.UNAUTHENTICATED)
            self.assertIn("serves user", caught.exception.details())

    def test_stranger(self):
        """A certificate of another CA ends the handshake."""
        self.make_ca("other-ca")
        with self.assertRaises(grpc.RpcError) as caught:
            self.ask(self.channel_of(self.user, "other-ca"))
        self.assertEqual(caught.exception.code(), Code.UNAVAILABLE)
        self.ask(self.tls_channel(self.secret().secret))

    def test_command_line(self):
        key, cert = self.make_certificate(self.path("client-ca"), self.user)
        url = f"tcp://127.0.0.1:{self.port}?ca={self.info.ca_pin}&cert={cert}&key={key}"
        self.pwemu("context", "add", "lab", url)
        self.pwemu("context", "use", "lab")
        self.pwemu("start", BOARD, "-f", firmware("echo.elf"))
        self.pwemu("send", "-l", "hello", "--expect", "hello", "--timeout", "20s")
        self.pwemu("stop")

    def test_configured(self):
        """A certificate of the site's own, replaced while a stream runs on."""
        self.make_ca("site-ca")
        key, cert = self.make_certificate(self.path("site-ca"), "server")
        token = self.secret().secret
        self.write_settings({"tls-cert": cert, "tls-key": key})
        self.assertEqual(list(self.control.Reload(daemon_pb2.ReloadRequest(), timeout=CALL_DEADLINE).errors), [])
        with open(self.path("site-ca.pem"), "rb") as file:
            site = file.read()
        self.start("echo.elf")
        old = self.tls_channel(token, ca=site)
        watch = instances_pb2_grpc.InstancesStub(old).Watch(instances_pb2.WatchRequest(instance=self.ref(), snapshots=True))
        next(iter(watch))
        first = self.shown()
        again = self.make_certificate(self.path("site-ca"), "server")
        os.replace(again[0], key)
        os.replace(again[1], cert)
        self.daemon.process.send_signal(signal.SIGHUP)
        wait_for(lambda: self.shown() != first, "the new certificate")
        self.ask(self.tls_channel(token, ca=site))
        self.stop()
        for _ in watch:  # the old connection goes on to its end
            pass
        os.truncate(cert, 10)
        errors = self.control.Reload(daemon_pb2.ReloadRequest(), timeout=CALL_DEADLINE).errors
        self.assertRegex(errors[0], "the certificates stay as they were: read the certificate")
        self.ask(self.tls_channel(token, ca=site))

    def shown(self):
        return ssl.get_server_certificate(("127.0.0.1", self.port))

    def test_renewed(self):
        """Our own that is about to end is made again, by the same CA, so that pins stay good."""
        url = self.url()
        state = os.path.join(self.daemon.state_dir, "tls")
        key, cert = self.short_lived(state)
        os.replace(key, os.path.join(state, "server.key"))
        os.replace(cert, os.path.join(state, "server.pem"))
        before = open(os.path.join(state, "server.pem"), encoding="ascii").read()
        pin = self.info.ca_pin
        self.restart_daemon()
        self.assertNotEqual(open(os.path.join(state, "server.pem"), encoding="ascii").read(), before)
        self.assertEqual(self.info.ca_pin, pin)
        self.assertIn("made a new certificate", self.daemon.log_text())
        self.pwemu("-H", re.sub(r":\d+\?", f":{self.port}?", url), "ls")

    def short_lived(self, state):
        os.symlink(os.path.join(state, "ca.pem"), self.path("own.pem"))
        os.symlink(os.path.join(state, "ca.key"), self.path("own.key"))
        return self.make_certificate(self.path("own"), "pwemud", days=5)

    def test_kept(self):
        before = self.shown()
        self.restart_daemon()
        self.assertEqual(self.shown(), before)
        for name in ("ca.key", "server.key"):
            self.assertEqual(os.stat(os.path.join(self.daemon.state_dir, "tls", name)).st_mode & 0o777, 0o600)


class Starts(Case):
    """What is refused at start, with its reason."""

    def start_daemon(self, **options):
        os.makedirs(os.path.join(self.dir, "state"), exist_ok=True)

    def refuse(self, *arguments, settings=None, program=PWEMUD):
        config = os.path.join(self.dir, "pwemud.json")
        with open(config, "w", encoding="utf-8") as file:
            json.dump(settings or {}, file)
        result = subprocess.run([program, "--foreground", "--socket", os.path.join(self.dir, "s"), "--state-dir", os.path.join(self.dir, "state"),
                                 "--config", config, *arguments], capture_output=True, text=True, timeout=CALL_DEADLINE, check=False)  # fmt: skip
        self.assertEqual(result.returncode, 1, result.stderr)
        self.assertFalse(os.path.exists(os.path.join(self.dir, "s")))
        return result.stderr

    def test_plain_tcp(self):
        text = self.refuse("--listen", "tcp://127.0.0.1:0?tls=off")
        self.assertRegex(text, "plain TCP is not served, since everybody on the way could read along")
        self.assertRegex(self.refuse(settings={"listen": "tcp://127.0.0.1:0?tls=off"}), "plain TCP is not served")

    def test_addresses(self):
        for address, text in (("127.0.0.1:0", "write tcp://HOST:PORT"), ("tcp://127.0.0.1", "no HOST:PORT"), ("tcp://127.0.0.1:0/x", "nothing may follow"),
                              ("tcp://no-such-host.invalid:0", "is not found"), ("tcp://192.0.2.1:0", "Cannot assign")):  # fmt: skip
            self.assertRegex(self.refuse("--listen", address), text)
        with socket.create_server(("127.0.0.1", 0)) as taken:
            self.assertRegex(self.refuse("--listen", f"tcp://127.0.0.1:{taken.getsockname()[1]}"), "listen on TCP port .*in use")

    def test_files(self):
        listen = "tcp://127.0.0.1:0"
        self.assertRegex(self.refuse("--listen", listen, settings={"tls-cert": "/nowhere.pem"}), "tls-cert and tls-key belong together")
        self.assertRegex(self.refuse("--listen", listen, settings={"tls-cert": "/nowhere.pem", "tls-key": "/nowhere.key"}), "certificate \"/nowhere.pem\": No such file")
        self.assertRegex(self.refuse("--listen", listen, settings={"tls-client-ca": "/nowhere.pem"}), "CA of clients \"/nowhere.pem\"")

    def test_no_module(self):
        """Without OpenSSL's module there is no network, and never a plain one; without an address nothing is missed."""
        prefix = os.path.join(self.dir, "prefix")
        os.makedirs(os.path.join(prefix, "bin"))
        program = os.path.join(prefix, "bin/pwemud")
        shutil.copy(PWEMUD, program)
        self.assertRegex(self.refuse("--listen", "tcp://127.0.0.1:0", program=program), 'need ".*/prefix/libexec/pwemu/pwemu-tls.so", which is not installed')
        os.makedirs(os.path.join(prefix, "libexec/pwemu"))
        with open(os.path.join(prefix, "libexec/pwemu/pwemu-tls.so"), "w", encoding="ascii") as file:
            file.write("no library")
        self.assertRegex(self.refuse("--listen", "tcp://127.0.0.1:0", program=program), "cannot be loaded: .*; install libssl3")


class Unloaded(Case):
    def test_nobody_loads_openssl(self):
        """A daemon and a client without network addresses never see it."""
        with open(f"/proc/{self.daemon.pid}/maps", encoding="ascii") as file:
            self.assertNotIn("libssl", file.read())
        result = subprocess.run([PWEMU, "-H", self.daemon.socket, "token", "add"], capture_output=True, text=True, check=False,
                                env={"HOME": self.dir, "PATH": PATH}, timeout=CALL_DEADLINE)  # fmt: skip
        self.assertEqual(result.returncode, 1)
        self.assertIn("does not serve the network; start it with `pwemud --listen", result.stderr)
