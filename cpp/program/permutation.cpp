// SPDX-License-Identifier: Apache-2.0
// A tensor whose axes change their order.
#include "program/permutation.h"

#include <algorithm>
#include <cstring>

#include "program/steps/units.h"

namespace q8 {
namespace {

constexpr int64_t columns_per_unit = 512;

}  // namespace

// The axes of y. Those of length 1 are left out, neighbours that are neighbours in x as well become one.
std::vector<Permutation::Axis> Permutation::merged_axes(const Shape& x, const std::vector<int64_t>& perm) {
  std::vector<int64_t> strides(x.size(), 1);
  for (size_t i = x.size(); i-- > 1;) strides[i - 1] = strides[i] * x[i];
  std::vector<Axis> axes;
  for (const int64_t from : perm) {
    const Axis axis{x[static_cast<size_t>(from)], strides[static_cast<size_t>(from)], 0};
    if (axis.size == 1) continue;
    if (!axes.empty() && axes.back().x_stride == axis.size * axis.x_stride) {
      axes.back() = {axes.back().size * axis.size, axis.x_stride, 0};
    } else {
      axes.push_back(axis);
    }
  }
  if (axes.empty()) axes.push_back({1, 1, 1});
  int64_t stride = 1;
  for (size_t i = axes.size(); i-- > 0;) {
    axes[i].y_stride = stride;
    stride *= axes[i].size;
  }
  return axes;
}

Permutation::Permutation(const Shape& x, const std::vector<int64_t>& perm, size_t element_bytes, Isa isa)
    : outer_(merged_axes(x, perm)),
      is_copy_(outer_.back().x_stride == 1),
      element_bytes_(static_cast<int64_t>(element_bytes)),
      kernel_(&transpose_kernel(isa)) {
  along_ = outer_.back();
  outer_.pop_back();
  if (is_copy_) {
    units_ = ceil_div(along_.size, elements_per_unit);
  } else {
    const auto contiguous = std::find_if(outer_.begin(), outer_.end(), [](const Axis& a) { return a.x_stride == 1; });
    across_ = *contiguous;
    outer_.erase(contiguous);
    units_ = ceil_div(across_.size, columns_per_unit);
  }
  for (const Axis& axis : outer_) units_ *= axis.size;
}

void Permutation::run(const void* x, void* y, int64_t begin, int64_t end) const {
  const int64_t size = is_copy_ ? along_.size : across_.size;
  const int64_t part = is_copy_ ? elements_per_unit : columns_per_unit;
  for (int64_t unit = begin; unit < end; ++unit) {
    const int64_t first = unit % ceil_div(size, part) * part;
    const int64_t count = std::min(part, size - first);
    int64_t number = unit / ceil_div(size, part);
    int64_t x_at = first, y_at = first * (is_copy_ ? 1 : across_.y_stride);
    for (size_t i = outer_.size(); i-- > 0; number /= outer_[i].size) {
      x_at += number % outer_[i].size * outer_[i].x_stride;
      y_at += number % outer_[i].size * outer_[i].y_stride;
    }
    const uint8_t* from = static_cast<const uint8_t*>(x) + x_at * element_bytes_;
    uint8_t* to = static_cast<uint8_t*>(y) + y_at * element_bytes_;
    if (is_copy_) {
      std::memcpy(to, from, static_cast<size_t>(count * element_bytes_));
    } else {
      kernel_->run({.x = from,
                    .y = to,
                    .rows = along_.size,
                    .columns = count,
                    .x_stride = along_.x_stride,
                    .y_stride = across_.y_stride,
                    .element_bytes = element_bytes_});
    }
  }
}

}  // namespace q8
