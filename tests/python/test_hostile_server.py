# SPDX-License-Identifier: Apache-2.0
"""A server that puts into every text what a terminal would obey, and each command of the client that shows something: none of it gets through."""

import concurrent.futures
import os
import pty
import re
import select
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import grpc  # noqa: E402
from google.protobuf.descriptor import FieldDescriptor  # noqa: E402
from pwemu_fixture import PWEMU, channels_pb2, daemon_pb2, instances_pb2, properties_pb2, targets_pb2  # noqa: E402

EVIL = "a\x1b]0;title\x07\x1b[31mred\x9b2J\x08\x7f\u202eback\r\n\u0085b"
MODULES = (instances_pb2, channels_pb2, properties_pb2, targets_pb2, daemon_pb2)
OWN_COLOURS = re.compile(rb"\x1b\[(0|1|2|31|32|33)m")  # as out.c has them
COMMANDS = ("ls", "ls -a", "ls -o json", "ls --all-users", "status -i x", "status -i x -o json", "events", "events -o json", "events -i x", "targets",
            "targets board", "targets -o json", "daemon info", "daemon info -o json", "prop-ls -i x /", "prop-get -i x p q", "prop-get -i x p q -o json",
            "start -i x board", "stop -i x", "restart -i x", "pause -i x", "reset -i x", "rm -i x", "who -i x", "config explain board --argv",
            "logs -i x --channel no", "wait -i x --state ended")  # fmt: skip


def fill(message, depth=0):
    """Every field of it; of a oneof the last one wins."""
    for field in message.DESCRIPTOR.fields:
        many = field.label == FieldDescriptor.LABEL_REPEATED
        if field.type == FieldDescriptor.TYPE_STRING:
            value = '"%s"' % EVIL.encode("unicode_escape").decode() if field.name == "json" and depth == 1 else EVIL
            if many:
                getattr(message, field.name).extend([value, value])
            else:
                setattr(message, field.name, value)
        elif field.type == FieldDescriptor.TYPE_MESSAGE and depth < 5:
            fill(getattr(message, field.name).add() if many else getattr(message, field.name), depth + 1)
            if not many:
                getattr(message, field.name).SetInParent()
        elif field.type == FieldDescriptor.TYPE_BOOL and not many:
            setattr(message, field.name, True)
        elif field.type == FieldDescriptor.TYPE_ENUM and not many:
            setattr(message, field.name, field.enum_type.values[-1].number)
        elif field.type in (FieldDescriptor.TYPE_UINT32, FieldDescriptor.TYPE_UINT64, FieldDescriptor.TYPE_INT32) and not many:
            setattr(message, field.name, 7)
    return message


class Server(grpc.GenericRpcHandler):
    """Answers everything, or fails with a message, as evil as the answers."""

    def __init__(self, fails):
        self.fails = fails
        self.methods = {}
        for module in MODULES:
            for service in module.DESCRIPTOR.services_by_name.values():
                for method in service.methods:
                    self.methods[f"/{service.full_name}/{method.name}"] = self.handler(method, module)

    def handler(self, method, module):
        reply = method.output_type._concrete_class

        def check(context):
            if self.fails and method.name != "Info":
                context.abort(grpc.StatusCode.FAILED_PRECONDITION, EVIL)

        def unary(_, context):
            check(context)
            return fill(reply())

        def stream(_, context):
            check(context)
            yield fill(reply())

        maker = grpc.stream_stream_rpc_method_handler if method.name == "Attach" else grpc.unary_stream_rpc_method_handler
        if method.name in ("Watch", "Read", "Attach"):
            return maker(stream, method.input_type._concrete_class.FromString, reply.SerializeToString)
        return grpc.unary_unary_rpc_method_handler(unary, method.input_type._concrete_class.FromString, reply.SerializeToString)

    def service(self, handler_call_details):
        return self.methods.get(handler_call_details.method)


def on_terminal(command, environment):
    """What it writes to a terminal, stdout and stderr."""
    master, slave = pty.openpty()
    process = subprocess.Popen([PWEMU, *command.split()], stdin=subprocess.DEVNULL, stdout=slave, stderr=slave, env=environment, cwd="/")
    os.close(slave)
    text = b""
    while select.select([master], [], [], 20)[0]:
        try:
            data = os.read(master, 65536)
        except OSError:  # the last one has closed it
            break
        if not data:
            break
        text += data
    process.kill()
    process.wait()
    os.close(master)
    return text.replace(b"\r\n", b"\n")  # the line discipline's


class Hostile(unittest.TestCase):
    def assert_harmless(self, command, text):
        self.assertNotEqual(text, b"", command)
        shown = OWN_COLOURS.sub(b"", text).decode("utf-8", errors="strict")
        bad = re.findall(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", shown)
        self.assertEqual(bad, [], f"{command}: {shown!r}")

    def run_all(self, fails):
        with tempfile.TemporaryDirectory(prefix="pwemu-hostile-") as directory:
            path = os.path.join(directory, "control.sock")
            server = grpc.server(concurrent.futures.ThreadPoolExecutor(8), handlers=[Server(fails)])
            server.add_insecure_port("unix:" + path)
            server.start()
            variables = dict(os.environ, PWEMU_HOST="unix:" + path, XDG_CONFIG_HOME=directory, TERM="xterm", TZ="UTC", HOME=directory)
            for command in COMMANDS:
                with self.subTest(command):
                    self.assert_harmless(command, on_terminal(command, variables))
            server.stop(0).wait()

    def test_answers(self):
        self.run_all(False)

    def test_errors(self):
        self.run_all(True)


if __name__ == "__main__":
    unittest.main()
