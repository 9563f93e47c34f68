"""Overlap: copies what is equal, by role what is special, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from hyperofa.vocab.overlap import HOW, find_overlap, overlap
from hyperofa.vocab.roles import map_roles, special_roles
from hyperofa.vocab.surfaces import token_surfaces
from tests.unit.vocab.conftest import MAKERS, make_unigram, make_wordpiece


def meets(source, target, piece, **options):
    """The source piece that the target piece is met with, or None."""
    found = overlap(source, target, **options)[target.convert_tokens_to_ids(piece)]
    return None if found < 0 else source.convert_ids_to_tokens(int(found))


def test_a_tokenizer_overlaps_itself_entirely(tokenizer):
    found = overlap(tokenizer, tokenizer)
    surfaces = token_surfaces(tokenizer)
    for i, s in enumerate(found):
        if surfaces[i].kind == "unreachable":
            assert s == -1 or surfaces[s].text == surfaces[i].text
        else:
            assert s == i
    assert found.dtype == np.int64


@pytest.mark.parametrize("source_name", list(MAKERS))
def test_equal_means_equal_bytes_and_boundary(families, source_name, family_name):
    """Against the obvious reference: a dictionary of (bytes, boundary)."""
    source, target = families[source_name], families[family_name]
    ours, theirs = token_surfaces(target), token_surfaces(source)
    exact = {(s.text, s.boundary) for s in theirs if s.role is None and s.kind not in {"hole", "unreachable"}}
    found = find_overlap(source, target)
    for i, surface in enumerate(ours):
        j = int(found.source_ids[i])
        if surface.role is not None:
            assert j == map_roles(source, target).get(i, -1)
        elif "isolated" not in {surface.kind, theirs[j].kind if j >= 0 else None}:
            assert (j >= 0) == ((surface.text, surface.boundary) in exact)
            assert j < 0 or theirs[j][:2] == surface[:2]
        elif j >= 0:
            assert theirs[j].text == surface.text


def test_source_id_0_is_an_id(families):
    """Trap: ``if mapping.get(x)`` skips source id 0."""
    source, target = families["wordpiece-uncased"], families["unigram"]
    assert source.pad_token_id == 0
    assert overlap(source, target)[target.pad_token_id] == 0


def test_specials_by_role_not_by_string(families):
    """Trap: ``[CLS]`` never maps to ``<s>`` by string."""
    bert, xlmr = families["wordpiece-uncased"], families["unigram"]
    found = overlap(bert, xlmr)
    for ours, theirs in (("<s>", "[CLS]"), ("</s>", "[SEP]"), ("<unk>", "[UNK]"), ("<mask>", "[MASK]")):
        assert found[xlmr.convert_tokens_to_ids(ours)] == bert.convert_tokens_to_ids(theirs)


def test_bos_stands_in_for_cls(families):
    llama, bert = families["sentencepiece-bpe"], families["wordpiece-uncased"]
    assert special_roles(llama) == {"bos": 1, "eos": 2, "unk": 0}
    found = overlap(llama, bert)
    assert found[bert.cls_token_id] == 1
    assert found[bert.sep_token_id] == 2
    assert found[bert.mask_token_id] == -1


def test_a_special_is_no_text(families):
    """A source that writes ``<s>`` as plain text does not lend that row to the role."""
    source = make_wordpiece(words=["<s>", "dog"])
    target = families["unigram"]
    assert overlap(source, target)[target.cls_token_id] == source.cls_token_id


def test_other_specials_by_text():
    source, target = MAKERS["byte-level"](), MAKERS["unigram"]()
    for tokenizer in (source, target):
        tokenizer.add_special_tokens({"additional_special_tokens": ["<|user|>"]})
    assert meets(source, target, "<|user|>") == "<|user|>"


def test_partial_bytes_meet_their_own_byte(families):
    """Trap: one arbitrary byte fragment copied to all."""
    source, target = families["byte-level"], families["unigram-bytes"]
    found = overlap(source, target)
    rows = [found[target.convert_tokens_to_ids(f"<0x{byte:02X}>")] for byte in range(0x80, 0x100)]
    assert len(set(rows)) == 128
    assert min(rows) >= 0


def test_a_byte_piece_loses_to_its_character(families):
    source, target = families["unigram-bytes"], families["unigram"]
    assert meets(source, target, "d") == "d"
    assert meets(target, source, "<0x64>") == "d"
    assert meets(source, source, "<0x64>") == "<0x64>"


def test_punctuation_of_wordpiece_meets_either_boundary(families):
    """Trap: by the flag alone, ``,`` would be copied from ``##,``, a row that was never trained."""
    bert, xlmr = families["wordpiece-cased"], families["unigram"]
    assert meets(bert, xlmr, ",") == ","
    assert meets(bert, xlmr, "政") == "政"
    assert meets(xlmr, bert, ",") == ","


def test_case_is_exact_unless_asked(families):
    """Trap: ``Dog`` and ``DOG`` given the same row; here an option, and counted."""
    source, target = families["wordpiece-uncased"], families["unigram"]
    assert meets(source, target, "▁Dog") is None
    assert meets(source, target, "▁Dog", fold_case=True) == "dog"
    assert find_overlap(source, target).counts["case"] == 0
    counts = find_overlap(source, target, fold_case=True).counts
    assert counts["case"] > 0
    found = overlap(source, target, fold_case=True)
    used = found[found >= 0]
    assert counts["duplicated"] == sum(int((used == s).sum() > 1) for s in used)


def test_a_folded_equal_prefers_the_exact_and_then_the_lower_case():
    source = make_unigram(words=["DOG", "dog", "Cat", "cat"])
    target = make_unigram(words=["Dog", "dog", "DOG", "cAt"])
    assert meets(source, target, "▁DOG", fold_case=True) == "▁DOG"
    assert meets(source, target, "▁Dog", fold_case=True) == "▁dog"
    assert meets(source, target, "▁cAt", fold_case=True) == "▁cat"


def test_boundary_folding():
    source, target = make_unigram(words=["dog"]), make_wordpiece(words=["dog", "s"])
    result = find_overlap(source, target)
    s = target.convert_tokens_to_ids("s")  # starts a word; the source has it inside words only
    assert result.source_ids[s] == -1
    result = find_overlap(source, target, fold_boundary=True)
    assert HOW[result.how[s]] == "boundary"
    assert result.source_ids[s] == source.convert_tokens_to_ids("s")


def test_counts_add_up(families, family_name):
    result = find_overlap(families["wordpiece-cased"], families[family_name], fold_case=True, fold_boundary=True)
    counts = result.counts
    counts.pop("duplicated")
    assert sum(counts.values()) == len(result.source_ids)
    assert counts["none"] == int((result.source_ids < 0).sum())
