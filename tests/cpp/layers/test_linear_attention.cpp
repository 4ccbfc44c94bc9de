// Linear attention and its gradients against sums over all pairs in long double.
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "check.hpp"
#include "layers/linear_attention.hpp"
#include "random_numbers.hpp"

namespace heedful {
namespace {

struct Shape {
  std::ptrdiff_t items, kv_heads, group, queries, keys, depth, value_depth;
  bool causal;
  bool drops_keys = false;  // some keys do not count, and hold NaN
};

// An array (B, L, H, D), with a gap after each row, viewed by item, head and row.
template <class T>
struct Array {
  std::ptrdiff_t items, rows, heads, columns;
  std::vector<T> elements;
  std::vector<std::ptrdiff_t> offsets;

  Array(std::ptrdiff_t items_, std::ptrdiff_t rows_, std::ptrdiff_t heads_, std::ptrdiff_t columns_)
      : items(items_), rows(rows_), heads(heads_), columns(columns_) {
    elements.assign(static_cast<std::size_t>(items * rows * heads * (columns + 1) + 1), T(-7));
    for (std::ptrdiff_t item = 0; item < items; ++item) {
      offsets.push_back(item * rows * heads * (columns + 1) * size);
    }
  }
  static constexpr std::ptrdiff_t size = sizeof(T);
  void draw(RandomNumbers& random) {
    for (T& element : elements) element = static_cast<T>(random.between(-2, 2));
  }
  T& at(std::ptrdiff_t item, std::ptrdiff_t row, std::ptrdiff_t head, std::ptrdiff_t column) {
    return elements[static_cast<std::size_t>(((item * rows + row) * heads + head) * (columns + 1) +
                                             column)];
  }
  TensorView view() {
    return {reinterpret_cast<char*>(elements.data()),
            element_type<T>,
            offsets.data(),
            (columns + 1) * size,
            heads * (columns + 1) * size,
            size};
  }
};

long double feature(long double x) { return x > 0 ? x + 1 : std::exp(x); }
long double derivative(long double x) { return x > 0 ? 1 : std::exp(x); }

template <class T>
struct Example {
  Shape shape;
  Array<T> query, key, value, dout, out, dquery, dkey, dvalue;
  std::vector<T> norms;
  std::vector<char> kept;
  std::vector<std::ptrdiff_t> norm_offsets, kept_offsets;

  explicit Example(const Shape& given)
      : shape(given),
        query(given.items, given.queries, heads(), given.depth),
        key(given.items, given.keys, given.kv_heads, given.depth),
        value(given.items, given.keys, given.kv_heads, given.value_depth),
        dout(given.items, given.queries, heads(), given.value_depth),
        out(dout),
        dquery(query),
        dkey(key),
        dvalue(value) {
    RandomNumbers random(11);
    for (Array<T>* array : {&query, &key, &value, &dout}) array->draw(random);
    norms.resize(static_cast<std::size_t>(shape.items * heads() * shape.queries));
    kept.assign(static_cast<std::size_t>(shape.items * shape.keys), 1);
    for (std::ptrdiff_t item = 0; item < shape.items; ++item) {
      norm_offsets.push_back(item * heads() * shape.queries * Array<T>::size);
      kept_offsets.push_back(item * shape.keys);
      for (std::ptrdiff_t j = 0; shape.drops_keys && j < shape.keys; ++j) {
        if (random.between(0, 1) < 0.7 && j != 0) continue;
        kept[static_cast<std::size_t>(item * shape.keys + j)] = 0;
        for (std::ptrdiff_t head = 0; head < shape.kv_heads; ++head) {
          key.at(item, j, head, 0) = std::numeric_limits<T>::quiet_NaN();
          value.at(item, j, head, 0) = std::numeric_limits<T>::infinity();
        }
      }
    }
  }

