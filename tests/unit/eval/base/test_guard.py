"""The guard: a library's, the system's or the memory's error is one line with its code; a bug of ours stays a traceback."""

from __future__ import annotations

import concurrent.futures
import errno
import gzip
import io
import json
import lzma
import multiprocessing
import os
import pickle
import subprocess
import sys
import types
import zipfile
from pathlib import Path

import numpy as np
import pytest

from hyperofa_eval.base.errors import DataMissingError, InputError
from hyperofa_eval.base.guard import explain, run_guarded

tokenizers = pytest.importorskip("tokenizers")


def caught(call, *arguments):
    try:
        call(*arguments)
    except BaseException as error:  # noqa: BLE001
        return error
    raise AssertionError("nothing was raised")


def told(capsys, call, *arguments) -> tuple[int, str]:
    code = run_guarded("prog", call, *arguments)
    error = capsys.readouterr().err
    assert error.startswith("prog: error: ")
    assert error.count("\n") == 1
    return code, error.removeprefix("prog: error: ").rstrip("\n")


def wordpiece():
    return tokenizers.Tokenizer(tokenizers.models.WordPiece({"a": 0}, unk_token="[UNK]"))


def unigram():
    return tokenizers.Tokenizer(tokenizers.models.Unigram([("a", 0.0)], unk_id=None))


def bpe():
    return tokenizers.Tokenizer(tokenizers.models.BPE({"a": 0}, [], unk_token="[UNK]"))


def encode_in_worker(text):
    return len(wordpiece().encode(text).ids)


def bug_in_worker(text):
    raise Exception(text)


def in_worker(work):
    with concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("fork")) as pool:
        return pool.submit(work, "b").result()


def unpack(library):
    def read(path):
        with library.open(path) as handle:
            return handle.read()

    return read


class TestTokenizers:
    @pytest.mark.parametrize("make", [wordpiece, unigram, bpe])
    def test_a_character_without_an_unknown_token(self, capsys, make):
        code, line = told(capsys, lambda: make().encode("b"))
        assert code == 2
        assert line.startswith("tokenizers failed (")
        assert "unk" in line.lower()
        assert "HYPEROFA_TRACEBACK=1 shows where" in line

    @pytest.mark.parametrize("text", ["{", "[]", '{"model": {}}', ""])
    def test_a_damaged_tokenizer_file(self, capsys, tmp_path, text):
        (tmp_path / "tokenizer.json").write_text(text)
        code, line = told(capsys, tokenizers.Tokenizer.from_file, str(tmp_path / "tokenizer.json"))
        assert (code, line.startswith("tokenizers failed (")) == (2, True)

    def test_a_file_that_is_not_there(self, capsys, tmp_path):
        code, line = told(capsys, tokenizers.Tokenizer.from_file, str(tmp_path / "none.json"))
        assert code == 3
        assert "No such file or directory" in line

    def test_in_a_process_of_a_pool(self, capsys):
        code, line = told(capsys, in_worker, encode_in_worker)
        assert (code, line.startswith("tokenizers failed (WordPiece error")) == (2, True)

    def test_a_wrong_call_of_ours_stays_a_traceback(self):
        with pytest.raises(TypeError):
            run_guarded("prog", wordpiece().encode, 3)

    def test_a_panic(self, capsys):
        panic = types.new_class("PanicException", (BaseException,))
        panic.__module__ = "pyo3_runtime"

        def fail():
            raise panic("called `Option::unwrap()` on a `None` value")

        code, line = told(capsys, fail)
        assert (code, line.startswith("tokenizers failed (called")) == (2, True)


