# SPDX-License-Identifier: Apache-2.0
"""What the monitor lists of each kind of object: methods and properties (`get`, `get set`, and what a plain one holds at first)."""

# What Renode adds to everything, to what is on a bus, to what has registers, to a UART.
ELEMENT = """
Void DebugLog (String message)
Void ErrorLog (String message)
Void InfoLog (String message)
Void Log (LogLevel type, String message)
Void NoisyLog (String message)
Void WarningLog (String message)
"""

PERIPHERAL = ELEMENT + """
Endianess GetEndianness (Endianess? defaultEndianness = null)
IEnumerable<Tuple<String,IGPIO>> GetGPIOs ()
IMachine GetMachine ()
String GetName ()
Boolean HasGPIO ()
Boolean IsHostEndian ()
Void LogUnhandledRead (Int64 offset)
Void LogUnhandledWrite (Int64 offset, UInt64 value)
Void Reset ()
Void ShowAnalyzer (String analyzerTypeName = null, String externalName = null)
"""

ON_BUS = """
Byte ReadByteNotTranslated (Int64 address)
Byte ReadByteUsingDoubleWord (Int64 address)
Byte ReadByteUsingDoubleWordBigEndian (Int64 address)
UInt32 ReadDoubleWord (Int64 offset)
UInt32 ReadDoubleWordBigEndian (Int64 address)
UInt32 ReadDoubleWordNotTranslated (Int64 address)
UInt64 ReadQuadWordNotTranslated (Int64 address)
UInt64 ReadQuadWordUsingDoubleWord (Int64 address)
UInt64 ReadQuadWordUsingDoubleWordBigEndian (Int64 address)
UInt16 ReadWordNotTranslated (Int64 address)
UInt16 ReadWordUsingDoubleWord (Int64 address)
UInt16 ReadWordUsingDoubleWordBigEndian (Int64 address)
Void WriteByteNotTranslated (Int64 address, Byte value)
Void WriteByteUsingDoubleWord (Int64 address, Byte value)
Void WriteByteUsingDoubleWordBigEndian (Int64 address, Byte value)
Void WriteDoubleWord (Int64 offset, UInt32 value)
Void WriteDoubleWordBigEndian (Int64 address, UInt32 value)
Void WriteDoubleWordNotTranslated (Int64 address, UInt32 value)
Void WriteQuadWordNotTranslated (Int64 address, UInt64 value)
Void WriteQuadWordUsingDoubleWord (Int64 address, UInt64 value)
Void WriteQuadWordUsingDoubleWordBigEndian (Int64 address, UInt64 value)
Void WriteWordNotTranslated (Int64 address, UInt16 value)
Void WriteWordUsingDoubleWord (Int64 address, UInt16 value)
Void WriteWordUsingDoubleWordBigEndian (Int64 address, UInt16 value)
"""

REGISTERS = """
Void AddAfterReadDoubleWordHook (Int64 offset, String script)
Void AddAfterWriteDoubleWordHook (Int64 offset, String script)
Void AddBeforeReadDoubleWordHook (Int64 offset, String script)
Void AddBeforeWriteDoubleWordHook (Int64 offset, String script)
String OffsetToString (Int64 offset)
Void RemoveAfterReadDoubleWordHook (Int64 offset)
Void RemoveAfterWriteDoubleWordHook (Int64 offset)
Void RemoveBeforeReadDoubleWordHook (Int64 offset)
Void RemoveBeforeWriteDoubleWordHook (Int64 offset)
"""

UART = """
Void AddLineHook (String contains, String pythonScript)
Void CloseFileBackend (String path)
Void CreateFileBackend (String path, Boolean immediateFlush = False)
String DumpHistoryBuffer (Int32 limit = 0)
TimeInterval GetActualTransmissionDuration (UInt32 dataBits = 7)
Double GetNumberOfStopBits ()
Void WriteChar (Byte value)
Void WriteLine (String text, Boolean appendCarriageReturn = True)
Void WriteLine (String text, LineEnding lineEnding = CR)
"""

METHODS = {
    "STM32_UART": PERIPHERAL + ON_BUS + REGISTERS + UART,
    "SiFive_UART": PERIPHERAL + ON_BUS + UART,
    "CPU": PERIPHERAL + """
Void AddHook (UInt64 addr, String pythonScript)
Void EnableProfiler ()
RegisterValue GetRegisterUnsafe (Int32 register)
String[,] GetRegistersValues ()
Void LogFunctionNames (Boolean value, Boolean removeDuplicates = False)
Void Pause ()
Void RemoveAllHooks ()
Void Resume ()
Void Step (Int32 count = 1)
UInt64 TranslateAddress (UInt64 logicalAddress, MpuAccess accessType)
""",
    "SystemBus": PERIPHERAL + """
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
    "Machine": ELEMENT + """
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
    "Peripheral": PERIPHERAL,
}

PROPERTIES = {
    "STM32_UART": """
UInt32 BaudRate get
GPIO DMARequest get = GPIO: unset
GPIO IRQ get = GPIO: unset
Parity ParityBit get = None
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
