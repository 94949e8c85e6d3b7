"""Numbers of bytes in words."""

from __future__ import annotations

__all__ = ["bytes_text"]


def bytes_text(nbytes: float) -> str:
    """Return ``"2.5 MB"``."""
    size = float(nbytes)
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" or size >= 100 else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
