"""Importing: every format gives the same store; damage gives one line; a pickle runs nothing."""

from __future__ import annotations

import gzip
import io
import json
import lzma
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hyperofa import cli
from hyperofa.errors import HyperofaError, InputError
from hyperofa.vectors.importing import import_file
from hyperofa.vectors.readers.fasttext import subwords
from hyperofa.vectors.readers.gensim import _Unpickler
from hyperofa.vectors.settings import ImportSettings
from hyperofa.vectors.store import WordVectors
from tests.unit.vectors.conftest import STORED, WORDS, imported, write_binary, write_fasttext, write_gensim, write_text


class TestFormats:
    @pytest.mark.parametrize(
        "name", ["v.vec", "v.txt", "headless.txt", "v.vec.gz", "v.txt.xz", "v.bin", "v.w2v", "ft.bin"]
    )
    def test_same_store_from_all(self, tmp_path, vectors, name):
        path = tmp_path / name
        plain = tmp_path / "plain"
        write_text(plain, WORDS, vectors)
        if name in {"v.bin", "v.w2v"}:
            write_binary(path, WORDS, vectors)
        elif name == "ft.bin":
            write_fasttext(path, WORDS, vectors, labels=["__label__x"])
        elif name.endswith(".gz"):
            path.write_bytes(gzip.compress(plain.read_bytes()))
        elif name.endswith(".xz"):
            path.write_bytes(lzma.compress(plain.read_bytes()))
        else:
            write_text(path, WORDS, vectors, header=name != "headless.txt")
        summary, store = imported(path, tmp_path / "out")
        assert list(store.words) == STORED
        np.testing.assert_allclose(store.vectors, vectors, rtol=1e-6)
        assert summary.languages == {"eng": 3, "deu": 1, "cmn": 1}
        assert store.meta["boundary"] == "$"

    @pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
    @pytest.mark.parametrize("beside", [False, True])
    def test_gensim(self, tmp_path, vectors, gensim_class, protocol, beside):
        write_gensim(tmp_path / "v.wv", gensim_class, WORDS, vectors, protocol=protocol, beside=beside)
        summary, store = imported(tmp_path / "v.wv", tmp_path / "out")
        assert summary.format == "gensim"
        assert set(store.meta["made_by"]["inputs"]) == {"file", *(["vectors"] if beside else [])}
        assert list(store.words) == STORED
        assert (store.vectors == vectors).all()

    def test_gensim_3(self, tmp_path, vectors, gensim_class):
        record = gensim_class.Word2VecKeyedVectors()
        entry = gensim_class.Vocab()
        entry.count, entry.index = np.int64(3), 0
        record.__dict__.update(index2word=WORDS, vocab=dict.fromkeys(WORDS, entry), vectors=vectors, vectors_norm=None)
        (tmp_path / "v.wv").write_bytes(pickle.dumps(record, protocol=2))
        assert list(imported(tmp_path / "v.wv", tmp_path / "out")[1].words) == STORED

    def test_the_format_can_be_said(self, tmp_path, vectors):
        write_binary(tmp_path / "v.dat", WORDS, vectors)
        assert imported(tmp_path / "v.dat", tmp_path / "out", format="binary")[0].format == "binary"
        with pytest.raises(InputError, match="did you mean 'binary'"):
            import_file(tmp_path / "v.dat", tmp_path / "o", ImportSettings(format="binari"))

    @pytest.mark.parametrize("name", ["v.bin.gz", "v.wv.xz"])
    def test_only_text_is_read_packed(self, tmp_path, name):
        (tmp_path / name).write_bytes(b"\x1f\x8b packed")
        with pytest.raises(InputError, match="only text is read packed; unpack it first"):
            import_file(tmp_path / name, tmp_path / "out", ImportSettings(skip_bad=True))

    def test_words_with_spaces_inside(self, tmp_path, vectors):
        write_text(tmp_path / "v.vec", ["eng:New York", *WORDS[1:]], vectors)
        assert imported(tmp_path / "v.vec", tmp_path / "out")[1].words[0] == "eng:New York"


def plain_subwords(word, bucket, shortest, longest):
    """The n-grams by fastText's own loops: FNV-1a over signed bytes of ``<word>``."""
    marked, found = f"<{word}>", []
    for i in range(len(marked)):
        for n in range(shortest, longest + 1):
            if i + n > len(marked) or (n == 1 and (i == 0 or i + n == len(marked))):
                continue
            state = 2166136261
            for byte in marked[i : i + n].encode():
                widened = byte | 0xFFFFFF00 if byte >= 0x80 else byte
                state = ((state ^ widened) * 16777619) & 0xFFFFFFFF
            found.append(state % bucket)
    return sorted(found)


@given(
    st.lists(st.text("abé政🐕", min_size=1, max_size=7), min_size=1, max_size=4), st.integers(1, 3), st.integers(0, 3)
)
def test_fasttext_subwords_against_plain_loops(words, shortest, more):
    owner, buckets = subwords([w.encode() for w in words], 97, shortest, shortest + more)
    for i, word in enumerate(words):
        assert sorted(buckets[owner == i].tolist()) == plain_subwords(word, 97, shortest, shortest + more)