class TestFiles:
    def test_damaged_tensors(self, capsys, tmp_path):
        from safetensors.numpy import load_file, save_file

        path = tmp_path / "model.safetensors"
        save_file({"a": np.zeros(99, np.float32)}, path)
        whole = path.read_bytes()
        for damaged in (whole[:-9], whole[:40], b"", b"\xff" * 64, b"garbage" * 9, whole + b"x"):
            path.write_bytes(damaged)
            code, line = told(capsys, load_file, path)
            assert (code, line.startswith("safetensors failed (")) == (2, True)
        code, line = told(capsys, load_file, tmp_path / "none.safetensors")
        assert code == 3
        assert "none.safetensors" in line

    def test_damaged_tables(self, capsys, tmp_path):
        pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        table, path = pa.table({"text": ["a"] * 99}), tmp_path / "t"
        pq.write_table(table, path)
        whole = path.read_bytes()
        for damaged in (whole[:-9], whole[:9], b"", b"PAR1" + b"\xff" * 99 + b"PAR1"):
            path.write_bytes(damaged)
            code, line = told(capsys, pq.read_table, path)
            assert (code, line.startswith("pyarrow failed (")) == (2, True)
        with pa.OSFile(str(path), "wb") as handle, pa.ipc.new_stream(handle, table.schema) as writer:
            writer.write_table(table)
        path.write_bytes(path.read_bytes()[:150])
        code, line = told(capsys, lambda: pa.ipc.open_stream(pa.memory_map(str(path))).read_all())
        assert (code, line.startswith("pyarrow failed (")) == (2, True)

    @pytest.mark.parametrize(
        ("content", "read", "name"),
        [
            (lzma.compress(b"a" * 99)[:-9], unpack(lzma), "lzma"),
            (b"\xfd7zXZ\0garbage", unpack(lzma), "lzma"),
            (gzip.compress(b"a" * 99, mtime=0)[:-9], unpack(gzip), "gzip"),
            (b"no gzip", unpack(gzip), "gzip"),
            (b"\x1f\x8b\x08\0\0\0\0\0\0" + b"\xff" * 99, unpack(gzip), "zlib"),
            (b"\xff\xfe", lambda path: path.read_text(encoding="utf-8"), "codecs"),
            (b"{", lambda path: json.loads(path.read_bytes()), "json"),
            (b"[" * 200_000, lambda path: json.loads(path.read_bytes()), "json"),
            (b"PK\3\4 no zip", zipfile.ZipFile, "zipfile"),
            (b"\x93NUMPY\1\0", np.load, "numpy"),
            (pickle.dumps(1), np.load, "numpy"),
            (b"\x80\4garbage", lambda path: pickle.loads(path.read_bytes()), "pickle"),
        ],
    )
    def test_what_a_reader_raises_of_a_damaged_file(self, capsys, tmp_path, content, read, name):
        (tmp_path / "f").write_bytes(content)
        code, line = told(capsys, read, tmp_path / "f")
        assert code == 2
        assert line.startswith(f"{name} failed (") or line.startswith("gzip or lzma failed (")

    def test_a_damaged_model_folder(self, capsys, tmp_path):
        from transformers import AutoConfig, AutoTokenizer

        (tmp_path / "config.json").write_text('{"model_type": "nonsense"}')
        code, line = told(capsys, AutoConfig.from_pretrained, str(tmp_path))
        assert (code, line.startswith("transformers failed (")) == (2, True)
        (tmp_path / "config.json").write_text('{"model_type": "bert"}')
        (tmp_path / "tokenizer.json").write_text("{")
        code, line = told(capsys, AutoTokenizer.from_pretrained, str(tmp_path))
        assert code == 2
        assert " failed (" in line


