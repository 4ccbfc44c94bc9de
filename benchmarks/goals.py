"""Every goal of speed and memory: measured, judged, and listed at the end.

A whole run takes about an hour on two cores, half of that with one of the --layouts; it is worth
something on a quiet machine only.
`HEEDFUL_ISA=v3 python benchmarks/goals.py` judges the AVX2 level by the AVX2 peak.
"""

import sys

import bench_additive
import bench_block_masks
import bench_caches
import bench_composition
import bench_decode
import bench_dtypes
import bench_forward
import bench_forward_backward
import bench_gumbel
import bench_int8_linear
import bench_jax
import bench_keras
import bench_layers
import bench_layouts
import bench_linear
import bench_masks
import bench_memory
import bench_min_weight
import bench_models
import bench_neighbours
import bench_normalizers
import bench_onnx
import bench_overhead
import bench_penalties
import bench_recurrent
import bench_span
import bench_sparse
import bench_threads
import bench_top_k
import bench_torch
import bench_torch_layers
import bench_transformers
import bench_varlen

from heedful.benchmark.topic import run_topics

TOPICS = [
    bench_forward.TOPIC,
    bench_forward_backward.TOPIC,
    bench_dtypes.TOPIC,
    bench_decode.TOPIC,
    bench_caches.TOPIC,
    bench_layouts.TOPIC,
    bench_overhead.TOPIC,
    bench_masks.TOPIC,
    bench_block_masks.TOPIC,
    bench_sparse.TOPIC,
    bench_min_weight.TOPIC,
    bench_varlen.TOPIC,
    bench_threads.TOPIC,
    bench_neighbours.TOPIC,
    bench_memory.TOPIC,
    bench_linear.TOPIC,
    bench_int8_linear.TOPIC,
    bench_layers.TOPIC,
    bench_composition.TOPIC,
    bench_recurrent.TOPIC,
    bench_additive.TOPIC,
    bench_top_k.TOPIC,
    bench_gumbel.TOPIC,
    bench_normalizers.TOPIC,
    bench_penalties.TOPIC,
    bench_span.TOPIC,
    bench_torch.TOPIC,
    bench_torch_layers.TOPIC,
    bench_onnx.TOPIC,
    bench_jax.TOPIC,
    bench_keras.TOPIC,
    bench_transformers.TOPIC,
    *bench_models.TOPICS,
]

if __name__ == "__main__":
    sys.exit(run_topics(__doc__, TOPICS))
