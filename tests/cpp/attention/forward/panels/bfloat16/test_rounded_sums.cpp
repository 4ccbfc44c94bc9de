// When a call is multiplied in bfloat16.
#include "attention/forward/panels/bfloat16/rounded_sums.hpp"
#include "check.hpp"

namespace heedful {
namespace {

using simd::Bfloat16Way;

struct Types {
  ElementType query = ElementType::bfloat16, key = query, value = query, out = query;
};

Bfloat16Way way_of(const Problem& problem, const Types& types) {
  TensorView query, key, value, out, lse;
  query.type = types.query, key.type = types.key, value.type = types.value, out.type = types.out;
  return way_of(ForwardCall<float>{problem, query, key, value, out, lse, {}, 1});
}

Problem problem_of(std::ptrdiff_t depth, std::ptrdiff_t value_depth) {
  Problem problem;
  problem.depth = depth;
  problem.value_depth = value_depth;
  problem.bfloat16.products = Bfloat16Way::tiles_model;
  return problem;
}

void a_call_of_bfloat16_is_multiplied_in_bfloat16() {
  const Problem problem = problem_of(64, 64);
  constexpr ElementType other = ElementType::float32;
  check(way_of(problem, {}) == Bfloat16Way::tiles_model, "all arrays are bfloat16");
  Types types[4];
  types[0].query = types[1].key = types[2].value = types[3].out = other;
  for (const Types& mixed : types)
    check(way_of(problem, mixed) == Bfloat16Way::widened, "one of them is not");
  check(way_of(problem_of(64, 32), {}) == Bfloat16Way::widened, "weights may not be rounded");
}

void a_call_without_values_needs_query_and_key_alone() {
  const Problem problem = problem_of(64, 0);
  constexpr ElementType other = ElementType::float32;
  check(way_of(problem, {ElementType::bfloat16, ElementType::bfloat16, other, other}) ==
            Bfloat16Way::tiles_model,
        "there are no weights to be rounded");
  check(way_of(problem, {other}) == Bfloat16Way::widened, "the query is not bfloat16");
  check(way_of(problem, {ElementType::bfloat16, other}) == Bfloat16Way::widened, "nor the key");
  Problem additive = problem;
  additive.score_kind = ScoreKind::additive;
  check(way_of(additive, {}) == Bfloat16Way::widened, "scores are not dot products");
}

}  // namespace
}  // namespace heedful

int main() {
  heedful::a_call_of_bfloat16_is_multiplied_in_bfloat16();
  heedful::a_call_without_values_needs_query_and_key_alone();
  return heedful::summary();
}
