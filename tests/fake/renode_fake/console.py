# SPDX-License-Identifier: Apache-2.0
"""The monitor's terminal on stdin and stdout: characters echoed, a line run at each Enter, and a prompt after it.

Nothing is translated by a tty layer here: "\\n" alone or "\\r" alone is an Enter, so "\\r\\n" is two.
"""
import codecs
import os

ENTER = "\r\n"
ESCAPE = "\x1b"


class Writer:
    """Output of commands. A line end in it is "\\r\\n\\r"; an error's is "\\r\\n"."""

    def __init__(self, put):
        self.put = put

    def write(self, text):
        self.put(text.replace("\n", "\r\n"))

    def write_line(self, text=""):
        self.write(text + "\n\r")

    def write_error(self, text):
        self.put(text if text.endswith("\r\n") else text + "\r\n")


class Eater(Writer):
    """What `monitor` of gdb gets: nothing is shown, contents and errors are kept."""

    def __init__(self):
        self.contents = ""
        self.error = ""
        super().__init__(None)

    def write(self, text):
        self.contents += text

    def write_line(self, text=""):
        self.contents += text + "\n"

    def write_error(self, text):
        self.error += text + "\n"


def put_bytes(text):
    data = text.encode("utf-8")
    while data:
        try:
            data = data[os.write(1, data):]
        except OSError:
            return  # the other end is gone; its EOF is what ends us


class Console:
    def __init__(self, banner):
        self.banner = banner
        self.writer = Writer(put_bytes)
        self.prompt = "(monitor) "
        self.line = ""
        self.injected = ""
        self.decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self.in_escape = ""
        self.running = True
        self.pending = ""

    def set_machine(self, name):
        self.prompt = f"({name}) " if name else "(monitor) "

    def inject(self, line):
        self.injected += line + "\n"

    def run(self, handle):
        """Until `quit`, Ctrl-D or the end of stdin. handle(line, writer) returns False to quit."""
        self.handle = handle
        put_bytes(f"{self.banner}\n\r\n\r{self.prompt}")
        while self.running:
            character = self.next_character()
            if character is None:
                return
            self.take(character)

    def next_character(self):
        if self.injected:
            character, self.injected = self.injected[0], self.injected[1:]
            return character
        while not self.pending:
            data = os.read(0, 4096)
            if not data:
                return None
            self.pending = self.decode(data)
        character, self.pending = self.pending[0], self.pending[1:]
        return character

    def read_line(self, prompt):
        """A line for a command that asks for one; None at the end of input."""
        self.writer.write(prompt)
        text = ""
        while True:
            character = self.next_character()
            if character is None:
                return None
            if character in ENTER:
                put_bytes("\n\r")
                return text
            put_bytes(character)
            text += character

    def take(self, character):
        if self.in_escape or character == ESCAPE:
            self.take_escape(character)
        elif character in ENTER:
            self.enter()
        elif character in CONTROLS:
            CONTROLS[character](self)
        elif character >= " ":
            self.line += character
            put_bytes(character)

    def take_escape(self, character):
        """Arrow keys and their like: swallowed whole. The history is not played back."""
        self.in_escape += character
        if len(self.in_escape) > 1 and character not in "[O;0123456789":
            self.in_escape = ""

    def enter(self):
        put_bytes("\n\r")
        line, self.line = self.line, ""
        if line and not self.handle(line, self.writer):
            self.running = False
            return
        put_bytes(self.prompt)

    def erase(self):
        self.line = self.line[:-1]

    def erase_line(self):
        self.line = ""

    def interrupt(self):
        self.line = ""
        put_bytes("^C\n\r" + self.prompt)

    def end(self):
        if not self.line:
            put_bytes("^D\n\r")
            self.running = False


CONTROLS = {"\x03": Console.interrupt, "\x04": Console.end, "\x7f": Console.erase, "\x08": Console.erase, "\x15": Console.erase_line}
