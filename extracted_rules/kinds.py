"""What a file is that is none of those asked for, told from how it begins."""

import re

#: How much of a file's beginning is enough to tell.
HEAD = 4096

_STARTS: tuple[tuple[bytes, str], ...] = (
    (
        rb"version https://git-lfs",
        "a Git LFS pointer, which only names the file; `git lfs pull` fetches it",
    ),
    (
        rb"(?i)\s*<(!doctype html|html|head|\?xml)",
        "a web page; perhaps the download needed a login or the address of the file itself",
    ),
    (rb"\x80[\x02-\x05]", "a pickled object, and pickles are never run"),
    (rb"PK\x03\x04", "a zip archive"),
    (rb"\x1f\x8b", "compressed (gzip)"),
    (rb"BZh|\xfd7zXZ\x00|\x28\xb5\x2f\xfd|7z\xbc\xaf", "compressed"),
    (rb"\x89PNG|\xff\xd8\xff|GIF8|RIFF....WEBP", "an image"),
    (rb"%PDF-", "a PDF document"),
    (rb"\x93NUMPY", "a NumPy array"),
    (rb"\x89HDF", "an HDF5 file"),
    (rb"(?s).{6}\x00\x00\{", "a safetensors file"),
)


def kind_of(head: bytes) -> str | None:
    """What a file is that begins with these bytes (HEAD of them, or all there are), as in
    ``"an image"``; None for text and for what cannot be told."""
    if not head:
        return "empty; perhaps a download or a copy was cut off"
    for start, kind in _STARTS:
        if re.match(start, head):
            return kind
    return "binary, of no known kind" if b"\x00" in head else None