class TestSystem:
    @pytest.mark.parametrize(
        ("number", "code", "said"),
        [
            (errno.ENOSPC, 1, "No space left on device; make room"),
            (errno.EDQUOT, 1, "quota"),
            (errno.EIO, 1, "check the disk"),
            (errno.EROFS, 1, "Read-only"),
            (errno.EFBIG, 1, "File too large"),
            (errno.EACCES, 1, "check the permissions"),
            (errno.ENOENT, 3, "No such file"),
            (errno.ENOTDIR, 2, "Not a directory"),
            (errno.EISDIR, 2, "Is a directory"),
        ],
    )
    def test_errors_of_paths(self, capsys, number, code, said):
        def fail():
            raise OSError(number, os.strerror(number), "/x/model")

        found, line = told(capsys, fail)
        assert (found, line.startswith("/x/model: ")) == (code, True)
        assert said in line

    def test_a_full_disk_under_every_writer(self, capsys, small_disk):
        from safetensors.numpy import save_file

        pa = pytest.importorskip("pyarrow")
        words = {f"word{i}": i for i in range(20_000)}
        tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="word0"))
        table = pa.table({"a": list(range(50_000))})

        def arrow():
            with pa.OSFile(str(small_disk / "a"), "wb") as handle, pa.ipc.new_stream(handle, table.schema) as writer:
                writer.write_table(table)

        def torch_file():
            import torch

            torch.save({"a": torch.zeros(50_000)}, small_disk / "t")

        writers = [
            lambda: tokenizer.save(str(small_disk / "tokenizer.json")),
            lambda: save_file({"a": np.zeros(50_000)}, small_disk / "a.safetensors"),
            lambda: (small_disk / "f").write_bytes(bytes(500_000)),
            lambda: np.save(small_disk / "a.npy", np.zeros(50_000)),
            arrow,
            torch_file,
        ]
        for write in writers:
            code, line = told(capsys, write)
            assert code == 1
            assert "room" in line
            for path in small_disk.iterdir():
                path.unlink()

    def test_a_full_disk_behind_another_error(self, capsys):
        def fail():
            try:
                raise OSError(errno.ENOSPC, "No space left on device", "/x/cache")
            except OSError as error:
                raise InputError("not a readable file", where="/x/a.parquet") from error

        assert told(capsys, fail) == (1, "/x/a.parquet: not a readable file")

    def test_a_full_disk_under_the_output(self):
        """What a command prints fails only when it is flushed, which Python would do while it ends."""
        program = "import sys; from hyperofa_eval.cli import main; sys.exit(main(['list']))"
        if not Path("/dev/full").is_char_device():
            pytest.skip("no /dev/full here")
        with Path("/dev/full").open("w") as full:
            done = subprocess.run(
                [sys.executable, "-c", program], stdout=full, stderr=subprocess.PIPE, text=True, check=False
            )
        assert done.returncode == 1
        assert done.stderr == "hyperofa-eval: error: reading or writing: No space left on device; make room\n"

    def test_want_of_memory(self, capsys):
        import torch

        for ask in (lambda: np.zeros(10**16), lambda: torch.zeros(10**16), lambda: bytearray(10**18)):
            code, line = told(capsys, ask)
            assert (code, line.startswith("out of memory (")) == (1, True)

        def on_a_gpu():
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")

        assert told(capsys, on_a_gpu)[0] == 1


class TestHub:
    @pytest.mark.parametrize(
        ("name", "code"),
        [("OfflineModeIsEnabled", 1), ("LocalEntryNotFoundError", 3), ("HFValidationError", 2), ("CacheNotFound", 2)],
    )
    def test_what_the_hub_raises(self, capsys, name, code):
        errors = pytest.importorskip("huggingface_hub.errors")
        kind = getattr(errors, name)

        def fail():
            raise kind("the name\nis wrong") if name != "CacheNotFound" else kind("the name is wrong", cache_dir="/x")

        found, line = told(capsys, fail)
        assert found == code
        assert line.startswith("huggingface_hub failed (the name is wrong)")

    @pytest.mark.parametrize(("status", "code"), [(404, 2), (401, 2), (503, 1)])
    def test_a_refusing_hub(self, capsys, status, code):
        errors = pytest.importorskip("huggingface_hub.errors")

        def fail():
            response = types.SimpleNamespace(status_code=status, headers={}, request=None)
            raise errors.HfHubHTTPError("the hub refused", response=response)

        assert told(capsys, fail)[0] == code

    def test_no_connection(self, capsys):
        def fail():
            raise ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")

        assert told(capsys, fail)[0] == 1

    def test_a_data_set_that_cannot_be_made(self, capsys):
        exceptions = pytest.importorskip("datasets.exceptions")

        def fail(cause):
            try:
                raise cause
            except Exception as error:
                raise exceptions.DatasetGenerationError("An error occurred while generating the dataset") from error

        assert told(capsys, fail, ValueError("a bad row"))[0] == 2
        code, line = told(capsys, fail, OSError(errno.ENOSPC, "No space left on device", "/x/cache"))
        assert (code, line) == (1, "/x/cache: No space left on device; make room")


class _Ours(ValueError):
    """A class of our own code that is no error for users."""


