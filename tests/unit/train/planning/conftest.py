"""An encoder and a decoder of the same small size."""

from __future__ import annotations

from transformers import BertConfig, BertForMaskedLM, LlamaConfig, LlamaForCausalLM

BERT = {
    "vocab_size": 1000,
    "hidden_size": 128,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "intermediate_size": 512,
}
LLAMA = {**BERT, "num_key_value_heads": 2, "tie_word_embeddings": False}


def encoder() -> BertForMaskedLM:
    return BertForMaskedLM(BertConfig(**BERT, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0))


def decoder() -> LlamaForCausalLM:
    return LlamaForCausalLM(LlamaConfig(**LLAMA))
