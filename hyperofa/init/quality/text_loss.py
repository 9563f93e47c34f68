"""Given text: reading it, and the loss of the extended model on it before any training."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from hyperofa.errors import DataMissingError
from hyperofa_eval.base.console import progress_bar
from hyperofa_eval.text.plain_text import PlainText
from hyperofa_eval.text.textfiles import read_lines

_LINES = 200
_LENGTH = 128
_BATCH = 16


def read_texts(files: Mapping[str, Sequence[Path]]) -> dict[str, list[str]]:
    """The first 200 lines with text of the files of each language, which the loss is taken over.

    Raises:
        DataMissingError: a language has none.
    """
    texts: dict[str, list[str]] = {}
    for language, paths in sorted(files.items()):
        lines = (line for path in paths for line in read_lines(path) if line.strip())
        texts[language] = list(islice(lines, _LINES))
        if not texts[language]:
            raise DataMissingError("no text in the file", where=paths[0])
    return texts


def text_loss(model: Any, tokenizer: Any, texts: dict[str, list[str]], *, seed: int) -> dict[str, dict[str, float]]:
    """Mean loss per language over 200 lines, and the number of tokens it is taken over.

    Encoders: cross-entropy of 15 % masked tokens (every one replaced by the mask, so that the figure does not depend on draws
    of replacements); decoders: of every next token. Natural logarithm, so an even guess gives log V.
    """
    if not texts:
        return {}
    import torch

    from hyperofa.init.refine.body import padded
    from hyperofa.model import TrainingModel

    plain = PlainText(tokenizer)
    shared = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    # Training wraps modules in place, so it gets modules of its own around the same tensors.
    trainer = TrainingModel(copy.deepcopy(model, shared), dropout=0.0).eval()
    longest = min(_LENGTH, trainer.max_length or _LENGTH)
    found: dict[str, dict[str, float]] = {}
    with torch.inference_mode(), progress_bar("loss on the given text", len(texts)) as advance:
        for number, (language, lines) in enumerate(texts.items()):
            rng = np.random.default_rng([seed, 210, number])
            encoded = plain(lines[:_LINES], truncation=True, max_length=longest, return_special_tokens_mask=True)
            total, count = 0.0, 0
            for start in range(0, len(encoded["input_ids"]), _BATCH):
                ids, mask = padded(encoded["input_ids"][start : start + _BATCH], torch.device("cpu"))
                special, _ = padded(encoded["special_tokens_mask"][start : start + _BATCH], ids.device)
                wanted, given = (mask == 1) & (special == 0), ids
                if trainer.objective == "mlm":
                    wanted &= torch.from_numpy(rng.random(ids.shape) < 0.15)
                    given = torch.where(wanted, tokenizer.mask_token_id, ids)
                out = trainer(given, torch.where(wanted, ids, -100), attention_mask=mask)
                total += float(out.loss_sum)
                count += int(out.n_targets)
            if count:
                found[language] = {"loss": round(total / count, 4), "tokens": count}
            advance()
    return found
