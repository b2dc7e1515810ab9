"""Looks at an SQLite write-ahead log from outside, without disturbing anybody's locks.

The log is written again and again from its beginning, so its size says nothing: frames of this
round are those that carry the salts of its header.

Source: sqlite.org/fileformat2.html, the write-ahead log.
"""

import os

LOG_BYTES = 4 * 1024 * 1024
"""How long the log may grow before it is moved into the database."""

_HEADER_BYTES = 32
_FRAME_HEADER_BYTES = 24


def log_has_frames(path: str, number: int) -> bool:
    """Say whether at least so many frames of the present round have been written."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        header = os.pread(descriptor, _HEADER_BYTES, 0)
        page_bytes = int.from_bytes(header[8:12])
        offset = _HEADER_BYTES + (number - 1) * (_FRAME_HEADER_BYTES + page_bytes)
        frame = os.pread(descriptor, _FRAME_HEADER_BYTES, offset)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    # Salts: bytes 16 to 24 of the header, 8 to 16 of each frame.
    return len(frame) == _FRAME_HEADER_BYTES and frame[8:16] == header[16:24]
