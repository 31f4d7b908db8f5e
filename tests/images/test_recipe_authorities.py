"""Which certificate authorities travel into an image, and that nothing else does."""

from pathlib import Path

from images.recipes import local_authorities

ONE = b"-----BEGIN CERTIFICATE-----\nQUJD\n-----END CERTIFICATE-----"
TWO = b"-----BEGIN CERTIFICATE-----\nREVG\n-----END CERTIFICATE-----"
KEY = b"-----BEGIN PRIVATE KEY-----\nU0VDUkVU\n-----END PRIVATE KEY-----"


def test_each_certificate_becomes_one_file(tmp_path: Path) -> None:
    (tmp_path / "both.crt").write_bytes(ONE + b"\n" + TWO)
    assert sorted(local_authorities([tmp_path]).values()) == [ONE + b"\n", TWO + b"\n"]


def test_a_private_key_beside_its_certificate_stays_here(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_bytes(KEY + b"\n" + ONE + b"\n" + KEY)
    (tmp_path / "key.pem").write_bytes(KEY)
    found = local_authorities([tmp_path])
    assert list(found.values()) == [ONE + b"\n"]


def test_a_key_inside_a_certificate_block_stays_here(tmp_path: Path) -> None:
    (tmp_path / "odd.crt").write_bytes(ONE.replace(b"QUJD", KEY))
    assert local_authorities([tmp_path]) == {}


def test_file_names_and_line_ends_do_not_matter(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b" / "sub").mkdir(parents=True)
    (tmp_path / "a" / "first.crt").write_bytes(ONE)
    (tmp_path / "b" / "sub" / "other.pem").write_bytes(ONE.replace(b"\n", b"\r\n"))
    assert local_authorities([tmp_path / "a"]) == local_authorities([tmp_path / "b"])


def test_nothing_added_means_nothing_taken(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "README").write_text("no certificate here")
    assert local_authorities([tmp_path, tmp_path / "missing"]) == {}


def test_an_outsized_file_is_no_authority(tmp_path: Path) -> None:
    (tmp_path / "huge.crt").write_bytes(ONE + b"\n" + b"#" * (1 << 20))
    assert local_authorities([tmp_path]) == {}