def test_fasttext_vectors_are_means_of_rows(tmp_path):
    words = ["</s>", "dog", "政府"]
    matrix = np.random.default_rng(0).normal(size=(3 + 50, 4)).astype(np.float32)
    write_fasttext(tmp_path / "m.bin", words, matrix, bucket=50, shortest=2, longest=4)
    _, store = imported(tmp_path / "m.bin", tmp_path / "out")
    assert list(store.words) == [f"eng:{word}" for word in words]
    np.testing.assert_allclose(store.vectors[0], matrix[0], rtol=1e-6)
    for i in (1, 2):
        rows = [i, *(3 + b for b in plain_subwords(words[i], 50, 2, 4))]
        np.testing.assert_allclose(store.vectors[i], matrix[rows].mean(0), rtol=1e-5)


class TestKeys:
    def test_filter_duplicates_and_malformed_are_counted(self, tmp_path):
        words = ["eng:dog", "eng:dog", "a:b:c", "deu:Hund", "eng:", "$", "xyz!:w", "dog", "fra:chien"]
        write_text(tmp_path / "v.vec", words, np.ones((len(words), 2)))
        summary, store = imported(tmp_path / "v.vec", tmp_path / "out", languages=["eng", "deu"])
        assert list(store.words) == ["eng:dog", "deu:Hund"]
        # The bare "dog" is English, and so a second one; the lone "$" and the empty word are malformed.
        assert (summary.malformed, summary.duplicates, summary.unwanted) == (4, 2, 1)
        assert store.meta["left_out"]["malformed"] == 4

    def test_other_schemes(self, tmp_path):
        words = ["dog", "$100", "10:30", "de/Hund"]
        write_text(tmp_path / "v.vec", words, np.ones((4, 2)))
        bare = {"separator": None, "default_language": "deu", "boundary": None}
        _, store = imported(tmp_path / "v.vec", tmp_path / "a", **bare)
        assert list(store.words) == ["deu:dog", "deu:$100", "deu:de/Hund"]
        assert store.words.scheme.boundary is None
        _, store = imported(tmp_path / "v.vec", tmp_path / "b", separator="/", default_language=None, boundary="_")
        assert list(store.words) == ["de:Hund"]

    def test_nothing_left(self, tmp_path, vectors):
        write_text(tmp_path / "v.vec", WORDS, vectors)
        with pytest.raises(InputError, match="no word left; check the languages asked for"):
            import_file(tmp_path / "v.vec", tmp_path / "out", ImportSettings(languages=["kat"]))
        assert not (tmp_path / "out").exists()


class Evil:
    def __init__(self, call, *arguments):
        self.call, self.arguments = call, arguments

    def __reduce__(self):
        return self.call, self.arguments


class TestMalice:
    @pytest.mark.parametrize("protocol", range(6))
    def test_a_command_is_refused_by_name_and_does_not_run(self, tmp_path, protocol, capsys):
        import os

        witness = tmp_path / "witness"
        (tmp_path / "v.wv").write_bytes(pickle.dumps(Evil(os.system, f"touch {witness}"), protocol=protocol))
        pickle.loads((tmp_path / "v.wv").read_bytes())  # it works as an attack
        assert witness.exists()
        witness.unlink()
        assert cli.main(["vectors", "import", str(tmp_path / "v.wv"), "--out", str(tmp_path / "out")]) == 2
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert "refused" in line
        assert "system" in line
        assert not witness.exists()
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize(
        "payload",
        [
            b'cbuiltins\neval\n(S\'open("{0}", "w")\'\ntR.',
            b"cbuiltins\ngetattr\n(cbuiltins\n__import__\n(S'os'\ntRS'system'\ntR(S'touch {0}'\ntR.",
            b"cnumpy\nload\n(S'{0}'\ntR.",
            b"cgensim.utils\nunpickle\n(S'{0}'\ntR.",
            b"c_codecs\nencode\n(S'x'\nS'zlib'\ntR.",
            b"cnumpy\ndtype\n(S'O'\ntR.",
            b"cgensim.models.keyedvectors\nKeyedVectors.__init__.__globals__\n.",
            b"Pan id\n.",
        ],
    )
    def test_other_ways_in(self, tmp_path, payload):
        witness = tmp_path / "witness"
        (tmp_path / "v.wv").write_bytes(payload.replace(b"{0}", str(witness).encode()))
        with pytest.raises(InputError, match=r"(refused|damaged) as a gensim file"):
            import_file(tmp_path / "v.wv", tmp_path / "out", ImportSettings())
        assert not witness.exists()

    @pytest.mark.parametrize(
        "payload",
        [
            b"cnumpy\nndarray\n((I1\ntS'O'\nS'AAAAAAAA'\ntR.",  # bytes as pointers to objects
            b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I1\ntS'O'\ntR.",
            b"cnumpy\ndtype\n(S'f8'\ntR(I3\nS'<'\nNNNI-1\nI-1\nI63\ntb.",  # a float that says it holds objects
        ],
    )
    def test_a_pickle_gets_nothing_of_numpy(self, payload):
        loaded = _Unpickler(io.BytesIO(payload)).load()
        assert not isinstance(loaded, np.ndarray | np.dtype)
        assert not getattr(loaded, "kind", np.dtype("f8")).hasobject

    def test_an_array_of_objects_is_refused(self, tmp_path, gensim_class):
        write_gensim(tmp_path / "v.wv", gensim_class, WORDS, np.array([[1]] * 5, dtype=object))
        with pytest.raises(InputError, match="an array of object"):
            import_file(tmp_path / "v.wv", tmp_path / "out", ImportSettings())

    def test_an_array_beside_is_never_unpickled(self, tmp_path, vectors, gensim_class):
        write_gensim(tmp_path / "v.wv", gensim_class, WORDS, vectors, beside=True)
        np.save(tmp_path / "v.wv.vectors.npy", np.array([[1]] * 5, dtype=object), allow_pickle=True)
        with pytest.raises(InputError, match=r"not a whole \.npy"):
            import_file(tmp_path / "v.wv", tmp_path / "out", ImportSettings())


