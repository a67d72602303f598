# SPDX-License-Identifier: Apache-2.0
"""UARTs and what they are connected to. A UART's thread writes to its terminal and waits: a PTY nobody reads stops the guest."""
import array
import fcntl
import os
import socket
import termios
import threading


class Uart:
    def __init__(self, name, address):
        self.name = name
        self.address = address
        self.terminal = None
        self.end = None
        self.lock = threading.Condition()
        self.is_writing = False
        self.printed = 0

    def plug(self, end):
        self.end = end
        threading.Thread(target=self.pump, args=(end,), daemon=True, name=self.name).start()

    def pump(self, end):
        while has_data(end):
            with self.lock:
                data = end.recv(4096)
                self.is_writing = True
            if self.terminal:
                self.terminal.write(data)
            with self.lock:
                self.printed += len(data)
                self.is_writing = False
                self.lock.notify_all()

    def is_idle(self):
        waiting = array.array("i", [0])
        fcntl.ioctl(self.end, termios.FIONREAD, waiting)
        return not self.is_writing and not waiting[0]

    def wait_idle(self):
        with self.lock:
            while not self.is_idle():
                self.lock.wait(0.002)

    def send(self, data):
        try:
            self.end.sendall(data)
        except OSError:
            pass


def has_data(end):
    """Waits for it; False at the end."""
    try:
        return bool(end.recv(1, socket.MSG_PEEK))
    except OSError:
        return False


class Terminal:
    def __init__(self):
        self.uart = None

    def connect(self, uart):
        self.uart = uart
        uart.terminal = self

    def received(self, data):
        if self.uart:
            self.uart.send(data)


class LinkError(Exception):
    pass


def uninitialised(attributes):
    """What happens to be in the memory that the real one hands to openpty(); here as bad as it can be."""
    attributes[0] |= termios.ISTRIP | termios.ICRNL | termios.IXON
    attributes[1] |= termios.OPOST | termios.ONLCR
    attributes[3] |= termios.ECHO | termios.ICANON | termios.ISIG
    return attributes


class PtyTerminal(Terminal):
    """Holds the slave too, so that users may come and go."""

    def __init__(self, link, force):
        super().__init__()
        if os.path.lexists(link):
            if not force:
                raise LinkError(f"File `{link}' already exists. Use forceCreate to overwrite it.")
            os.unlink(link)
        self.link = link
        self.master, self.slave = os.openpty()
        termios.tcsetattr(self.slave, termios.TCSANOW, uninitialised(termios.tcgetattr(self.slave)))
        try:
            os.symlink(os.ttyname(self.slave), link)
        except OSError as error:
            raise LinkError(f"There was an error when when creating a symlink `{link}': {error.strerror}") from None
        threading.Thread(target=self.read, daemon=True, name="pty").start()

    def read(self):
        while True:
            try:
                self.received(os.read(self.master, 4096))
            except OSError:
                return

    def write(self, data):
        try:
            while data:
                data = data[os.write(self.master, data):]
        except OSError:
            pass

    def end(self):
        try:
            os.unlink(self.link)
        except OSError:
            pass


class SocketTerminal(Terminal):
    """One client at a time; what comes while none is there is kept without limit, and sent to the next."""

    def __init__(self, port, emit_config):
        super().__init__()
        self.greeting = b"\xff\xfd\x00\xff\xfb\x01\xff\xfb\x03\xff\xfb\x00" if emit_config else b""
        self.listener = listen(port)
        self.lock = threading.Lock()
        self.client = None
        self.backlog = b""
        threading.Thread(target=self.serve, daemon=True, name="terminal").start()

    def serve(self):
        while True:
            try:
                client = self.listener.accept()[0]
            except OSError:
                return
            with self.lock:
                self.client = client
                self.put(self.greeting + self.backlog)
                self.backlog = b""
            self.read(client)
            with self.lock:
                self.client = None
            client.close()

    def read(self, client):
        try:
            while data := client.recv(4096):
                self.received(data)
        except OSError:
            pass

    def put(self, data):
        try:
            self.client.sendall(data)
        except OSError:
            self.client = None

    def write(self, data):
        with self.lock:
            if self.client:
                self.put(data)
            else:
                self.backlog += data

    def end(self):
        self.listener.close()


def listen(port):
    """On all addresses, as everything that the real one opens."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("0.0.0.0", port))
    except OSError:
        listener.close()
        raise
    listener.listen(1)
    return listener
