"""What is installed here: for bug reports and for the record of a run."""

from __future__ import annotations

import os
import platform
import re
from importlib import metadata

import torch

from boldformer import __version__


def versions() -> dict[str, str]:
    """Versions of BoldFormer, its required libraries, Python and the platform."""
    found = {"boldformer": __version__}
    for name in _requirements(None):
        found[name] = _version(name)
    found["python"] = platform.python_version()
    found["platform"] = platform.platform(terse=True)
    return found


def describe_system() -> str:
    """Text of `boldformer info`."""
    lines = [f"{name:<16} {version}" for name, version in versions().items()]
    lines += [
        "",
        f"{'cores':<16} {os.cpu_count()}",
        f"{'memory':<16} {_memory()}",
        f"{'CPU features':<16} {torch.backends.cpu.get_cpu_capability()}",
        f"{'devices':<16} {', '.join(_devices())}",
        "",
        "extras",
    ]
    for extra, names in _extras().items():
        state = ", ".join(f"{name} {_version(name)}" for name in names)
        lines.append(f"  {extra:<14} {state}")
    return "\n".join(lines)


def _devices() -> list[str]:
    cuda = [
        f"cuda:{i} {torch.cuda.get_device_name(i)}"
        for i in range(torch.cuda.device_count())
    ]
    return ["cpu", *cuda]


def _memory() -> str:
    try:
        size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return "unknown"
    return f"{size / 2**30:.1f} GiB"


def _extras() -> dict[str, list[str]]:
    names = metadata.metadata("boldformer").get_all("Provides-Extra") or []
    return {name: _requirements(name) for name in sorted(names)}


def _requirements(extra: str | None) -> list[str]:
    """Names of the libraries that the package, or one of its extras, asks for."""
    found = []
    for line in metadata.requires("boldformer") or []:
        marker = re.search(r"extra\s*==\s*['\"]([^'\"]+)['\"]", line)
        if (marker.group(1) if marker else None) == extra:
            name = re.match(r"[A-Za-z0-9._-]+", line)
            if name and name.group() != "boldformer":
                found.append(name.group())
    return found


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"
