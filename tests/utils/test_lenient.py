"""Values and files of any content: what cannot be read is left out."""

from __future__ import annotations

import pytest

from yolo_callbacks.utils.lenient import any_json, any_yaml, as_count, as_mapping, as_number, as_text, epoch_of


def test_lenient_values():
    assert [as_number(value) for value in (1, 1.5, True, "1", None, 10**400)] == [1.0, 1.5, None, None, None, None]
    assert [as_count(value) for value in (3, 3.0, 3.5, -1, float("nan"), "3")] == [3, 3, 0, 0, 0, 0]
    assert [epoch_of(value) for value in (1, 0, 10**9, None)] == [1, None, None, None]
    assert [as_text(value) for value in ("a", 1, None, [], "\ud800", 10**5000)] == ["a", "1", "", "", "?", ""]
    assert as_mapping([1]) == {}


def test_lenient_files(tmp_path):
    file = tmp_path / "file"
    file.write_bytes(b'\xef\xbb\xbf{"a": "\xff"}')
    assert any_json(file) == {"a": "\N{REPLACEMENT CHARACTER}"}
    assert any_yaml(file) == {"a": "\N{REPLACEMENT CHARACTER}"}
    file.write_bytes(b"[" * 100_000 + b"]" * 100_000)
    for read in (any_json, any_yaml):
        with pytest.raises(ValueError, match="too deep"):
            read(file)
