# SPDX-License-Identifier: Apache-2.0
"""Images as lists of (address, bytes)."""
import struct

PT_LOAD = 1


class BadImage(Exception):
    pass


def read_elf(path):
    """(pieces at their physical addresses, entry point, e_machine)"""
    with open(path, "rb") as file:
        data = file.read()
    if data[:4] != b"\x7fELF":
        raise BadImage("Error while loading ELF: Given data is not a proper ELF file.")
    wide = data[4] == 2
    try:
        machine, = struct.unpack_from("<H", data, 18)
        entry, table = struct.unpack_from("<QQ" if wide else "<II", data, 24)
        size, count = struct.unpack_from("<HH", data, 54 if wide else 42)
        pieces = []
        for number in range(count):
            at = table + number * size
            if wide:
                kind, _, offset, _, address, length = struct.unpack_from("<IIQQQQ", data, at)
            else:
                kind, offset, _, address, length = struct.unpack_from("<IIIII", data, at)
            if kind == PT_LOAD and length:
                if len(data) < offset + length:
                    raise BadImage("Error while loading ELF: Unable to read beyond the end of the stream.")
                pieces.append((address, data[offset:offset + length]))
    except struct.error:
        raise BadImage("Error while loading ELF: Unable to read beyond the end of the stream.") from None
    return pieces, entry, machine


def read_hex(path):
    pieces, base = [], 0
    with open(path, encoding="ascii", errors="replace") as file:
        for number, line in enumerate(file, 1):
            try:
                record = bytes.fromhex(line.strip()[1:])
                if line[0] != ":" or len(record) != record[0] + 5 or sum(record) & 0xff:
                    raise ValueError
            except (ValueError, IndexError):
                raise BadImage(f"Invalid HEX file: line {number}") from None
            kind, body = record[3], record[4:-1]
            if kind == 0:
                pieces.append((base + int.from_bytes(record[1:3], "big"), body))
            elif kind in (2, 4):
                base = int.from_bytes(body, "big") << (4 if kind == 2 else 16)
            elif kind == 1:
                break
    return pieces
