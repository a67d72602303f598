# SPDX-License-Identifier: Apache-2.0
"""Packets of the gdb protocol, and our own client of QEMU's stub. A byte sent to it while the guest runs would stop the guest."""
import select
import socket
import time


def checksum(data):
    return sum(data) & 0xff


def frame(data):
    return b"$" + data + b"#%02x" % checksum(data)


class Packets:
    """Splits what comes from one side: packets (bytes), b"\\x03" as None, and a broken one as False."""

    def __init__(self):
        self.buffer = b""

    def feed(self, data):
        self.buffer += data
        while self.buffer:
            first = self.buffer[:1]
            if first == b"\x03":
                self.buffer = self.buffer[1:]
                yield None
            elif first == b"$":
                end = self.buffer.find(b"#")
                if end < 0 or len(self.buffer) < end + 3:
                    return
                data, given = self.buffer[1:end], self.buffer[end + 1:end + 3]
                self.buffer = self.buffer[end + 3:]
                yield data if given.lower() == b"%02x" % checksum(data) else False
            else:
                self.buffer = self.buffer[1:]  # "+", "-", noise


class Stub:
    def __init__(self, address):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(address)
        self.packets = Packets()
        self.ready = []
        self.ask(b"qXfer:features:read:target.xml:0,ffb")  # before it, "P" does nothing

    def fileno(self):
        return self.socket.fileno()

    def send(self, data):
        self.socket.sendall(frame(data))

    def take(self):
        """What has come; acknowledgements are nothing."""
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionError("QEMU's stub has closed")
        self.ready += [packet for packet in self.packets.feed(data) if isinstance(packet, bytes)]

    def receive(self):
        while not self.ready:
            self.take()
        self.socket.sendall(b"+")
        return self.ready.pop(0)

    def has_packet(self, timeout=0):
        end = time.monotonic() + timeout
        while not self.ready and select.select([self.socket], [], [], max(0, end - time.monotonic()))[0]:
            self.take()
        return bool(self.ready)

    def ask(self, data):
        self.send(data)
        return self.receive()

    def close(self):
        self.socket.close()
