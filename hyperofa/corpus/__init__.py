"""Text for pre-training: reading, sampling, tokenising, packing, order, masking.

What training uses::

    corpus = PackedCorpus.open(DIR)           # memory-mapped; .fingerprint, .length, .languages, .n_sequences
    batches = Batches(corpus, global_batch=512, seed=0, masking=Masking(rate=0.15))  # masking=None: causal, no masks
    batches.draws(step)                       # the global batch: sample ids (N,) and visits (N,), on any world size
    batches.for_rank(step, rank, world_size, micro_batch)  # list[Batch], one per accumulation step; a pure function
    batch.inputs                              # for TrainingModel: input_ids, labels, segments, dropout_keys (tensors)
    batch.languages                           # (B,) int64 indices into corpus.languages
    loader = rank_loader(batches, rank, world_size, micro_batch, start=a, stop=b, workers=2)  # list[Batch] per step
"""
