// SPDX-License-Identifier: Apache-2.0
// Two operands of the same rank, broadcast by the rules of NumPy.
#include "program/steps/broadcast.h"

namespace q8 {

Broadcast::Broadcast(const StepReader& reader) : size_(element_count(reader.output().shape)) {
  const Shape &a = reader.input(0).shape, &b = reader.input(1).shape, &y = reader.output().shape;
  reader.expect_rank(reader.input(0), y.size(), "a");
  reader.expect_rank(reader.input(1), y.size(), "b");
  std::vector<Axis> reversed;
  int64_t a_elements = 1, b_elements = 1;  // of the axes behind this one
  for (size_t i = y.size(); i-- > 0;) {
    reader.require((a[i] == b[i] || a[i] == 1 || b[i] == 1) && y[i] == std::max(a[i], b[i]), "dimension ", i,
                   " does not broadcast: a has ", a[i], ", b has ", b[i], ", y has ", y[i]);
    if (y[i] == 1) continue;
    const Axis axis{y[i], a[i] == 1 ? 0 : a_elements, b[i] == 1 ? 0 : b_elements};
    a_elements *= a[i];
    b_elements *= b[i];
    if (!reversed.empty()) {
      Axis& inner = reversed.back();
      if (axis.a_stride == inner.a_stride * inner.size && axis.b_stride == inner.b_stride * inner.size) {
        inner.size *= axis.size;
        continue;
      }
    }
    reversed.push_back(axis);
  }
  if (reversed.empty()) reversed.push_back({1, 0, 0});
  axes_.assign(reversed.rbegin(), reversed.rend());
}

Broadcast::Starts Broadcast::starts_of(int64_t run) const {
  Starts starts{0, 0};
  for (size_t i = axes_.size() - 1; i-- > 0;) {
    const int64_t index = run % axes_[i].size;
    run /= axes_[i].size;
    starts.a += index * axes_[i].a_stride;
    starts.b += index * axes_[i].b_stride;
  }
  return starts;
}

}  // namespace q8
