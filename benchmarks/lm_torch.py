"""What PyTorch reaches with the model of examples/character_language_model.py, step by step.

The same text, size, first weights, optimizer, schedule and number of steps as the example's full
setting; batches and dropout are drawn by another generator.
"""

import argparse
import time
from pydoc_data.topics import topics
from typing import Any

import numpy as np

from heedful.layers import LanguageModel
from heedful.training import WarmupCosine

STEPS, WIDTH, LAYERS, HEADS, LENGTH, BATCH, RATE = 500, 192, 4, 6, 128, 32, 0.1


def rotated(x: Any, cos: Any, sin: Any) -> Any:
    import torch

    first, second = x.chunk(2, -1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], -1)


def model_of(own: LanguageModel) -> Any:
    """PyTorch's model with the same weights."""
    import torch
    from torch.nn import functional

    class Block(torch.nn.TransformerEncoderLayer):
        """Norm first, causal, with queries and keys rotated by their positions."""

        def forward(self, x: Any, cos: Any, sin: Any) -> Any:
            x = x + self.dropout1(self._attend(self.norm1(x), cos, sin))
            inner = self.dropout(functional.gelu(self.linear1(self.norm2(x))))
            return x + self.dropout2(self.linear2(inner))

        def _attend(self, x: Any, cos: Any, sin: Any) -> Any:
            batch, length, width = x.shape
            attn = self.self_attn
            projected = functional.linear(x, attn.in_proj_weight, attn.in_proj_bias)
            shape = (batch, length, 3, HEADS, width // HEADS)
            query, key, value = projected.view(shape).permute(2, 0, 3, 1, 4)
            y = functional.scaled_dot_product_attention(
                rotated(query, cos, sin), rotated(key, cos, sin), value, is_causal=True,
                dropout_p=RATE if self.training else 0.0,
            )  # fmt: skip
            return attn.out_proj(y.transpose(1, 2).reshape(batch, length, width))

    class Model(torch.nn.Module):
        def __init__(self, own: LanguageModel) -> None:
            super().__init__()
            self.embedding = torch.nn.Embedding(own.vocabulary, WIDTH)
            layer = Block(WIDTH, HEADS, 4 * WIDTH, RATE, "gelu", batch_first=True, norm_first=True)
            self.encoder = torch.nn.TransformerEncoder(
                layer, LAYERS, torch.nn.LayerNorm(WIDTH), enable_nested_tensor=False
            )
            self.dropout = torch.nn.Dropout(RATE)
            self.projection = torch.nn.Linear(WIDTH, own.vocabulary, bias=False)
            self.projection.weight = self.embedding.weight
            state = {name: torch.from_numpy(array) for name, array in own.state_dict().items()}
            self.load_state_dict(state)
            half = WIDTH // HEADS // 2
            frequency = 10000.0 ** (-torch.arange(half, dtype=torch.float64) / half)
            angles = torch.arange(LENGTH, dtype=torch.float64)[:, None] * frequency
            self.cos, self.sin = angles.cos().float(), angles.sin().float()

        def forward(self, tokens: Any) -> Any:
            x = self.dropout(self.embedding(tokens))
            for layer in self.encoder.layers:
                x = layer(x, self.cos, self.sin)
            return self.projection(self.encoder.norm(x))

    return Model(own)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=STEPS)
    steps = parser.parse_args().steps
    import torch

    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    text = "\n".join(topics[name] for name in sorted(topics))
    letters = sorted(set(text))
    number = {letter: index for index, letter in enumerate(letters)}
    tokens = np.array([number[letter] for letter in text])
    train, valid = np.split(tokens, [len(tokens) * 9 // 10])
    own = LanguageModel(
        len(letters), d_model=WIDTH, num_heads=HEADS, num_layers=LAYERS, positions="rotary", rng=rng
    )
    model = model_of(own)
    count = (len(valid) - 1) // LENGTH
    x = torch.from_numpy(valid[: count * LENGTH].reshape(count, LENGTH))
    y = torch.from_numpy(valid[1 : count * LENGTH + 1].reshape(count, LENGTH))
    with torch.no_grad():
        model.eval()
        off = abs(model(x[:2]).numpy() - own(x[:2].numpy())).max()
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters, logits differ by {off:.1e}")
    small = [p for name, p in model.named_parameters() if "bias" in name or "norm" in name]
    large = [p for name, p in model.named_parameters() if "bias" not in name and "norm" not in name]
    schedule = WarmupCosine(3e-3, steps // 20, steps)
    groups = [{"params": small, "weight_decay": 0.0}, {"params": large, "weight_decay": 0.01}]
    optimizer = torch.optim.AdamW(groups, fused=True)
    begin = time.perf_counter(), time.process_time()
    for step in range(steps):
        first = rng.integers(0, len(train) - LENGTH, BATCH)
        window = torch.from_numpy(train[first[:, None] + np.arange(LENGTH + 1)])
        for group in optimizer.param_groups:
            group["lr"] = schedule(step)
        model.train()
        loss = entropy(model(window[:, :-1]), window[:, 1:])
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if (step + 1) % max(steps // 6, 1) == 0:
            model.eval()
            with torch.no_grad():
                parts = range(0, count, 64)
                losses = [entropy(model(x[i : i + 64]), y[i : i + 64]).item() for i in parts]
            seconds = time.perf_counter() - begin[0], time.process_time() - begin[1]
            print(
                f"step {step + 1}: loss {loss.item():.3f}, validation {np.mean(losses):.3f} nats, "
                f"{seconds[0]:.0f} s, of the processors {seconds[1]:.0f} s", flush=True,
            )  # fmt: skip


def entropy(logits: Any, targets: Any) -> Any:
    from torch.nn import functional

    return functional.cross_entropy(logits.flatten(0, 1), targets.flatten())


if __name__ == "__main__":
    main()
