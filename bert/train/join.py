"""Joins the base model and what was learnt into a checkpoint that any program of Hugging Face's kind reads.

    python3 join.py BASE delta.safetensors OUTPUT

The delta is what train.py or head.py wrote: for a matrix W of the base, factors `NAME.a` and `NAME.b` with
W + B A in its place; and tensors that the base does not have, as they are (pooler, classifier). Its
metadata may hold `layers`: the base is cut after so many.
"""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

LABELS = ("negative", "neutral", "positive")


def main():
    base, delta_file, output = map(Path, sys.argv[1:4])
    config = json.loads((base / "config.json").read_text())
    delta = {name: values.astype(np.float32) for name, values in load_file(delta_file).items()}
    with safe_open(delta_file, framework="np") as file:
        layers = int((file.metadata() or {}).get("layers", config["num_hidden_layers"]))
    tensors = {f"bert.{name}": values for name, values in load_file(base / "model.safetensors").items()}
    tensors = {name: values for name, values in tensors.items() if not is_cut(name, layers)}
    for name, values in delta.items():
        stem, _, kind = name.rpartition(".")
        if kind == "b":
            tensors[f"{stem}.weight"] = tensors[f"{stem}.weight"] + values @ delta[f"{stem}.a"]
        elif kind != "a":
            tensors[name] = values
    config |= {
        "architectures": ["BertForSequenceClassification"],
        "num_hidden_layers": layers,
        "id2label": dict(enumerate(LABELS)),
        "label2id": {label: index for index, label in enumerate(LABELS)},
    }
    output.mkdir(parents=True, exist_ok=True)
    (output / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(base / name, output / name)
    save_file({name: np.ascontiguousarray(values) for name, values in tensors.items()}, output / "model.safetensors", {"format": "pt"})


def is_cut(name, layers):
    parts = name.split(".")
    return parts[1:3] == ["encoder", "layer"] and int(parts[3]) >= layers


if __name__ == "__main__":
    main()
