# SPDX-License-Identifier: Apache-2.0
"""Emulators in temporary working directories, for `with` blocks."""

from __future__ import annotations

import os
import pathlib
import shutil
import tempfile
import warnings
from types import TracebackType
from typing import List, Optional, Type

from pwemu import calls
from pwemu.aio import AsyncEmulator
from pwemu.calls import Call, StrPath
from pwemu.emulator import Emulator
from pwemu.errors import Error, NotRunning

WDIR_VARIABLE = "PW_EMU_WDIR"


class _Place:
    """The directory of a block, and $PW_EMU_WDIR, which names it inside."""

    def __init__(self, cleanup: bool) -> None:
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="pw_emu_"))
        self.cleanup = cleanup
        self._saved: List[Optional[str]] = []

    def enter(self) -> None:
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)  # a second block
        self._saved.append(os.environ.get(WDIR_VARIABLE))
        os.environ[WDIR_VARIABLE] = str(self.path)

    def leave(self) -> None:
        saved = self._saved.pop()
        if saved is None:
            os.environ.pop(WDIR_VARIABLE, None)
        else:
            os.environ[WDIR_VARIABLE] = saved

    def clean(self) -> None:
        if self.cleanup:
            shutil.rmtree(self.path, ignore_errors=True)

    def judge(self, trouble: Exception, error: Optional[BaseException]) -> None:
        """The block's own exception is the more important one."""
        if error is None:
            raise trouble
        warnings.warn(f"{self.path}: the emulator could not be stopped: {trouble}", stacklevel=3)


class TemporaryEmulator(Emulator):
    """An emulator in a temporary working directory, for a `with` block; `pw_emu.TemporaryEmulator`.

    Inside $PW_EMU_WDIR names the directory, so that a `pwemu` below joins the same instance; afterwards the variable is what it was. At
    the end of the block the emulator is stopped and forgotten and the directory removed, whether it was started or has ended or not,
    and an exception of the block goes on its way.

    Args:
        config_path: as `Emulator`.
        cleanup: False: the directory and the logs of the channels are kept.
    """

    def __init__(self, config_path: Optional[StrPath] = None, cleanup: bool = True) -> None:
        self._place = _Place(cleanup)
        super().__init__(self._place.path, config_path)

    def __enter__(self) -> "TemporaryEmulator":
        self._place.enter()
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], traceback: Optional[TracebackType]
    ) -> None:
        self._place.leave()
        try:
            self._quietly(self._stop_call(calls.STOP_GRACE_S))
            if self._place.cleanup:
                self._quietly(self._remove_call())
        except (Error, TimeoutError) as trouble:
            self._place.judge(trouble, error)
        finally:
            self._place.clean()

    def _quietly(self, call: Call) -> None:
        try:
            self._call(call)
        except NotRunning:
            pass


class AsyncTemporaryEmulator(AsyncEmulator):
    """`TemporaryEmulator` for `async with`."""

    def __init__(self, config_path: Optional[StrPath] = None, cleanup: bool = True) -> None:
        self._place = _Place(cleanup)
        super().__init__(self._place.path, config_path)

    async def __aenter__(self) -> "AsyncTemporaryEmulator":
        self._place.enter()
        return self

    async def __aexit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], traceback: Optional[TracebackType]
    ) -> None:
        self._place.leave()
        try:
            await self._quietly(self._stop_call(calls.STOP_GRACE_S))
            if self._place.cleanup:
                await self._quietly(self._remove_call())
        except (Error, TimeoutError) as trouble:
            self._place.judge(trouble, error)
        finally:
            self._place.clean()
            await self.close()

    async def _quietly(self, call: Call) -> None:
        try:
            await self._call(call)
        except NotRunning:
            pass