class TestBugs:
    @pytest.mark.parametrize(
        "bug",
        [
            AttributeError("x"),
            KeyError("x"),
            TypeError("x"),
            IndexError("x"),
            ValueError("x"),
            RuntimeError("x"),
            Exception("x"),
            AssertionError(),
            ZeroDivisionError(),
            NotImplementedError(),
            RecursionError("x"),
            UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid"),
            _Ours("x"),
        ],
        ids=lambda bug: type(bug).__name__,
    )
    def test_what_our_code_raises_stays_a_traceback(self, bug):
        def fail():
            raise bug

        assert caught(run_guarded, "prog", fail) is bug

    def test_what_our_code_trips_over_while_a_library_failed(self):
        def fail():
            try:
                wordpiece().encode("b")
            except Exception as error:  # noqa: BLE001
                error.missing  # noqa: B018

        with pytest.raises(AttributeError):
            run_guarded("prog", fail)

    def test_code_of_ours_below_a_library_that_loads(self):
        """A model class of ours that fails while transformers makes it is a bug, not a damaged folder."""
        ours = types.ModuleType("hyperofa.made_up")
        exec("def build():\n    raise ValueError('a bug')", ours.__dict__)
        library = types.ModuleType("transformers.made_up")
        exec("def from_pretrained(call):\n    return call()", library.__dict__)
        with pytest.raises(ValueError, match="a bug"):
            run_guarded("prog", library.from_pretrained, ours.build)

    def test_wrong_calls_of_libraries(self):
        import torch

        pa = pytest.importorskip("pyarrow")
        calls = [
            lambda: torch.zeros(2) @ torch.zeros(3),
            lambda: np.zeros(2).reshape(3),
            lambda: pa.table({"a": [1]}).column("b"),
            lambda: pa.table({"a": [1]}).slice("x"),
            b"\xff".decode,
            lambda: int("x"),
            lambda: json.dumps(float("nan"), allow_nan=False),
            lambda: np.lib.stride_tricks.sliding_window_view(np.zeros(3), 9),
        ]
        for call in calls:
            error = caught(run_guarded, "prog", call)
            assert explain(error) is None

    def test_in_a_process_of_a_pool(self):
        with pytest.raises(Exception, match=r"^b$"):
            run_guarded("prog", in_worker, bug_in_worker)


class TestEdge:
    def test_our_errors_are_their_own_line(self, capsys):
        def fail():
            raise DataMissingError("no such file", where="a.txt", todo="make it")

        assert told(capsys, fail) == (3, "a.txt: no such file; make it")

    def test_the_traceback_is_shown_where_it_is_asked_for(self, capsys, monkeypatch):
        monkeypatch.setenv("HYPEROFA_TRACEBACK", "1")
        assert run_guarded("prog", lambda: wordpiece().encode("b")) == 2
        printed = capsys.readouterr().err
        assert "Traceback" in printed
        assert printed.splitlines()[-1].startswith("prog: error: tokenizers failed")

    def test_the_end_of_a_pipe_says_nothing(self, capsys):
        def fail():
            raise BrokenPipeError(errno.EPIPE, "Broken pipe")

        assert run_guarded("prog", fail) == 1
        assert capsys.readouterr().err == ""

    def test_an_exit_passes_through(self):
        with pytest.raises(SystemExit):
            run_guarded("prog", sys.exit, 2)

    def test_another_rank_waits_for_the_first(self, capsys, monkeypatch):
        from hyperofa_eval.base import guard

        waited = []
        monkeypatch.setattr(guard.time, "sleep", waited.append)
        monkeypatch.setattr(guard.signal, "signal", lambda *_: None)
        assert run_guarded("prog", lambda: wordpiece().encode("b"), rank=1) == 2
        assert waited == [guard.SECONDS_FOR_RANK_0]
        assert capsys.readouterr().err.count("\n") == 1


def test_a_long_message_is_cut(capsys):
    def fail():
        raise json.JSONDecodeError("x" * 5000, "", 0)

    assert len(told(capsys, fail)[1]) < 600


def test_an_error_of_a_stream_without_a_name():
    explained = explain(caught(io.open, 10**6))  # a descriptor that is not there
    assert explained is not None
    assert explained.exit_code == 1


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_results_are_printed_where_the_output_is_no_utf8(encoding, monkeypatch):
    written = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(written, encoding=encoding))
    assert run_guarded("tool", lambda: sys.stdout.write("3 entries → DIR\n") and None) == 0
    assert written.getvalue() == b"3 entries \\u2192 DIR\n"