  std::ptrdiff_t heads() const { return shape.kv_heads * shape.group; }
  bool sees(std::ptrdiff_t item, std::ptrdiff_t i, std::ptrdiff_t j) const {
    return (!shape.causal || j <= i) && kept[static_cast<std::size_t>(item * shape.keys + j)] != 0;
  }
  TensorView norm_view() {
    return {reinterpret_cast<char*>(norms.data()), element_type<T>, norm_offsets.data(),
            shape.queries * Array<T>::size,        Array<T>::size,  Array<T>::size};
  }
  LinearAttention call() {
    const TensorView all{};
    return {shape.items,
            heads(),
            shape.kv_heads,
            shape.queries,
            shape.keys,
            shape.depth,
            shape.value_depth,
            shape.causal,
            query.view(),
            key.view(),
            value.view(),
            shape.drops_keys
                ? TensorView{kept.data(), ElementType::boolean, kept_offsets.data(), 0, 1, 1}
                : all};
  }
  void run(int threads) {
    const Team team{threads};
    linear_attention_forward<T>(call(), {}, out.view(), norm_view(), {}, team);
    linear_attention_backward<T>(call(), dout.view(), out.view(), norm_view(), dquery.view(),
                                 dkey.view(), dvalue.view(), team);
  }

  // One item and one query head, added to the gradients of its keys and values.
  void check_head(std::ptrdiff_t item, std::ptrdiff_t head, std::vector<long double>& all_dkey,
                  std::vector<long double>& all_dvalue, double tolerance) {
    const std::ptrdiff_t kv_head = head / shape.group;
    for (std::ptrdiff_t i = 0; i < shape.queries; ++i) {
      std::vector<long double> weights(static_cast<std::size_t>(shape.keys), 0);
      long double total = 0;
      for (std::ptrdiff_t j = 0; j < shape.keys; ++j) {
        if (!sees(item, i, j)) continue;
        long double& weight = weights[static_cast<std::size_t>(j)];
        for (std::ptrdiff_t d = 0; d < shape.depth; ++d) {
          weight += feature(query.at(item, i, head, d)) * feature(key.at(item, j, kv_head, d));
        }
        total += weight;
      }
      std::vector<long double> exact(static_cast<std::size_t>(shape.value_depth), 0);
      long double mean = 0;  // Σ dout · out
      for (std::ptrdiff_t e = 0; e < shape.value_depth; ++e) {
        long double& sum = exact[static_cast<std::size_t>(e)];
        for (std::ptrdiff_t j = 0; j < shape.keys; ++j) {
          if (!sees(item, i, j)) continue;
          sum += weights[static_cast<std::size_t>(j)] / total * value.at(item, j, kv_head, e);
        }
        mean += sum * dout.at(item, i, head, e);
        close(out.at(item, i, head, e), static_cast<double>(sum), tolerance, "out");
      }
      std::vector<long double> of_query(static_cast<std::size_t>(shape.depth), 0);
      for (std::ptrdiff_t j = 0; j < shape.keys; ++j) {
        if (!sees(item, i, j)) continue;
        long double dweight = -mean;
        for (std::ptrdiff_t e = 0; e < shape.value_depth; ++e) {
          const long double upstream = dout.at(item, i, head, e);
          dweight += upstream * value.at(item, j, kv_head, e);
          all_dvalue[static_cast<std::size_t>(j * shape.value_depth + e)] +=
              weights[static_cast<std::size_t>(j)] / total * upstream;
        }
        dweight /= total;
        for (std::ptrdiff_t d = 0; d < shape.depth; ++d) {
          const long double q = query.at(item, i, head, d), k = key.at(item, j, kv_head, d);
          of_query[static_cast<std::size_t>(d)] += dweight * feature(k) * derivative(q);
          all_dkey[static_cast<std::size_t>(j * shape.depth + d)] +=
              dweight * feature(q) * derivative(k);
        }
      }
      for (std::ptrdiff_t d = 0; d < shape.depth; ++d) {
        close(dquery.at(item, i, head, d),
              static_cast<double>(of_query[static_cast<std::size_t>(d)]), tolerance, "dquery");
      }
    }
  }

