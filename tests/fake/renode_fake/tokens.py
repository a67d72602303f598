# SPDX-License-Identifier: Apache-2.0
"""Lines of the monitor as tokens."""
import re


class Token:
    def __init__(self, kind, text):
        self.kind = kind
        self.text = text

    @property
    def value(self):
        return VALUES.get(self.kind, lambda text: text)(self.text)

    def __repr__(self):
        return f"{self.kind}:{self.text}"


def unquote(text):
    return re.sub(r"\\(.)", lambda match: match[1] if match[1] in "'\"\\" else match[0], text[1:-1])


VALUES = {
    "string": unquote,
    "multiline": lambda text: text[3:-3],
    "path": lambda text: text[1:].replace("\\ ", " "),
    "variable": lambda text: text[1:],
    "execution": lambda text: text[1:-1],
    "hex": lambda text: int(text, 16),
    "float": float,
    "integer": int,
    "boolean": lambda text: text.lower() == "true",
}

# In the order in which they are tried.
TABLE = tuple((kind, re.compile(pattern, re.DOTALL if kind == "multiline" else 0)) for kind, pattern in (
    ("comment", r"#.*"),
    ("comment", r":.*"),
    ("execution", r"`.*?`"),
    ("variable", r"\$[0-9A-Za-z_.]+"),
    ("left", r"\["),
    ("right", r"\]"),
    ("multiline", r'""".+?"""'),
    ("terminator", r'"""'),
    ("string", r"'[^'\\]*(?:\\.[^'\\]*)*'"),
    ("string", r'"[^"\\]*(?:\\.[^"\\]*)*"'),
    ("path", r"@(?:(?!;)(?:\\ |\S))+"),
    ("hex", r"0x[0-9A-Fa-f]+"),
    ("float", r"[+-]?\d+\.\d*"),
    ("integer", r"[+-]?\d+"),
    ("boolean", r"(?i:true|false)"),
    ("null", r"null"),
    ("equality", r"="),
    ("equality", r"\?="),
    ("split", r";"),
    ("comma", r","),
    ("literal", r"[\w.\-?]+"),
    (None, r"\s+"),
))


def tokenize(text):
    """(tokens, how many characters at the end are none)"""
    found = []
    while text:
        for kind, pattern in TABLE:
            match = pattern.match(text)
            if match:
                break
        else:
            break
        text = text[match.end():]
        if kind:
            found.append(Token(kind, match[0]))
    return found, len(text)


def split_commands(found):
    commands = [[]]
    for token in found:
        if token.kind == "split":
            commands.append([])
        elif token.kind != "comment":
            commands[-1].append(token)
    return [command for command in commands if command]
