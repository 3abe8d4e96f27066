"""Trees of files as tar archives."""

from __future__ import annotations

import io
import os
import tarfile
from typing import TYPE_CHECKING, Union

from ._errors import SandboxError

if TYPE_CHECKING:
    HostPath = Union[str, "os.PathLike[str]"]


def _belongs_to_root(member: tarfile.TarInfo) -> tarfile.TarInfo:
    # The host's users mean nothing in the guest.
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


def pack(path: HostPath) -> bytes:
    """A file, or what is in a directory."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=1) as archive:
        if os.path.isdir(path):
            for name in sorted(os.listdir(path)):
                archive.add(os.path.join(path, name), arcname=name, filter=_belongs_to_root)
        else:
            name = os.path.basename(os.path.abspath(path))
            archive.add(path, arcname=name, filter=_belongs_to_root)
    return buffer.getvalue()


def unpack(archive: bytes, directory: HostPath) -> None:
    """Puts files of the guest into a directory of the host, and nothing outside it.

    The archive was made of files that nobody trusts, so links that lead out of the directory are refused.
    """
    if not hasattr(tarfile, "data_filter"):
        raise SandboxError(
            "this Python cannot unpack archives safely (PEP 706): use a newer one, or take the archive by "
            "leaving `target` out"
        )
    os.makedirs(directory, exist_ok=True)
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:*") as members:
        try:
            members.extractall(directory, filter="data")
        except tarfile.TarError as error:
            raise SandboxError(f"the guest's files are not to be put on the host: {error}") from error
