"""Made-up languages: English sentences of three words, their letters shifted, and a tiny source model that knows the English."""

from __future__ import annotations

import itertools
import random
from pathlib import Path

PARTS = (
    ["open", "close", "delete", "rename", "print", "share", "copy", "move"],
    ["this", "every", "another", "some"],
    ["file", "page", "user", "letter", "picture", "folder", "window", "message"],
)
TAGS = ("VERB", "DET", "NOUN")
"""Of the three words of every sentence."""
SHIFT = {"tur": 3, "swh": 7, "ces": 11}


def sentences() -> list[str]:
    """All 256 English sentences, in an order that is always the same."""
    english = [" ".join(words) for words in itertools.product(*PARTS)]
    random.Random(0).shuffle(english)
    return english


def spelled(line: str, language: str) -> str:
    """A line in a made-up language: the letters of the English one, shifted."""
    turn = SHIFT.get(language, 0)
    return "".join(chr((ord(c) - 97 + turn) % 26 + 97) if c.isalpha() else c for c in line)


def write_source(folder: Path) -> None:
    """A three-block BERT with random weights that knows the English words."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    roles = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
    letters = [chr(97 + i) for i in range(26)]
    words = [*roles.values(), *itertools.chain(*PARTS), *letters, *(f"##{letter}" for letter in letters)]
    tokenizer = Tokenizer(models.WordPiece({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    named = {f"{role}_token": token for role, token in roles.items()}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=64, **named).save_pretrained(folder)
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 64}
    BertModel(BertConfig(vocab_size=len(words), max_position_embeddings=64, **sizes)).save_pretrained(folder)
