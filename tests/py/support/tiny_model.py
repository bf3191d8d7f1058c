"""A language model of half a megabyte with random weights, in the file format of llama.cpp.

What it says makes no sense; how a server says it (answers, streams, token counts, refusals) is the real thing.
"""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

__all__ = ["CALL", "END", "write_model"]

#: tokens that a test may want more or less of: the one that ends an answer, the one that begins a call of a tool
END, CALL = "<|im_end|>", '<tool_call>\n{"name": "'

_EMBEDDING, _LAYERS, _HEADS, _INNER, _CONTEXT = 64, 2, 4, 128, 65_536
_NEVER = -9.0
# Qwen's form of tool calls: the server knows it, and makes a grammar of the tools that it is given.
_TEMPLATE = r"""
{%- if tools %}
    {{- '<|im_start|>system\nYour tools:' }}
    {%- for tool in tools %}
        {{- '\n' + (tool | tojson) }}
    {%- endfor %}
    {{- '\n' }}
{%- endif %}
{%- for message in messages %}
    {%- if message.role == 'tool' %}
        {{- '<|im_start|>user\n<tool_response>\n' + message.content + '\n</tool_response>\n' }}
    {%- elif message.role == 'assistant' %}
        {{- '<|im_start|>assistant' }}
        {%- if message.content %}
            {{- '\n' + message.content }}
        {%- endif %}
        {%- for call in message.tool_calls %}
            {{- '\n<tool_call>\n{"name": "' + call.function.name + '", "arguments": ' }}
            {{- (call.function.arguments | tojson) + '}\n</tool_call>' }}
        {%- endfor %}
        {{- '\n' }}
    {%- else %}
        {{- '<|im_start|>' + message.role + '\n' + message.content + '\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
{%- endif %}"""


def write_model(path: Path, liking: Mapping[str, float] | None = None) -> None:
    """Writes a llama of two layers. Its tokens are the 256 bytes, of which it says only those that are letters, digits
    and signs of ASCII, and a few more.

    :param liking: what to add to the logits of tokens: above 9 it says little else, below -9 it never does, unless a
        grammar leaves it nothing else
    """
    gguf: Any = import_module("gguf")
    numpy: Any = import_module("numpy")
    letters = _byte_letters()
    normal, control = gguf.TokenType.NORMAL, gguf.TokenType.CONTROL
    kinds = dict.fromkeys(letters, normal) | {"<|im_start|>": control, END: control, "th": normal}
    kinds[CALL] = gguf.TokenType.USER_DEFINED
    tokens = list(kinds)

    writer: Any = gguf.GGUFWriter(str(path), "llama")
    writer.add_context_length(_CONTEXT)
    writer.add_embedding_length(_EMBEDDING)
    writer.add_block_count(_LAYERS)
    writer.add_feed_forward_length(_INNER)
    writer.add_head_count(_HEADS)
    writer.add_head_count_kv(_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(_EMBEDDING // _HEADS)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types(list(kinds.values()))
    writer.add_token_merges(["t h"])
    writer.add_bos_token_id(tokens.index("<|im_start|>"))
    writer.add_eos_token_id(tokens.index(END))
    writer.add_chat_template(_TEMPLATE)

    dice = numpy.random.default_rng(7)

    def random(*shape: int) -> Any:
        return dice.normal(0, 0.2, shape).astype(numpy.float32)

    # The first number of every state is the same and no layer sees or changes it: what the output makes of it is what
    # each token is liked.
    words, output = random(len(tokens), _EMBEDDING), random(len(tokens), _EMBEDDING)
    words[:, 0] = 4
    liked = dict.fromkeys([*letters[:33], *letters[127:], "<|im_start|>", CALL], _NEVER) | dict(liking or {})
    output[:, 0] = [liked.get(token, 0.0) * 2 for token in tokens]
    blind = numpy.ones(_EMBEDDING, numpy.float32)
    blind[0] = 0
    writer.add_tensor("token_embd.weight", words)
    writer.add_tensor("output_norm.weight", numpy.ones(_EMBEDDING, numpy.float32))
    writer.add_tensor("output.weight", output)
    for layer in range(_LAYERS):
        shapes = dict.fromkeys(("attn_q", "attn_k", "attn_v", "attn_output"), (_EMBEDDING, _EMBEDDING))
        shapes |= {"ffn_gate": (_INNER, _EMBEDDING), "ffn_up": (_INNER, _EMBEDDING), "ffn_down": (_EMBEDDING, _INNER)}
        for name, shape in shapes.items():
            weights = random(*shape)
            if name in ("attn_output", "ffn_down"):
                weights[0] = 0
            writer.add_tensor(f"blk.{layer}.{name}.weight", weights)
        writer.add_tensor(f"blk.{layer}.attn_norm.weight", blind)
        writer.add_tensor(f"blk.{layer}.ffn_norm.weight", blind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _byte_letters() -> list[str]:
    """The letter that stands for each byte in a vocabulary as GPT-2's is."""
    plain = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    letters: dict[int, str] = {}
    extra = 0
    for byte in range(256):
        if byte in plain:
            letters[byte] = chr(byte)
        else:
            letters[byte] = chr(256 + extra)
            extra += 1
    return [letters[byte] for byte in range(256)]
