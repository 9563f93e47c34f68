"""What no tokenizer learns from is left out and counted; long words of scripts without spaces are kept."""

from __future__ import annotations

import base64
import hashlib
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperofa.vocab.learning.junk import LONGEST, SHORT, without_junk

DRAW = random.Random(0)
BASE64 = base64.b64encode(DRAW.randbytes(300_000)).decode()
KHMER = "ភាសាខ្មែរជាភាសាផ្លូវការរបស់ប្រទេសកម្ពុជា"
JUNK = {
    "base64 of 400 kB": BASE64,
    "a wrapped line of base64": BASE64[:76],
    "sha256": hashlib.sha256(b"a").hexdigest(),
    "md5": hashlib.md5(b"a").hexdigest(),
    "uuid": "123e4567-e89b-12d3-a456-426614174000",
    "one letter": "a" * 2_000_000,
    "a rule": "=" * 72,
    "laughter": "haha" * 20,
    "an address": "https://www.example.org/a/long/way/to/a/page.html",
    "a list without spaces": ",".join(["word"] * 40),
    "a letter of Khmer": "ក" * 500,
    "base64 of letters alone": "JoiJLhYBVBxoCRJzvQKldXdxNDkQUDKxwjDmIEIsMniMosgQfPoBGnQtFTdynOSd",
    "DNA": "".join(DRAW.choice("ACGT") for _ in range(60)),
    "a table's rule": "+-----|-----|" * 4 + "+--|---|",
    "a long number": "".join(map(str, range(10, 40))),
    "a long number in Arabic digits": "٠٢٩٧٥٠٤٩٨٤١٣٠٢٦٥٤٧٠٦١٤٦٣٣٨٩٦٩٤٠٠٢٧٢٥١٩٣",
    "a row of a hex dump": " ".join(f"{byte:02x}" for byte in DRAW.randbytes(16)),
    "a row of xxd": " ".join(DRAW.randbytes(2).hex() for _ in range(8)),
    "a mail address": "very.long.address.of.someone@department.example.org",
    "an address without a scheme": "example.org/a/long/way/to/a/page.html?x=1&y=2",
    "an address in quotes": '"www.example.org/a/long/way/to/a/page.html"',
    "an encoded address": "%D0%BF%D1%80%D0%B8%D0%B2%D0%B5%D1%82",
    "controls": "sa\x00fe",
    "damaged": "caf\ufffd",
}
WORDS = {
    "Khmer": KHMER * 50,
    "Thai": "ภาษาไทยเป็นภาษาที่มีระดับเสียงของคำแน่นอน" * 50,
    "Chinese": "中华人民共和国是世界上人口最多的国家之一，首都是北京。" * 50,
    "Japanese": "日本語は主に日本で使われている言語である。カタカナも使う。" * 50,
    "Tibetan": "བོད་ཀྱི་སྐད་ཡིག་ནི་བོད་ཡུལ་དང་དེའི་ཉེ་འཁོར།" * 20,
    "Burmese": "မြန်မာဘာသာစကားသည်မြန်မာနိုင်ငံ၏ရုံးသုံးဘာသာစကားဖြစ်သည်" * 20,
    "Amharic with its own spaces": "ሰላም፡ለኪ፡ማርያም፡" * 20,
    "German": "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft",
    "Finnish": "lentokonesuihkuturbiinimoottoriapumekaanikkoaliupseerioppilas",
    "an identifier": "getElementsByClassNameAndTagNameInDocument2",
    "a row of years": "1989 1990 1991 1992 1993 1994 1995 1996 1997 1998",
    "short words": "be ad fade cafe face bead dead deed be feed fee",
    "an identifier of many capitals": "XMLHttpRequestEventTargetFACTORYImplementation",
    "hyphens": "state-of-the-art-machine-translation-of-2020",
    "a short address": "https://a.org/b",
}


@pytest.mark.parametrize("name", JUNK)
def test_junk_is_left_out_and_counted(name):
    text, count = without_junk(f"one {JUNK[name]} two")
    assert text.split() == ["one", "two"]
    assert count == 1


@pytest.mark.parametrize("name", WORDS)
def test_long_words_are_kept(name):
    text = f"one {WORDS[name]} two"
    assert without_junk(text) == (text, 0)


def test_junk_inside_a_paragraph_without_spaces_goes_alone():
    text, count = without_junk(f"{KHMER}{BASE64}{KHMER}")
    assert text.split() == [KHMER, KHMER]
    assert count == 1
    text, count = without_junk(f"{KHMER}\ufffd{KHMER} {KHMER}")
    assert text.split() == [KHMER, KHMER, KHMER]
    assert count == 1


CHARACTERS = st.sampled_from(
    [*"abAB01+/=-:. \t", "ა", "ក", "ខ", "中", "の", "\u200b", "\u3000", "\x00", "\ufffd", "😀", "፡"]
)


@settings(max_examples=200, deadline=None)
@given(parts=st.lists(st.tuples(CHARACTERS, st.integers(1, 150)), max_size=12))
def test_any_text_loses_nothing_but_what_is_counted(parts):
    text = "".join(character * times for character, times in parts)
    kept, count = without_junk(text)
    assert (count == 0) == (kept == text)
    assert count <= len(text)
    assert set(kept) <= {*text, " "}
    assert "\ufffd" not in kept
    assert "\x00" not in kept
    assert without_junk(kept) == (kept, 0)
    short = [word for word in text.split() if len(word) <= SHORT and not {"\x00", "\ufffd"} & set(word)]
    assert all(word in kept for word in short)
    for word in kept.split():
        assert len(word) <= LONGEST or any(character in "កខ中の\u200b፡" for character in word)
