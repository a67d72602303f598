# SPDX-License-Identifier: Apache-2.0
"""Patterns in a channel's output."""

from __future__ import annotations

import re
from typing import List, Optional, Pattern, Sequence, Union

from pwemu.errors import UnexpectedOutput

# A pattern: text or bytes of a regular expression of `re`, or a compiled one for bytes. It is searched for in bytes.
PatternLike = Union[str, bytes, "Pattern[bytes]"]
Patterns = Union[PatternLike, Sequence[PatternLike]]

WINDOW = 64 << 10


def _compile(pattern: PatternLike) -> "Pattern[bytes]":
    if isinstance(pattern, str):
        return re.compile(pattern.encode())
    return re.compile(pattern) if isinstance(pattern, bytes) else pattern


def _list(patterns: Optional[Patterns]) -> "List[Pattern[bytes]]":
    if patterns is None:
        return []
    if isinstance(patterns, (str, bytes, re.Pattern)):
        return [_compile(patterns)]
    return [_compile(pattern) for pattern in patterns]


class Matcher:
    """Is fed the output piece by piece. A match may span pieces and lines, within the last 64 KiB."""

    def __init__(self, match: Patterns, fail: Optional[Patterns] = None) -> None:
        self.is_single = isinstance(match, (str, bytes, re.Pattern))
        self._wanted = _list(match)
        self._fail = _list(fail)
        self._found: "List[Optional[re.Match[bytes]]]" = [None] * len(self._wanted)
        self._seen = b""

    def feed(self, data: bytes) -> bool:
        """Takes the next bytes. True once every pattern was found.

        Raises:
            UnexpectedOutput: one of `fail` was.
        """
        self._seen = self._seen[-WINDOW:] + data
        for pattern in self._fail:
            found = pattern.search(self._seen)
            if found:
                raise UnexpectedOutput(f"{found[0]!r} was seen, which means failure", self._seen[-WINDOW:])
        for i, pattern in enumerate(self._wanted):
            self._found[i] = self._found[i] or pattern.search(self._seen)
        return all(self._found)

    @property
    def result(self) -> "Union[re.Match[bytes], List[re.Match[bytes]]]":
        """The match; a list of them where a list was asked for."""
        return self._found[0] if self.is_single else list(self._found)  # type: ignore[return-value,arg-type]

    def _missing(self) -> bytes:
        return b", ".join(pattern.pattern for pattern, found in zip(self._wanted, self._found) if not found)

    def ended(self) -> UnexpectedOutput:
        """For when no more output comes."""
        return UnexpectedOutput(f"the instance ended without {self._missing()!r}", self._seen[-WINDOW:])

    def late(self, timeout: Optional[float]) -> TimeoutError:
        """For when time is up."""
        return TimeoutError(f"no {self._missing()!r} within {timeout} s; last output: {self._seen[-200:]!r}")