  void check_results(double tolerance) {
    for (std::ptrdiff_t item = 0; item < shape.items; ++item) {
      for (std::ptrdiff_t kv_head = 0; kv_head < shape.kv_heads; ++kv_head) {
        std::vector<long double> exact_dkey(static_cast<std::size_t>(shape.keys * shape.depth), 0);
        std::vector<long double> exact_dvalue(
            static_cast<std::size_t>(shape.keys * shape.value_depth), 0);
        for (std::ptrdiff_t member = 0; member < shape.group; ++member) {
          check_head(item, kv_head * shape.group + member, exact_dkey, exact_dvalue, tolerance);
        }
        for (std::ptrdiff_t j = 0; j < shape.keys; ++j) {
          for (std::ptrdiff_t d = 0; d < shape.depth; ++d) {
            close(dkey.at(item, j, kv_head, d),
                  static_cast<double>(exact_dkey[static_cast<std::size_t>(j * shape.depth + d)]),
                  tolerance, "dkey");
          }
          for (std::ptrdiff_t e = 0; e < shape.value_depth; ++e) {
            close(dvalue.at(item, j, kv_head, e),
                  static_cast<double>(
                      exact_dvalue[static_cast<std::size_t>(j * shape.value_depth + e)]),
                  tolerance, "dvalue");
          }
        }
      }
    }
  }
};

template <class T>
void is_right(const Shape& shape) {
  Example<T> example(shape);
  example.run(1);
  // sums of as many terms as there are rows
  example.check_results(64 * static_cast<double>(std::numeric_limits<T>::epsilon()) *
                        std::sqrt(static_cast<double>(shape.queries + shape.keys + 1)));
  for (const int threads : {2, 3}) {
    Example<T> together(shape);
    together.run(threads);
    for (const auto member :
         {&Example<T>::out, &Example<T>::dquery, &Example<T>::dkey, &Example<T>::dvalue}) {
      const auto &one = (together.*member).elements, &other = (example.*member).elements;
      check(std::memcmp(one.data(), other.data(), one.size() * sizeof(T)) == 0,
            "the same bits for any number of threads");
    }
  }
  check(example.out.elements.back() == T(-7), "nothing past the end is written");
}

template <class T>
void every_depth() {
  for (std::ptrdiff_t depth = 1; depth <= 35; ++depth) {
    is_right<T>({1, 1, 1, 19, 19, depth, 36 - depth, true});
    is_right<T>({1, 1, 1, 3, 7, depth, 36 - depth, false});
  }
}

template <class T>
void every_length() {
  for (const std::ptrdiff_t length : {1, 2, 15, 16, 17, 63, 64, 65, 127, 130}) {
    for (const bool drops_keys : {false, true}) {
      is_right<T>({2, 1, 2, length, length, 5, 3, true, drops_keys});
      is_right<T>({2, 2, 1, length, length, 5, 3, false, drops_keys});
    }
  }
  is_right<T>({1, 1, 1, 1, 1100, 2, 3, false});
  is_right<T>({1, 1, 1, 1100, 1, 2, 3, false});
  is_right<T>({1, 1, 1, 1100, 1100, 2, 1, true});  // two ranges
}

template <class T>
void nothing() {
  for (const Shape& shape :
       {Shape{0, 2, 1, 5, 5, 3, 4, true}, Shape{2, 2, 1, 0, 0, 3, 4, true},
        Shape{2, 2, 1, 5, 0, 3, 4, false}, Shape{2, 2, 1, 0, 5, 3, 4, false}}) {
    Example<T> example(shape);
    example.run(2);
    bool zero = true;
    for (std::ptrdiff_t item = 0; item < shape.items; ++item) {
      for (std::ptrdiff_t i = 0; i < shape.queries; ++i) zero &= example.out.at(item, i, 0, 0) == 0;
      for (std::ptrdiff_t j = 0; j < shape.keys; ++j) zero &= example.dkey.at(item, j, 0, 0) == 0;
    }
    check(zero, "a query without keys, and a key without queries, get 0");
  }
}

template <class T>
void everything() {
  every_depth<T>();
  every_length<T>();
  nothing<T>();
}

}  // namespace
}  // namespace heedful

int main() {
  using namespace heedful;
  everything<float>();
  everything<double>();
  return summary();
}
