// Linear attention: softmax's exp(q · k) replaced by φ(q) · φ(k), so that all queries share sums
// over the keys, and the cost grows with the length instead of its square:
//   S[i] = Σ_j φ(k[j]) v[j]ᵀ      z[i] = Σ_j φ(k[j])          φ(x) = elu(x) + 1
//   norm[i] = φ(q[i]) · z[i]      out[i] = φ(q[i]) S[i] / norm[i], or 0 where norm[i] is 0
// over all kept keys j, or with `causal` over those with j ≤ i.
//   query (B, H, Lq, D)   key (B, Hkv, Lk, D)   value (B, Hkv, Lk, Dv)   kept (B, 1, Lk, 1),
//   boolean out (B, H, Lq, Dv)    norm (B, H, Lq)       Lq = Lk where causal; H is a multiple of
//   Hkv
// A key that is not kept has no effect, whatever it and its value hold.
//
// Causal: chunks of 64 rows attend to themselves by scores, and to the chunks before by S and z.
// Long sequences are cut into ranges of 1024 rows, whose sums are computed first: one head keeps
// several threads busy, and sums stay short. The cut depends on the lengths alone: the same bits
// for any number of threads, and for an item alone and in a batch.
//
// Gradients, with g[i] = dout[i] / norm[i] and h[i] = −g[i] · out[i], i over the queries that see
// j:
//   dφ(q)[i] = S[i] g[i] + h[i] z[i]      dφ(k)[j] = Σ_i (g[i] · v[j] + h[i]) φ(q[i])
//   dv[j] = Σ_i (φ(q[i]) · φ(k[j])) g[i]
// Katharopoulos et al. 2020, https://arxiv.org/abs/2006.16236.
#pragma once

#include "arrays/tensor_view.hpp"
#include "parallel/cost.hpp"

namespace heedful {

struct LinearAttention {
  std::ptrdiff_t items, heads, kv_heads;  // B, H, Hkv
  std::ptrdiff_t queries, keys;           // Lq, Lk
  std::ptrdiff_t depth, value_depth;      // D, Dv
  bool causal;
  TensorView query, key, value;
  TensorView kept;  // none: all are

  std::ptrdiff_t lines() const { return items * kv_heads; }
  std::ptrdiff_t group() const { return heads / kv_heads; }
};

Cost cost_of(const LinearAttention& call);

// Sums over keys, of every item and head of keys; contiguous. None where the pointers are nullptr.
template <class T>
struct KeySums {
  T* values = nullptr;    // S (B, Hkv, D, Dv)
  T* features = nullptr;  // z (B, Hkv, D)

  explicit operator bool() const { return values != nullptr; }
};

// `before`: the sums of keys before the first one, which every query sees. `added`: written, the
// sums of the call's own kept keys.
template <class T>
void linear_attention_forward(const LinearAttention& call, KeySums<const T> before,
                              const TensorView& out, const TensorView& norm, KeySums<T> added,
                              const Team& team);

// out and norm are those of the forward pass without `before`. Rows of dout that are 0 contribute
// nothing. dquery, dkey and dvalue have the shapes of query, key and value.
template <class T>
void linear_attention_backward(const LinearAttention& call, const TensorView& dout,
                               const TensorView& out, const TensorView& norm,
                               const TensorView& dquery, const TensorView& dkey,
                               const TensorView& dvalue, const Team& team);

}  // namespace heedful
