from __future__ import annotations

import gzip
import json
import tracemalloc

import pytest

from napari_omezarr_cloud.errors import MetadataError
from napari_omezarr_cloud.ngff import parse_document, parse_json
from napari_omezarr_cloud.ngff.documents import MAX_DOCUMENT_BYTES


def _refused(raw: bytes) -> str:
    with pytest.raises(MetadataError) as caught:
        parse_json(raw, where="s3://bucket/x.zarr", key=".zattrs")
    assert caught.value.key == ".zattrs"
    assert "s3://bucket/x.zarr" in str(caught.value)
    return str(caught.value)


def test_an_object_comes_back_as_it_is() -> None:
    assert parse_json(b'{"a": [1, "\xc3\xa9"]}', where="x", key="k") == {"a": [1, "é"]}


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        pytest.param(b"", "empty", id="no bytes"),
        pytest.param(b" \n", "empty", id="only blanks"),
        pytest.param(b'{"multiscales": [{"axes"', "JSON ends in the middle", id="cut"),
        pytest.param(b'{"multiscales": "abc', "JSON ends in the middle", id="cut in a text"),
        pytest.param(b'{"a": 1} // two', "no JSON", id="comment"),
        pytest.param('{"a": "ü"}'.encode("latin-1"), "not UTF-8", id="latin-1"),
        pytest.param('{"a": 1}'.encode("utf-16"), "not UTF-8", id="utf-16"),
        pytest.param(b"[1, 2, 3]", "a list ([1, 2, 3]), not an object", id="list"),
        pytest.param(b"null", "not an object", id="null"),
        pytest.param(b"<!DOCTYPE html><html>", "HTML page", id="sign-in page"),
        pytest.param(b"\n <html lang=en>", "HTML page", id="page with blanks before"),
        pytest.param(b"<?xml version='1.0'?><Error>", "XML message", id="storage error"),
        pytest.param(b'{"a": ' + b"[" * 100_000, "nested too deep", id="100,000 brackets"),
        pytest.param(b'{"a":' * 150 + b"1" + b"}" * 150, "nested too deep", id="deep and complete"),
        pytest.param(b'{"a": ' + b"1" * 5000 + b"}", "no usable JSON", id="5,000 digits"),
        pytest.param(gzip.compress(b"{}")[:-6], "gzip data end", id="cut gzip"),
        pytest.param(b"\x1f\x8bnonsense", "cannot be unpacked", id="no gzip after all"),
    ],
)
def test_what_is_no_metadata_is_named(raw: bytes, said: str) -> None:
    assert said in _refused(raw)


def test_a_document_above_the_limit_is_refused() -> None:
    assert "too large" in _refused(b" " * (MAX_DOCUMENT_BYTES + 1))


def test_a_gzip_bomb_is_refused_without_unpacking_it_all() -> None:
    bomb = gzip.compress(b" " * (4 * MAX_DOCUMENT_BYTES), compresslevel=1)

    tracemalloc.start()
    said = _refused(bomb)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert "too large" in said
    assert peak < 3 * MAX_DOCUMENT_BYTES


def test_a_byte_order_mark_is_skipped_with_a_note() -> None:
    document = parse_document(b'\xef\xbb\xbf{"a": 1}', where="x", key=".zattrs")

    assert document.content == {"a": 1}
    assert "byte order mark" in document.notes[0]


def test_gzip_that_nobody_announced_is_unpacked_with_a_note() -> None:
    document = parse_document(gzip.compress(b'{"a": 1}'), where="x", key="zarr.json")

    assert document.content == {"a": 1}
    assert "gzip" in document.notes[0]


def test_of_duplicate_keys_the_last_counts_with_a_note() -> None:
    raw = b'{"multiscales": null, "multiscales": 1}'

    document = parse_document(raw, where="x", key=".zattrs")

    assert document.content == {"multiscales": 1}
    assert "duplicate keys ('multiscales')" in document.notes[0]


def test_eight_megabytes_of_other_attributes_do_no_harm() -> None:
    raw = json.dumps({"padding": "x" * 8_000_000, "multiscales": []}).encode()

    assert parse_json(raw, where="x", key=".zattrs")["multiscales"] == []


def test_messages_stay_short_however_long_the_document_is() -> None:
    assert len(_refused(b'["' + b"x" * 1_000_000 + b'"]')) < 1000
