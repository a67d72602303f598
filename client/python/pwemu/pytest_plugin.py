# SPDX-License-Identifier: Apache-2.0
"""Fixtures for pytest, there as soon as the package is installed (or with `-p pwemu.pytest_plugin`).

    def test_hello(pwemu_emulator):
        pwemu_emulator.start("qemu-lm3s6965evb", "app.elf")
        pwemu_emulator.wait(match="hello")

When a test fails, its report has a section with the last output of each channel.
"""

from __future__ import annotations

import pathlib
from typing import Any, Iterator, Optional

import pytest

from pwemu.errors import Error
from pwemu.temporary import TemporaryEmulator

REPORTED_BYTES = 16 << 10
SHOWN_KINDS = ("serial", "semihosting", "emulator")


@pytest.fixture
def pwemu_config() -> Optional[pathlib.Path]:
    """The configuration that `pwemu_emulator` uses; None: the project's. Override it in a conftest.py."""
    return None


@pytest.fixture
def pwemu_emulator(pwemu_config: Optional[pathlib.Path]) -> Iterator[TemporaryEmulator]:
    """A `TemporaryEmulator` for this test: start it; it is stopped afterwards."""
    with TemporaryEmulator(pwemu_config) as emulator:
        yield emulator


def _sections(emulator: TemporaryEmulator) -> Iterator[Any]:
    instance = emulator.info()
    yield f"pwemu {instance.name}", f"{emulator.state}: {instance.reason or instance.target}"
    for channel in instance.channels:
        if channel.kind in SHOWN_KINDS:
            output = emulator.logs(channel.name)
            if output:
                yield f"pwemu channel {channel.name}", output[-REPORTED_BYTES:].decode(errors="replace")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: "pytest.CallInfo[None]") -> Any:
    """Adds the channels' output to the report of a failed test, while the emulator is still there."""
    outcome = yield
    report = outcome.get_result()
    for emulator in getattr(item, "funcargs", {}).values():
        if not isinstance(emulator, TemporaryEmulator) or report.when == "teardown" or not report.failed:
            continue
        try:
            report.sections.extend(_sections(emulator))
        except (Error, TimeoutError) as error:
            report.sections.append(("pwemu", f"no output: {error}"))
