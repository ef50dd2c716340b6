// SPDX-License-Identifier: Apache-2.0
// What goes between the caller's tensors and the buffers of a Program.
#include "program/transfer.h"

#include "base/error.h"

namespace q8 {
namespace {

// Where each axis of the tensor is in the buffer.
std::vector<int64_t> inverse_of(const std::vector<int64_t>& perm, const Shape& shape, const std::string& what) {
  const int64_t rank = static_cast<int64_t>(shape.size());
  std::vector<int64_t> inverse(shape.size(), -1);
  bool is_legal = perm.size() == shape.size();
  for (int64_t i = 0; is_legal && i < rank; ++i) {
    const int64_t axis = perm[static_cast<size_t>(i)];
    is_legal = axis >= 0 && axis < rank && inverse[static_cast<size_t>(axis)] < 0;
    if (is_legal) inverse[static_cast<size_t>(axis)] = i;
  }
  Q8_REQUIRE(is_legal, what, ": perm must name each axis of ", to_string(shape), " once, found ", to_string(perm));
  return inverse;
}

}  // namespace

void Move::run(uint8_t* buffer, int64_t number, int64_t begin, int64_t end) const {
  uint8_t* part = tensor + number * part_bytes;
  if (is_into) {
    permutation.run(part, buffer, begin, end);
  } else {
    permutation.run(buffer, part, begin, end);
  }
}

Move make_move(const Transfer& transfer, const Buffer& buffer, const std::string& what, int64_t runs, Isa isa) {
  const TensorView& tensor = transfer.tensor;
  const int64_t elements = element_count(transfer.shape), all = element_count(tensor.shape);
  const bool is_into = transfer.direction == Direction::into_buffer;
  const bool repeats = is_into && all == elements;
  Q8_REQUIRE(elements == element_count(buffer.shape) && transfer.shape.size() <= max_rank, what, " is ",
             to_string(buffer.dtype, buffer.shape), ", found parts of the shape ", to_string(transfer.shape));
  Q8_REQUIRE(tensor.dtype == buffer.dtype && (repeats || all == checked_mul(elements, runs)), what, " is ",
             to_string(buffer.dtype, buffer.shape), " in each of ", runs, " runs, found ",
             to_string(tensor.dtype, tensor.shape));
  const std::vector<int64_t> inverse = inverse_of(transfer.perm, transfer.shape, what);
  Shape ordered;  // as the buffer, but for axes of length 1
  for (const int64_t axis : transfer.perm) ordered.push_back(transfer.shape[static_cast<size_t>(axis)]);
  const size_t bytes = dtype_bytes(buffer.dtype);
  return {.is_into = is_into,
          .tensor = static_cast<uint8_t*>(tensor.data),
          .part_bytes = repeats ? 0 : elements * static_cast<int64_t>(bytes),
          .permutation = is_into ? Permutation(transfer.shape, transfer.perm, bytes, isa)
                                 : Permutation(ordered, inverse, bytes, isa)};
}

}  // namespace q8
