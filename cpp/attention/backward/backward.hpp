// Gradients of attention (Dao et al., "FlashAttention", 2022, appendix B.4), from out and lse of
// the forward pass:
//   probability = exp(score − lse)             dprobability = dout valueᵀ + dweights
//   dscore = probability ∘ (dprobability − delta)     delta = Σ_d dout ∘ out − row_term
//   dquery = scale · dscore key     dkey = scale · dscoreᵀ query     dvalue = probabilityᵀ dout
//   dout, out (B, H, Lq, Dv)   lse, row_term, delta (B, H, Lq)
//   dweights (B, H, Lq, Lk)
//   dquery (B, H, Lq, D)   dkey (B, Hkv, Lk, D)   dvalue (B, Hkv, Lk, Dv): in T, zeros on entry, as
//   is dbias
// Additive scores have other gradients, see additive_gradients.hpp, and dscore_vector. dweights is
// the gradient of the probabilities that the caller used (the public API's weights). A penalty adds
// to dscore, see penalty/coefficients.hpp. row_term, dweights, dbias, dscore_vector and penalty may
// be absent. lse may include more keys than these (merged
// splits).
//
// A task is a key tile of one key/value head (and, where there are few key tiles and many queries,
// a chunk of the queries). It loops over the queries that see it, accumulates its own dkey and
// dvalue, and adds to dquery in the order of the key tiles (in_order.hpp). So there are no partial
// sums of full size, and the bits are the same for any number of threads. Sums over many queries
// are formed in levels, the last one in double. The products are those of float_gradients.hpp, or,
// of bfloat16 where the processor multiplies tiles, of tile_gradients.hpp (bfloat16_way.hpp).
#pragma once

#include "attention/backward/tensors.hpp"
#include "attention/problem/problem.hpp"
#include "parallel/parallel_for.hpp"

namespace heedful {

template <class T>
void attention_backward(const Problem& problem, const BackwardTensors& tensors, const Team& team);

}  // namespace heedful
