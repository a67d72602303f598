# SPDX-License-Identifier: Apache-2.0
"""Machines, externals (terminals) and the log."""
import itertools
import os
import time

from renode_fake import knobs
from renode_fake.devices import Device, Problem
from renode_fake.machine import Machine
from renode_fake.terminals import LinkError, PtyTerminal, SocketTerminal


class Emulation:
    def __init__(self):
        self.monitor = None
        self.machines = {}
        self.externals = {}
        self.sockets = []
        self.is_started = False
        self.log_file = None
        self.log_level = 1
        Device.log = staticmethod(self.log)
        self.devices = {"emulation": self.make_device(), "connector": self.make_connector(), "sockets": self.make_sockets()}

    def log(self, level, text):
        if self.log_file and ("NOISY", "DEBUG", "INFO", "WARNING", "ERROR").index(level) - 1 >= self.log_level:
            now = time.time()
            self.log_file.write(time.strftime("%H:%M:%S", time.localtime(now)) + f".{int(now % 1 * 10000):04} [{level}] {text}\n")

    def set_log_file(self, path):
        """What is there already is moved away, even a FIFO."""
        try:
            if os.path.lexists(path):
                os.rename(path, next(other for number in itertools.count(1) if not os.path.lexists(other := f"{path}.{number}")))
            self.log_file = open(path, "a", encoding="utf-8", buffering=1)
        except OSError:
            raise Problem(f"Could not open file '{path}' for writing.") from None

    # ------------------------------------------------------------ machines

    def add_machine(self, name):
        if name is None:
            name = next(f"machine-{number}" for number in range(len(self.machines) + 1) if f"machine-{number}" not in self.machines)
        if name in self.machines:
            raise Problem(f"Machine with name {name} already exists.")
        self.machines[name] = Machine(self, name)
        self.machines[name].is_paused = not self.is_started
        return self.machines[name]

    def remove_machine(self, name):
        self.machines.pop(name).end()

    def start_all(self):
        self.is_started = True
        for machine in list(self.machines.values()):
            machine.start()

    def pause_all(self):
        self.is_started = False
        for machine in list(self.machines.values()):
            machine.pause()

    def clear(self):
        """Nothing of it is left but the log."""
        self.pause_all()
        for name in list(self.machines):
            self.remove_machine(name)
        for terminal in self.externals.values():
            terminal.end()
        self.externals, self.sockets = {}, []

    def end(self):
        """Hangs as long as a guest does that nobody reads."""
        self.pause_all()
        for machine in list(self.machines.values()):
            machine.end()
        knobs.tell_printed({name: count for machine in self.machines.values() for name, count in machine.printed()})
        for terminal in self.externals.values():
            terminal.end()

    # ------------------------------------------------------------ `emulation`, `connector`, `sockets`

    def make_device(self):
        device = Device("Emulation", "emulation")
        device.getters = {"IsStarted": lambda: self.is_started}
        device.actions = {"CreateUartPtyTerminal": self.create_pty, "CreateServerSocketTerminal": self.create_socket,
                          "StartAll": self.start_all, "PauseAll": self.pause_all}
        return device

    def add_external(self, name, make):
        if name in self.externals:
            raise Problem(f"External '{name}' already exists.")
        try:
            self.externals[name] = make()
        except LinkError as error:
            raise Problem(str(error)) from None
        except OSError as error:
            raise Problem(f"Unable to create a socket: {error.strerror}") from None

    def create_pty(self, name, path, force):
        self.add_external(name, lambda: PtyTerminal(path, force))

    def create_socket(self, port, name, config, _flush):
        self.add_external(name, lambda: SocketTerminal(port, config))
        self.sockets.append(("Terminal", port))

    def make_connector(self):
        device = Device("Connector", "connector")
        device.actions = {"Connect": self.connect, "Disconnect": self.disconnect}
        return device

    @staticmethod
    def connect(first, second):
        if not isinstance(first, Device):
            first, second = second, first
        uart = getattr(first, "uart", None)
        if uart is None or not hasattr(second, "connect"):
            raise Problem("Could not find a way to connect these two elements.")
        second.connect(uart)

    @staticmethod
    def disconnect(first, second):
        uart = getattr(first, "uart", None) or getattr(second, "uart", None)
        if uart:
            uart.terminal = None

    def make_sockets(self):
        device = Device("SocketsManager", "sockets")
        device.actions = {"List": self.list_sockets}
        return device

    def list_sockets(self):
        head = ("Owner", "Type", "EndPoint", "Bound", "Connected")
        return [head] + [(owner, "Stream", f"0.0.0.0:{port}", "True", "False") for owner, port in self.sockets]
