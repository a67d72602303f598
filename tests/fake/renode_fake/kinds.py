# SPDX-License-Identifier: Apache-2.0
"""What the monitor lists of each kind of object: methods and properties (`get`, `get set`, and what a plain one holds at first)."""

LOG_METHODS = """
Void DebugLog (String message)
Void ErrorLog (String message)
Void InfoLog (String message)
Void NoisyLog (String message)
Void WarningLog (String message)
"""

UART_METHODS = LOG_METHODS + """
Void AddLineHook (String contains, String pythonScript)
Void CloseFileBackend (String path)
Void CreateFileBackend (String path, Boolean immediateFlush = False)
String DumpHistoryBuffer (Int32 limit = 0)
Void RemoveLineHook (String contains)
Void Reset ()
Void WriteChar (Byte value)
Void WriteLine (String text, Boolean appendCarriageReturn = True)
"""

REGISTER_HOOKS = """
Void AddAfterReadDoubleWordHook (Int64 offset, String script)
Void AddAfterWriteDoubleWordHook (Int64 offset, String script)
Void AddBeforeReadDoubleWordHook (Int64 offset, String script)
Void AddBeforeWriteDoubleWordHook (Int64 offset, String script)
UInt32 ReadDoubleWord (Int64 offset)
Void WriteDoubleWord (Int64 offset, UInt32 value)
"""

METHODS = {
    "STM32_UART": UART_METHODS + REGISTER_HOOKS,
    "SiFive_UART": UART_METHODS + REGISTER_HOOKS,
    "CPU": LOG_METHODS + """
Void AddHook (UInt64 addr, String pythonScript)
Void EnableProfiler ()
RegisterValue GetRegisterUnsafe (Int32 register)
String[,] GetRegistersValues ()
Void LogFunctionNames (Boolean value, Boolean removeDuplicates = False)
Void Pause ()
Void Reset ()
Void Resume ()
Void Step (Int32 count = 1)
UInt64 TranslateAddress (UInt64 logicalAddress, MpuAccess accessType)
""",
    "SystemBus": LOG_METHODS + """
Void LoadBinary (ReadFilePath fileName, UInt64 loadPoint, IPeripheral cpu = null)
Void LoadELF (ReadFilePath fileName, Boolean useVirtualAddress = False, IPeripheral cpu = null)
Void LoadHEX (ReadFilePath fileName, IPeripheral cpu = null)
Void LoadSymbolsFrom (ReadFilePath fileName, Boolean useVirtualAddress = False)
Byte ReadByte (UInt64 address, IPeripheral context = null)
UInt32 ReadDoubleWord (UInt64 address, IPeripheral context = null)
UInt16 ReadWord (UInt64 address, IPeripheral context = null)
Void Tag (Range range, String tag, UInt64 defaultValue = 0, Boolean pausing = False)
Void WriteByte (UInt64 address, Byte value, IPeripheral context = null)
Void WriteDoubleWord (UInt64 address, UInt32 value, IPeripheral context = null)
Void WriteWord (UInt64 address, UInt16 value, IPeripheral context = null)
""",
    "Machine": LOG_METHODS + """
Void LoadPlatformDescription (String platform)
Void LoadPlatformDescriptionFromString (String platform)
Void Pause ()
Void Reset ()
Void Start ()
Void StartGdbServer (Int32 port, Boolean autostartEmulation = True, String cpuCluster = "")
Void StopGdbServer (Int32 port = null)
""",
    "Emulation": """
Void CreateServerSocketTerminal (Int32 port, String name, Boolean emitConfig = True, Boolean flushOnConnect = False)
Void CreateUartPtyTerminal (String name, String fileName, Boolean forceCreate = False)
Void PauseAll ()
Void StartAll ()
""",
    "Connector": """
Void Connect (IEmulationElement connector, IEmulationElement connectee)
Void Disconnect (IEmulationElement connector, IEmulationElement connectee = null)
""",
    "SocketsManager": """
Void CleanUp ()
String[,] List ()
""",
    "Peripheral": LOG_METHODS + """
Void Reset ()
""",
}

PROPERTIES = {
    "STM32_UART": """
Boolean AutoUpdateDelay get set = False
UInt32 BaudRate get
UInt32 CharacterLength get = 8
TimeInterval CharacterReceptionDelay get set = 00:00:00.000000
TimeInterval CharacterTransmissionDelay get set = 00:00:00.000000
GPIO DMARequest get = GPIO: unset
Double DelayMultiplier get set = 1
GPIO IRQ get = GPIO: unset
Parity ParityBit get = None
Int64 Size get = 1024
Bits StopBits get = One
""",
    "SiFive_UART": """
UInt32 BaudRate get
GPIO IRQ get = GPIO: unset
Parity ParityBit get = None
Int64 Size get = 4096
Bits StopBits get = One
""",
    "CPU": """
String Architecture get
Boolean DisableInterruptsWhileStepping get set = False
UInt64 ExecutedInstructions get
ExecutionMode ExecutionMode get set = Continuous
Boolean IsHalted get set
Boolean LogFunctionNamesEnabled get = False
String Model get
String Name get = cpu
RegisterValue PC get set
UInt32 PerformanceInMips get set = 100
RegisterValue SP get set
UInt32 VectorTableOffset get set
""",
    "Machine": """
TimeSpan ElapsedVirtualTime get = 00:00:00.000000
Boolean IsPaused get
String Name get
""",
    "Emulation": """
Boolean IsStarted get
Boolean SerialExecution get set = False
Boolean SingleStepBlocking get set = True
""",
    "SystemBus": """
Endianess Endianess get = LittleEndian
Boolean IsMultiCore get = False
""",
}

ENUMS = {
    "Parity": ("Odd", "Even", "None", "Forced1", "Forced0", "Multidrop"),
    "Bits": ("None", "One", "Half", "OneAndAHalf", "Two"),
    "ExecutionMode": ("Continuous", "SingleStep"),
    "Endianess": ("LittleEndian", "BigEndian"),
}

WIDTHS = {"Byte": 1, "UInt16": 2, "Int16": 2, "UInt32": 4, "Int32": 4, "UInt64": 8, "Int64": 8}


class Parameter:
    def __init__(self, text):
        text, equals, self.default = text.partition(" = ")
        self.type, _, self.name = text.rpartition(" ")
        self.is_optional = bool(equals)

    def default_value(self):
        known = {"null": None, "True": True, "False": False}
        if self.default in known:
            return known[self.default]
        return self.default.strip('"') if self.type == "String" else int(self.default)


class Method:
    def __init__(self, line):
        self.line = line
        head, _, parameters = line.rstrip(")").partition(" (")
        self.type, _, self.name = head.rpartition(" ")
        self.parameters = [Parameter(text) for text in parameters.split(", ")] if parameters else []


class Property:
    def __init__(self, line):
        head, _, self.first = line.partition(" = ")
        self.type, self.name, *access = head.split()
        self.access = access

    @property
    def is_writable(self):
        return "set" in self.access


def lines_of(table, kind):
    return sorted((line for line in table.get(kind, "").strip().splitlines() if line), key=lambda line: line.partition("(")[0].split()[1])


def methods_of(kind):
    return [Method(line) for line in lines_of(METHODS, kind)]


def properties_of(kind):
    return [Property(line) for line in lines_of(PROPERTIES, kind)]
