"""Tokens of one tokenizer spelled by the pieces of another: words, parts of characters, blanks, and what cannot be spelled."""

from __future__ import annotations

from hyperofa.vocab.pieces import spell_tokens
from hyperofa.vocab.surfaces import Surface, token_surfaces


def read(tokenizer, ids):
    return b"".join(token_surfaces(tokenizer)[token].text for token in ids)


def test_a_token_is_spelled_at_the_start_of_a_word_or_inside_one(tokenizer):
    surfaces = [Surface(b"governments", True), Surface(b"ments", False)]
    start, inside = spell_tokens(tokenizer, surfaces)
    known = token_surfaces(tokenizer)
    assert (read(tokenizer, start), read(tokenizer, inside)) == (b"governments", b"ments")
    assert known[start[0]].boundary
    assert not known[inside[0]].boundary


def test_parts_of_characters_and_blanks_are_spelled_by_bytes_where_there_are_bytes(families):
    raw = "მ".encode()
    surfaces = [Surface(raw[:2], False), Surface(b"dog" + raw[:1], True), Surface(b"  ", False)]
    tokenizer = families["byte-level"]
    part, mixed, blank = spell_tokens(tokenizer, surfaces)
    assert read(tokenizer, part) == raw[:2]
    assert read(tokenizer, mixed) == b"dog" + raw[:1]
    assert token_surfaces(tokenizer)[mixed[0]].boundary
    assert len(blank) == 2 or b" " in read(tokenizer, blank)
    fallback = next(
        one for name, one in families.items() if one.convert_tokens_to_ids("<0xE1>") not in (None, one.unk_token_id)
    )
    assert fallback.convert_ids_to_tokens(spell_tokens(fallback, surfaces)[0]) == [
        f"<0x{byte:02X}>" for byte in raw[:2]
    ]


def test_what_no_piece_is_known_of_is_not_spelled(families):
    tokenizer = families["wordpiece-cased"]
    special, empty = Surface(b"<s>", False, "cls", "special"), Surface(b"", True)
    part = Surface("მ".encode()[:2], False)
    assert spell_tokens(tokenizer, [Surface("მმ".encode(), True), special, empty, part]) == [[], [], [], []]
