"""What the first code of README.md and the scripts of examples/ read: a small XLM-R under its name, text, and a test set."""

from __future__ import annotations

from pathlib import Path

from support.made_up import sentences


def write_desk(folder: Path) -> None:
    """Write ``xlm-roberta-base/``, ``parallel/``, ``eng.txt``, ``kab.txt`` and ``data/`` into a folder."""
    import torch
    from transformers import XLMRobertaConfig, XLMRobertaForMaskedLM

    import hyperofa

    lines = [" ".join(pair) for pair in zip(sentences(), reversed(sentences()), strict=True)]
    kabyle = [line.translate(str.maketrans("aeiou", "ɛɣčḍẓ")) for line in lines]
    (folder / "parallel").mkdir()
    for name, text in {"parallel/eng": lines, "parallel/kab": kabyle, "eng": lines, "kab": kabyle}.items():
        (folder / f"{name}.txt").write_text("\n".join(text) + "\n", encoding="utf-8")
    (folder / "data" / "tatoeba").mkdir(parents=True)
    for side, text in {"kab": kabyle[:40], "eng": lines[:40]}.items():
        (folder / "data" / "tatoeba" / f"kab-eng.{side}").write_text("\n".join(text) + "\n", encoding="utf-8")
    source = folder / "xlm-roberta-base"
    tokenizer = hyperofa.train_tokenizer({"eng": folder / "eng.txt"}, vocab_size=120, held_out=0)
    tokenizer.save_pretrained(source)
    torch.manual_seed(0)
    sizes = {"hidden_size": 120, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128}
    config = XLMRobertaConfig(vocab_size=len(tokenizer), max_position_embeddings=130, pad_token_id=1, **sizes)
    XLMRobertaForMaskedLM(config).save_pretrained(source)
