# SPDX-License-Identifier: Apache-2.0
"""The gdb server: one client at a time, on all addresses. Packets go on to QEMU's stub, save those that say how the CPU runs.

A connection holds the CPU, its end lets it go, "D" does nothing. Ctrl-C pauses the CPU for good: only `c` or `cpu Resume` undo it.
"""
import contextlib
import select
import socket
import threading

from renode_fake.console import Eater
from renode_fake.stub import Packets, Stub, frame
from renode_fake.terminals import listen

RELAYED = (b"g", b"G", b"p", b"P", b"m", b"M", b"Z", b"z", b"H", b"qC", b"qfThreadInfo", b"qsThreadInfo", b"qXfer:", b"T")
FEATURES = b"PacketSize=1024;qXfer:features:read+;swbreak+;hwbreak+;t32extensions+;error-message+;ReverseStep+;ReverseContinue+"


class Server:
    def __init__(self, machine, port, autostart):
        self.machine = machine
        self.asked_port = port
        self.autostart = autostart
        self.listener = listen(port)
        self.session = None
        machine.emulation.sockets.append(("GDB", port))
        threading.Thread(target=self.serve, daemon=True, name="gdb").start()

    def serve(self):
        while True:
            try:
                client = self.listener.accept()[0]
            except OSError:
                return
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.session = Session(self.machine, client)
            try:
                self.session.run(self.autostart)
            finally:
                self.session = None
                client.close()

    def on_pause(self):
        session = self.session
        if session:
            with contextlib.suppress(OSError):
                session.report_stop(b"S02")

    def end(self):
        self.machine.emulation.sockets.remove(("GDB", self.asked_port))
        session = self.session  # which may end by itself now
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        if session:
            with contextlib.suppress(OSError):
                session.client.shutdown(socket.SHUT_RDWR)


class Session:
    def __init__(self, machine, client):
        self.machine = machine
        self.engine = machine.engine
        self.client = client
        self.is_waiting = False  # gdb, for a stop reply
        self.packets = Packets()

    def run(self, autostart):
        with self.engine.lock:
            self.engine.stepping = True
            self.engine.sync()
            self.engine.stub = Stub(self.engine.qemu.gdb_address)
        try:
            if autostart and not self.machine.emulation.is_started:
                self.machine.emulation.start_all()
            while self.turn():
                pass
        except OSError:
            pass
        finally:
            self.detach()

    def detach(self):
        with self.engine.lock:
            self.engine.stop()
            self.engine.stub.close()
            self.engine.stub = self.engine.missed_stop = None
            self.engine.stepping = False
            self.engine.sync()

    def turn(self):
        stub = self.engine.stub
        readable = select.select([self.client, stub], [], [], 0.1 if self.engine.missed_stop else None)[0]
        self.look_for_stop()
        if self.client not in readable:
            return True
        data = self.client.recv(65536)
        for packet in self.packets.feed(data):
            if packet is None:
                self.interrupt()
            elif packet is False:
                self.client.sendall(b"-")
            else:
                self.client.sendall(b"+")
                self.answer(packet)
        return bool(data)

    def send(self, data):
        self.client.sendall(frame(data))

    # ------------------------------------------------------------ stops

    def look_for_stop(self):
        """A breakpoint: the stub speaks up while the CPU should run."""
        with self.engine.lock:
            if self.engine.is_gone():
                self.report_stop(b"X06")
                raise ConnectionError("QEMU has ended")
            reply = self.engine.missed_stop
            if reply is None and self.engine.running and self.engine.stub.has_packet():
                reply = self.engine.stub.receive()
                self.engine.running = False
            if reply is None:
                return
            self.engine.missed_stop = None
            self.engine.stepping = True
            for uart in self.engine.uarts:
                uart.wait_idle()
            self.report_stop(self.translated(reply))

    @staticmethod
    def translated(reply):
        """Renode says what kind of point it was, and names no thread."""
        for part in reply[3:].split(b";"):
            if b"watch:" in part:
                return b"T05" + part + b";"
        return b"T05swbreak:;"

    def report_stop(self, reply):
        if self.is_waiting:
            self.is_waiting = False
            self.send(reply)

    def interrupt(self):
        with self.engine.lock:
            self.engine.paused = True
            self.engine.sync()
            self.report_stop(b"S02")

    # ------------------------------------------------------------ packets

    def answer(self, packet):
        for prefix, handler in HANDLERS:
            if packet.startswith(prefix):
                return handler(self, packet)
        if packet.startswith(RELAYED):
            with self.engine.debugging() as stub:
                return self.send(stub.ask(packet))
        return self.send(b"")

    def resume(self, _packet):
        with self.engine.lock:
            self.is_waiting = True
            self.engine.paused = self.engine.stepping = False
            self.engine.sync()

    def step(self, _packet):
        """One instruction, if the emulation runs at all; otherwise gdb waits."""
        with self.engine.lock:
            self.is_waiting = True
            if not self.engine.may_run() or self.engine.halted:
                return
            self.engine.stop()
            self.engine.stub.send(b"s")
            self.engine.stub.receive()
            for uart in self.engine.uarts:
                uart.wait_idle()
            self.report_stop(b"S05")

    def monitor(self, packet):
        monitor, eater = self.machine.emulation.monitor, Eater()
        monitor.parse(bytes.fromhex(packet[6:].decode()).decode("utf-8", "replace"), eater)
        text = (eater.error or eater.contents).encode()
        if text:
            self.send(b"O" + text.hex().upper().encode())
        self.send(b"OK")

    def say(self, text):
        return self.send(text)


def saying(text):
    return lambda session, _packet: session.send(text)


HANDLERS = (
    (b"vCont?", saying(b"")),
    (b"vCont;s", Session.step),
    (b"vCont;", Session.resume),
    (b"c", Session.resume),
    (b"C", Session.resume),
    (b"s", Session.step),
    (b"S", Session.step),
    (b"?", saying(b"S00")),
    (b"D", saying(b"OK")),
    (b"k", saying(b"OK")),
    (b"qSupported", saying(FEATURES)),
    (b"qAttached", saying(b"1")),
    (b"qRcmd,", Session.monitor),
)
