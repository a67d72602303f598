# SPDX-License-Identifier: Apache-2.0
"""A machine of the emulation: devices by name once a platform is loaded, its engine, its gdb server."""
from renode_fake import boards, gdb, image, knobs
from renode_fake.devices import Device, Problem
from renode_fake.engine import Engine


class Machine:
    def __init__(self, emulation, name):
        self.emulation = emulation
        self.name = name
        self.engine = None
        self.board = None
        self.devices = {}
        self.gdb_server = None
        self.is_paused = True
        self.is_resetting = False
        self.baud = {}
        self.device = self.make_device()

    def make_device(self):
        device = Device("Machine", "machine")
        device.getters = {"IsPaused": lambda: self.is_paused, "Name": lambda: self.name}
        device.actions = {
            "LoadPlatformDescription": self.load_platform,
            "Pause": self.pause,
            "Start": self.start,
            "Reset": self.reset,
            "StartGdbServer": self.start_gdb_server,
            "StopGdbServer": self.stop_gdb_server,
        }
        self.devices["sysbus"] = self.make_bus()
        return device

    # ------------------------------------------------------------ platform

    def load_platform(self, path):
        knobs.pause("LOAD")
        if not boards.exists(path):
            raise Problem(f"Could not find file '{path}'.")
        try:
            platform = boards.read(path)
        except boards.BadPlatform as bad:
            raise Problem(str(bad)) from None
        if self.engine:
            raise Problem("Error E01: Variable 'sysbus.cpu' was already declared.")
        self.board = platform.board
        self.engine = Engine(self.board, self.emulation.log, self.may_run)
        self.engine.on_guest_reset = self.reset_by_guest
        self.devices["sysbus.cpu"] = self.make_cpu()
        self.add_devices(self.board.tree, "sysbus.")
        self.devices["sysbus"].baud = self.baud
        for address in platform.downloads if not boards.has_way_out() else ():
            self.emulation.monitor.console.writer.write_error(f"Failed to download {address}, see log for details.")

    def add_devices(self, node, prefix):
        for child in node["children"]:
            name = prefix + child["name"]
            if name not in self.devices:
                uart = self.find_uart(child["name"])
                self.devices[name] = self.make_uart(uart, name) if uart else Device("Peripheral", name)
            self.add_devices(child, name + ".")

    def find_uart(self, name):
        return next((uart for uart in self.engine.uarts if uart.name == name), None)

    def make_uart(self, uart, name):
        device = Device(self.board.kind, name)
        device.uart = uart
        device.getters = {"BaudRate": lambda: self.baud_rate(uart)}
        device.actions = {"WriteChar": lambda value: uart.send(bytes([value & 0xff])),
                          "WriteLine": lambda text, cr: uart.send(text.encode() + (b"\r" if cr else b"") + b"\n"),
                          "ReadDoubleWord": lambda offset: self.engine.read(uart.address + offset, 4)}
        return device

    def baud_rate(self, uart):
        """Of an 8 MHz clock and what the guest wrote to USART_BRR."""
        divisor = self.engine.read(uart.address + 8, 4) if self.board.is_arm else 0
        return int(8000000 / (16 * ((divisor >> 4) + (divisor & 15) / 16))) if divisor else 0

    def make_cpu(self):
        engine, device = self.engine, Device("CPU", "sysbus.cpu")
        device.getters = {"PC": engine.get_pc, "IsHalted": lambda: engine.halted, "Model": lambda: self.board.model,
                          "Architecture": lambda: self.board.architecture, "ExecutedInstructions": lambda: 0, "SP": lambda: 0,
                          "VectorTableOffset": lambda: engine.vectors or 0}
        device.setters = {"PC": engine.set_pc, "IsHalted": self.set_halted, "VectorTableOffset": self.set_vectors,
                          "ExecutionMode": self.set_mode}
        device.actions = {"Resume": self.resume_cpu, "Pause": self.pause_cpu, "RemoveAllHooks": engine.remove_points}
        return device

    def make_bus(self):
        device = Device("SystemBus", "sysbus")
        device.actions = {"LoadELF": self.load_elf, "LoadBinary": self.load_binary, "LoadHEX": self.load_hex}
        for name, length in (("Byte", 1), ("Word", 2), ("DoubleWord", 4)):
            device.actions["Read" + name] = lambda address, _, length=length: self.need_engine().read(address, length)
            device.actions["Write" + name] = lambda address, value, _, length=length: self.need_engine().write(
                address, (value & (1 << 8 * length) - 1).to_bytes(length, "little"))
        return device

    def need_engine(self):
        if not self.engine:
            raise Problem("There is no CPU in this machine: load a platform description first.")
        return self.engine

    # ------------------------------------------------------------ images

    def load(self, pieces, entry=None):
        engine = self.need_engine()
        try:
            engine.load(pieces, entry)
        except RuntimeError as error:
            raise Problem(f"Tried to access bytes at non-existing peripheral: {error}") from None
        engine.sync()

    def load_elf(self, path, _virtual, _cpu):
        try:
            pieces, entry, machine = image.read_elf(path)
        except image.BadImage as bad:
            raise Problem(str(bad)) from None
        if machine != (40 if self.need_engine().board.is_arm else 243):
            raise Problem("Error while loading ELF: The ELF file's machine is not that of the CPU.")
        self.load(pieces, entry)

    def load_binary(self, path, address, _cpu):
        with open(path, "rb") as file:
            self.load([(address, file.read())])

    def load_hex(self, path, _cpu):
        try:
            self.load(image.read_hex(path))
        except image.BadImage as bad:
            raise Problem(str(bad)) from None

    # ------------------------------------------------------------ running

    def may_run(self):
        return not self.is_paused and not self.is_resetting

    def sync(self):
        if self.engine:
            self.engine.sync()

    def start(self):
        self.is_paused = False
        self.sync()

    def pause(self):
        self.is_paused = True
        self.sync()
        if self.gdb_server:
            self.gdb_server.on_pause()

    def set_halted(self, value):
        self.engine.halted = value
        self.engine.sync()

    def set_vectors(self, value):
        self.engine.vectors = value

    def set_mode(self, value):
        self.engine.stepping = value == "SingleStep"
        self.engine.sync()

    def pause_cpu(self):
        self.engine.paused = True
        self.engine.sync()

    def resume_cpu(self):
        self.engine.paused = False
        self.engine.sync()

    def reset(self):
        """Without the macro nothing sets a PC: the CPU halts. The machine is paused until the macro is done."""
        with self.need_engine().lock:
            self.is_resetting = True
            self.engine.reset()
            self.emulation.monitor.run_reset_macro(self)
            self.is_resetting = False
            self.engine.sync()

    def reset_by_guest(self):
        self.emulation.log("INFO", f"{self.name}: Machine reset requested by the guest.")
        self.reset()

    def printed(self):
        """(UART, bytes that its terminal has taken) for each."""
        return [(uart.name, uart.printed) for uart in self.engine.uarts] if self.engine else []

    def end(self):
        self.stop_server()
        if self.engine:
            self.engine.end()

    # ------------------------------------------------------------ gdb

    def start_gdb_server(self, port, autostart, _cluster):
        if not self.engine:
            raise Problem("Cannot start GDB server with no CPUs. Did you forget to load the platform description first?")
        if self.gdb_server:
            raise Problem("CPU: sysbus.cpu is already attached to an existing GDB server, running on port :"
                          f"{self.gdb_server.listener.getsockname()[1]}")
        try:
            self.gdb_server = gdb.Server(self, port, autostart)
        except OSError as error:
            raise Problem(f"Unable to create '0.0.0.0:{port}' socket:[AddressAlreadyInUse] {error.strerror}") from None

    def stop_server(self):
        if self.gdb_server:
            self.gdb_server.end()
            self.gdb_server = None

    def stop_gdb_server(self, port):
        if not self.gdb_server:
            raise Problem("Nothing to stop.")
        if port is not None and port != self.gdb_server.asked_port:
            raise Problem(f"There is no GDB server on port :{port}.")
        self.stop_server()
