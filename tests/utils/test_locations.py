"""URLs and paths that a user names."""

from __future__ import annotations

import pytest

from yolo_callbacks.utils.locations import absolute_path, check_scheme, expanded_path

KNOWN = frozenset({"s3", "file"})


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("s3:/bucket/x", "url must begin with 's3://', such as 's3://bucket/x', received 's3:/bucket/x'"),
        ("s3:bucket", "such as 's3://bucket', received 's3:bucket'"),
        ("file:/mnt", "such as 'file:///mnt', received 'file:/mnt'"),
        ("other:/x", "such as 'other://x'"),
        ("s3:me:pass@host/x?key=1", "such as 's3://host/x', received 's3:host/x'$"),
    ],
)
def test_a_scheme_without_two_slashes_is_refused(url, message):
    with pytest.raises(ValueError, match=message):
        check_scheme("url", url, KNOWN)


@pytest.mark.parametrize("url", ["s3://x", "file:///x", "/a/s3:/x", "./s3:/x", "run:1", "store", "~/x", "C:/x", ""])
def test_other_texts_are_accepted(url):
    check_scheme("url", url, KNOWN)


def test_the_home_folder_takes_the_place_of_its_sign(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.chdir(tmp_path)
    assert expanded_path("url", "~/x") == "/home/me/x"
    assert expanded_path("url", "a/~/x") == "a/~/x"
    assert absolute_path("url", "./~me") == f"{tmp_path}/~me"
    with pytest.raises(ValueError, match="url: the home folder of ~nobody-of-that-name is not known"):
        expanded_path("url", "~nobody-of-that-name/x")
