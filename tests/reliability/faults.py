"""Faults put into a process from within: it dies, or the disk refuses, at a chosen one of its calls that change the disk."""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import signal
from collections.abc import Callable
from typing import Any

#: Every way the suite changes a folder; ``open`` counts only where it creates a file.
CALLS = ("open", "fsync", "replace", "link", "unlink", "mkdir", "rename")
CAP_DAC_OVERRIDE = 1


def inject(
    die_at: int | None = None, fail_at: int | None = None, file_size: int | None = None, heed_modes: bool = False, count: str = ""
) -> None:
    """``die_at`` kills the process before its n-th call (from 0), ``fail_at`` lets that call and all later ones find a full disk,
    ``file_size`` limits every file to so many bytes, ``heed_modes`` takes from root the power to write where the
    mode forbids it, ``count`` names a file for the number of calls.
    """
    if file_size is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, file_size))
    if heed_modes and os.geteuid() == 0:
        _give_up(CAP_DAC_OVERRIDE)
    if die_at is None and fail_at is None and not count:
        return
    calls = 0

    def wrapped(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal calls
            creates = name != "open" or (len(arguments) > 1 and arguments[1] & os.O_CREAT)
            if creates:
                if calls == die_at:
                    os.kill(os.getpid(), signal.SIGKILL)
                # a full disk still removes files
                if fail_at is not None and calls >= fail_at and name != "unlink":
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                calls += 1
                if count:
                    with open(count, "w", encoding="ascii") as file:
                        file.write(str(calls))
            return real(*arguments, **options)

        return call

    for name in CALLS:
        setattr(os, name, wrapped(name, getattr(os, name)))


def _give_up(capability: int) -> None:
    """Remove one Linux capability from this process."""
    libc = ctypes.CDLL(None, use_errno=True)
    head = (ctypes.c_uint32 * 2)(0x20080522, 0)
    sets = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable: the low word, then the high one
    if libc.capget(head, sets):
        raise OSError(ctypes.get_errno(), "capget")
    sets[0] &= ~(1 << capability)
    sets[1] &= ~(1 << capability)
    if libc.capset(head, sets):
        raise OSError(ctypes.get_errno(), "capset")
