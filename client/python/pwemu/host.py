# SPDX-License-Identifier: Apache-2.0
"""Daemons of other machines: tcp:// addresses and contexts, as the command line has them, for gRPC."""

from __future__ import annotations

import base64
import binascii
import hashlib
import ipaddress
import json
import os
import pathlib
import re
import ssl
import subprocess
from typing import Dict, List, NamedTuple, Optional, Tuple
from urllib.parse import unquote

import grpc

from pwemu.errors import Error

KEYS = ("ca", "token", "cert", "key", "cafile", "tls-server-name")
NO_CONTEXT = ("-", "default")


class Host(NamedTuple):
    """A daemon at a TCP address. `ca` is in PEM, None where gRPC's own roots count; nothing of it is to be printed: it has the token."""

    url: str
    name: str
    port: int
    token: str = ""
    ca: Optional[bytes] = None
    cert: str = ""
    key: str = ""
    server_name: str = ""

    def __repr__(self) -> str:
        return f"tcp://{self.name}:{self.port}"

    def credentials(self) -> grpc.ChannelCredentials:
        """For `grpc.secure_channel`.

        Raises:
            Error: a file of its certificate cannot be read.
        """
        try:
            cert = pathlib.Path(self.cert).read_bytes() if self.cert else None
            key = pathlib.Path(self.key or self.cert).read_bytes() if self.cert else None
        except OSError as error:
            raise Error(f"host {self!r}: {error}") from error
        credentials = grpc.ssl_channel_credentials(self.ca, key, cert)
        if self.token:
            return grpc.composite_channel_credentials(credentials, grpc.access_token_call_credentials(self.token))
        return credentials

    def target(self) -> str:
        return f"[{self.name}]:{self.port}" if ":" in self.name else f"{self.name}:{self.port}"

    def options(self) -> List[Tuple[str, str]]:
        """Of the channel: the name that the certificate must have, where it is another one."""
        return [("grpc.ssl_target_name_override", self.server_name)] if self.server_name else []


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
        return True
    except ValueError:
        return False


def _pin(text: str) -> bytes:
    if re.fullmatch(r"[A-Za-z0-9_-]{43}", text):
        return base64.urlsafe_b64decode(text + "=")
    try:
        pin = binascii.unhexlify(text.replace(":", ""))
    except binascii.Error:
        pin = b""
    if len(pin) != 32:
        raise Error("'ca=' is the SHA-256 of a certificate, as `pwemu token add` prints it")
    return pin


def _split(url: str) -> Tuple[str, int, Dict[str, str]]:
    match = re.fullmatch(r"tcp://(?:\[([^\]]+)\]|([^:/?\[\]]+)):([0-9]{1,5})/?(?:\?(.*))?", url)
    if match is None or not 0 < int(match[3]) < 65536:
        raise Error(f"host '{url.partition('?')[0]}': write tcp://HOST:PORT")
    values = {}
    for part in (match[4] or "").split("&") if match[4] else []:
        key, _, value = part.partition("=")
        if key not in KEYS or not value:
            raise Error(f"host '{url.partition('?')[0]}': '{key}=' is not known; there are: {', '.join(KEYS)}")
        values[key] = unquote(value)
    return match[1] or match[2], int(match[3]), values


def _fetch_ca(url: str) -> bytes:
    """gRPC wants a CA and not a pin: the program gets it from the daemon. The address goes through the environment, it has a token."""
    from pwemu import connection  # pylint: disable=import-outside-toplevel

    program = connection.find_program()
    result = subprocess.run(
        [program, "context", "ca"], stdin=subprocess.DEVNULL, capture_output=True, timeout=connection.PROGRAM_DEADLINE_S, check=False,
        env={**os.environ, "PWEMU_HOST": url},
    )  # fmt: skip
    if result.returncode != 0:
        raise Error(connection.without_prefix(result.stderr.decode(errors="replace")))
    return result.stdout


def parse(url: str, ca: Optional[bytes] = None) -> Host:
    """A tcp:// address; `ca`: what a context has kept. Where there is none, the daemon is asked for what is pinned.

    Raises:
        Error: it is malformed, or what the daemon shows is not what is pinned.
    """
    name, port, values = _split(url)
    server_name = values.get("tls-server-name", "")
    if "ca" in values:
        pin = _pin(values["ca"])
        ca = ca or _fetch_ca(url)
        der = ssl.PEM_cert_to_DER_cert(ca.decode("ascii"))
        if hashlib.sha256(der).digest() != pin:
            raise Error(f"host tcp://{name}:{port}: the CA that is kept is not the one that is pinned; run `pwemu context add` again")
        # The CA of a daemon's own signs for that daemon only, so for an address it is enough; it always signs for "localhost" as well.
        if not server_name and _is_address(name) and b"pwemu CA " in der:
            server_name = "localhost"
    elif "cafile" in values:
        try:
            ca = pathlib.Path(values["cafile"]).read_bytes()
        except OSError as error:
            raise Error(f"host tcp://{name}:{port}: {error}") from error
    return Host(url, name, port, values.get("token", ""), ca, values.get("cert", ""), values.get("key", ""), server_name)


def _contexts_file() -> Optional[pathlib.Path]:
    for variable, below in (("XDG_CONFIG_HOME", "pwemu"), ("HOME", ".config/pwemu")):
        value = os.environ.get(variable, "")
        if value.startswith("/"):
            return pathlib.Path(value, below, "contexts.json")
    return None


def find_context() -> Optional[Tuple[str, Optional[bytes]]]:
    """(address, CA) of the context in $PWEMU_CONTEXT, else of the current one; None where neither is one.

    Raises:
        Error: there is no such context, or the file cannot be read.
    """
    name = os.environ.get("PWEMU_CONTEXT")
    if name in NO_CONTEXT:
        return None
    path = _contexts_file()
    try:
        data = json.loads(path.read_text(encoding="utf-8")) if path is not None else {}
    except FileNotFoundError:
        data = {}
    except (OSError, ValueError) as error:
        raise Error(f"contexts: {error}") from error
    name = name or data.get("current")
    if not name:
        return None
    row = data.get("contexts", {}).get(name)
    if row is None:
        raise Error(f"there is no context '{name}'; see: pwemu context ls")
    return row["url"], row["ca"].encode("ascii") if row.get("ca") else None
