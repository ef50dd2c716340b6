// SPDX-License-Identifier: Apache-2.0
// Between NumPy arrays and ours.
#include "bindings/arrays.h"

#include <cstring>

#include "base/error.h"

namespace py = pybind11;

namespace q8 {
namespace {

constexpr DType all_dtypes[] = {DType::s8, DType::u8, DType::s32, DType::f32, DType::s64, DType::u32};

}  // namespace

DType dtype_from_name(const std::string& name, const std::string& what) {
  for (const DType dtype : all_dtypes) {
    if (name == dtype_name(dtype)) return dtype;
  }
  throw Error(text(what, ": unknown dtype '", name, "'; known: int8, uint8, int32, float32, int64, uint32"));
}

TensorView view_array(const py::handle& object, const std::string& what) {
  Q8_REQUIRE(py::isinstance<py::array>(object), what, " must be a NumPy array, found ",
             std::string(py::str(py::type::of(object))));
  const auto array = py::reinterpret_borrow<py::array>(object);
  Q8_REQUIRE((array.flags() & py::array::c_style) != 0, what, " must be C-contiguous");
  // "<i4" and "int32" are the same dtype here, ">i4" has another name.
  const std::string name = py::str(array.dtype());
  Shape shape(array.shape(), array.shape() + array.ndim());
  return {.dtype = dtype_from_name(name, what), .shape = std::move(shape), .data = const_cast<void*>(array.data())};
}

Array copy_array(const py::handle& object, const std::string& what) {
  const TensorView view = view_array(object, what);
  const size_t bytes = static_cast<size_t>(element_count(view.shape)) * dtype_bytes(view.dtype);
  const auto* data = static_cast<const std::byte*>(view.data);
  return {.dtype = view.dtype, .shape = view.shape, .bytes = {data, data + bytes}};
}

py::array new_array(DType dtype, const Shape& shape) { return py::array(py::dtype(dtype_name(dtype)), shape); }

}  // namespace q8
