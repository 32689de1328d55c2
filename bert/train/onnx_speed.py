"""Texts that ONNX Runtime scores in a second, in one thread, in batches of 32 of like length.

    python3 onnx_speed.py CHECKPOINT TEXTS

The checkpoint is exported once, beside its weights. The throughput example runs this in turns with its own.
"""

import json
import os
import sys
import time
from pathlib import Path

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

MAX_TOKENS, BATCH = 128, 32


def export(checkpoint, file):
    import torch
    from transformers import AutoModelForSequenceClassification

    model = AutoModelForSequenceClassification.from_pretrained(checkpoint, attn_implementation="eager").eval()
    ids = torch.tensor([[0, 5, 6, 2], [0, 5, 2, 1]])
    names = ["input_ids", "attention_mask"]
    axes = {name: {0: "rows", 1: "tokens"} for name in names} | {"logits": {0: "rows"}}
    part = file.with_suffix(".part")
    torch.onnx.export(
        model, (ids, (ids != 1).long()), str(part), input_names=names, output_names=["logits"], dynamic_axes=axes, opset_version=14
    )
    os.rename(part, file)


def main():
    checkpoint, texts = Path(sys.argv[1]), Path(sys.argv[2]).read_text().split("\n")[:-1]
    file = checkpoint / "model.onnx"
    if not file.exists():
        export(checkpoint, file)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    tokenizer = Tokenizer.from_file(str(checkpoint / "tokenizer.json"))
    tokenizer.enable_truncation(MAX_TOKENS)
    pad = json.loads((checkpoint / "config.json").read_text()).get("pad_token_id", 0)
    start = time.perf_counter()
    rows = [tokenizer.encode(text).ids for text in texts]
    order = sorted(range(len(rows)), key=lambda index: len(rows[index]))
    for at in range(0, len(order), BATCH):
        part = [rows[index] for index in order[at : at + BATCH]]
        ids = np.full((len(part), len(part[-1])), pad, np.int64)
        for line, row in zip(ids, part):
            line[: len(row)] = row
        session.run(None, {"input_ids": ids, "attention_mask": (ids != pad).astype(np.int64)})
    print(len(rows) / (time.perf_counter() - start))


if __name__ == "__main__":
    main()