def written(kind, module, folder):
    vectors = np.arange(30, dtype=np.float32).reshape(5, 6)
    path = folder / {"gensim": "v.wv", "beside": "v.wv", "binary": "v.bin", "fasttext": "f.bin", "text": "v.vec"}[kind]
    if kind in {"gensim", "beside"}:
        write_gensim(path, module, WORDS, vectors, beside=kind == "beside")
    elif kind == "binary":
        write_binary(path, WORDS, vectors)
    elif kind == "fasttext":
        write_fasttext(path, WORDS[:3], np.resize(vectors, (13, 6)), bucket=10, shortest=1, longest=3)
    else:
        write_text(path, WORDS, vectors)
    return path


@pytest.mark.parametrize("kind", ["text", "binary", "fasttext", "gensim", "beside"])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_fuzzed_files_give_a_store_or_one_line(tmp_path_factory, gensim_class, kind, data):
    """Truncated, overwritten, extended anywhere: either it still is a vector file, or one line says why not."""
    folder = tmp_path_factory.mktemp("fuzz")
    path = written(kind, gensim_class, folder)
    target = path.with_name("v.wv.vectors.npy") if kind == "beside" else path
    raw = bytearray(target.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, max(len(raw) - 1, 0)))
        how = data.draw(st.sampled_from(["cut", "set", "insert", "int"]))
        if how == "cut":
            raw = raw[:at]
        elif how == "set" and raw:
            raw[at] = data.draw(st.integers(0, 255))
        elif how == "insert":
            raw[at:at] = data.draw(st.binary(max_size=9))
        else:
            raw[at : at + 8] = struct.pack("<q", data.draw(st.sampled_from([-1, 2**31, 2**62, 0])))
    target.write_bytes(bytes(raw))
    for skip in (False, True):
        fault = None
        try:
            import_file(path, folder / "out", ImportSettings(skip_bad=skip))
        except HyperofaError as error:
            fault = str(error)
        if fault is None:
            assert np.isfinite(WordVectors.open(folder / "out").vectors).all()
        else:
            assert "\n" not in fault
            assert folder.name in fault
            assert not (folder / "out").exists()


class TestCommand:
    def test_summary(self, tmp_path, vectors, capsys):
        write_text(tmp_path / "v.vec", [*WORDS[:-1], "a:b:c"], vectors)
        argv = ["vectors", "import", str(tmp_path / "v.vec"), "--out", str(tmp_path / "out")]
        assert cli.main([*argv, "--json"]) == 0
        printed = json.loads(capsys.readouterr().out)
        assert printed["words"] == 4
        assert printed["skipped"]["malformed keys"] == 1
        assert cli.main(argv) == 0
        assert "malformed keys" in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("more", "message"),
        [
            (["--default-language", "English"], "no language code"),
            (["--boundary", "ab"], "not one sign"),
            (["--format", "word2vec"], "unknown vector format"),
        ],
    )
    def test_wrong_usage(self, tmp_path, vectors, capsys, more, message):
        write_text(tmp_path / "v.vec", WORDS, vectors)
        argv = ["vectors", "import", str(tmp_path / "v.vec"), "--out", str(tmp_path / "out"), *more]
        assert cli.main(argv) == 2
        assert message in capsys.readouterr().err

    def test_an_output_of_another_kind_costs_nothing(self, tmp_path, capsys):
        out = tmp_path / "out"
        out.mkdir()
        (out / "file").write_text("mine")
        assert cli.main(["vectors", "import", str(Path(io.__file__)), "--out", str(out)]) == 2
        assert "holds something else" in capsys.readouterr().err
