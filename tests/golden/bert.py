"""A BERT of a few thousand random weights, written as Hugging Face's transformers writes one."""

from pathlib import Path

from tokenizers import Tokenizer, normalizers, pre_tokenizers, processors
from tokenizers.models import WordPiece

WORDS = ("block", "served", "received", "exception", "while", "error", "disk", "full", "from", "to", "ok", "lost")


def tokenizer() -> Tokenizer:
    """Knows ``WORDS`` and the letters a to z; lower-cases."""
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS, *letters, *(f"##{letter}" for letter in letters)]
    made = Tokenizer(WordPiece({token: place for place, token in enumerate(tokens)}, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return made


def write(folder: Path, layers: int = 4, width: int = 16, sentence: bool = False) -> Path:
    """The directory of a BERT; ``sentence`` adds what marks a sentence encoder with mean pooling."""
    import torch
    import transformers

    size = tokenizer().get_vocab_size()
    config = transformers.BertConfig(
        vocab_size=size, hidden_size=width, num_hidden_layers=layers, num_attention_heads=2,
        intermediate_size=2 * width, max_position_embeddings=64, initializer_range=0.3,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        transformers.BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer(), unk_token="[UNK]").save_pretrained(folder)
    if sentence:
        (folder / "1_Pooling").mkdir()
        (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode_mean_tokens": true}')
    return folder
