import io
import pickle
import zipfile
from gzip import compress

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save

from extracted_rules.kinds import kind_of


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(zipfile.ZipInfo("games.txt"), "f5d6")  # without a time
    return file.getvalue()


def array() -> bytes:
    file = io.BytesIO()
    np.save(file, np.zeros(2))
    return file.getvalue()


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"", "empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "a Git LFS"),
        (b"\n<!DOCTYPE HTML><title>Sign in</title>", "a web page"),
        (b"<html lang='en'>", "a web page"),
        (pickle.dumps({"weights": [0.5]}), "a pickled object"),
        (zipped(), "a zip archive"),
        (compress(b"f5d6", mtime=0), "compressed"),
        (b"\x89PNG\r\n\x1a\n\x00", "an image"),
        (b"%PDF-1.7\n", "a PDF"),
        (array(), "a NumPy array"),
        (save({"w": torch.zeros(2)}), "a safetensors file"),
        (b"\x07\x00\x07\x00", "binary"),
    ],
)
def test_files_are_told_by_how_they_begin(head: bytes, kind: str) -> None:
    assert str(kind_of(head)).startswith(kind)


@given(st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), min_size=1))
def test_games_and_prose_are_of_no_other_kind(text: str) -> None:
    assert kind_of(f"f5d6 {text}".encode()) is None
