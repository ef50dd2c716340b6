// SPDX-License-Identifier: Apache-2.0
// Executor: a Program given as lists and dicts, checked strictly.
#include <pybind11/stl.h>

#include <tuple>

#include "base/cpu.h"
#include "base/error.h"
#include "bindings/arrays.h"
#include "bindings/register.h"
#include "program/executor.h"

namespace py = pybind11;

namespace q8 {
namespace {

using PyBuffer = std::pair<std::string, std::vector<int64_t>>;

int64_t read_integer(const py::handle& object, const std::string& what) {
  Q8_REQUIRE(py::isinstance<py::int_>(object), what, " must be an int, found ",
             std::string(py::str(py::type::of(object))));
  const long long value = PyLong_AsLongLong(object.ptr());
  if (value == -1 && PyErr_Occurred() != nullptr) {
    PyErr_Clear();
    throw Error(text(what, " does not fit in 64 bits"));
  }
  return value;
}

std::vector<int64_t> read_tuple(const py::handle& object, const std::string& what) {
  Q8_REQUIRE(py::isinstance<py::tuple>(object), what, " must be a tuple of ints, found ",
             std::string(py::str(py::type::of(object))));
  std::vector<int64_t> values;
  for (const py::handle item : py::reinterpret_borrow<py::tuple>(object)) values.push_back(read_integer(item, what));
  return values;
}

Param read_param(const py::handle& object, const std::string& what) {
  if (py::isinstance<py::tuple>(object)) return read_tuple(object, what);
  return read_integer(object, what);
}

py::object get(const py::dict& step, const char* key, const std::string& what) {
  Q8_REQUIRE(step.contains(key), what, "the field ", key, " is missing");
  return step[key];
}

py::dict get_dict(const py::dict& step, const char* key, const std::string& what) {
  const py::object value = get(step, key, what);
  Q8_REQUIRE(py::isinstance<py::dict>(value), what, key, " must be a dict, found ",
             std::string(py::str(py::type::of(value))));
  return value;
}

Step read_step(const py::dict& fields, size_t index) {
  std::string what = text("step ", index, ": ");
  const py::object kind = get(fields, "kind", what);
  Q8_REQUIRE(py::isinstance<py::str>(kind), what, "kind must be a str");
  Step step{.kind = py::cast<std::string>(kind), .inputs = {}, .outputs = {}, .params = {}, .arrays = {}};
  what = text("step ", index, " (", step.kind, "): ");
  step.inputs = read_tuple(get(fields, "inputs", what), what + "inputs");
  step.outputs = read_tuple(get(fields, "outputs", what), what + "outputs");
  const py::dict params = get_dict(fields, "params", what), arrays = get_dict(fields, "arrays", what);
  Q8_REQUIRE(fields.size() == 5, what, "the fields must be kind, inputs, outputs, params and arrays, found ",
             fields.size(), " fields");
  if (is_host(step)) return step;
  for (const auto& [name, value] : params) {
    const std::string key = py::str(name);
    step.params.emplace(key, read_param(value, what + key));
  }
  for (const auto& [name, value] : arrays) {
    const std::string key = py::str(name);
    step.arrays.emplace(key, copy_array(value, what + "the array " + key));
  }
  return step;
}

Program read_program(const std::vector<PyBuffer>& buffers, const std::map<int64_t, py::object>& constants,
                     const std::vector<py::dict>& steps) {
  Program program;
  for (size_t i = 0; i < buffers.size(); ++i) {
    program.buffers.push_back({dtype_from_name(buffers[i].first, text("buffer ", i)), buffers[i].second});
  }
  for (const auto& [number, array] : constants) {
    program.constants.emplace(number, copy_array(array, text("constant buffer ", number)));
  }
  for (size_t i = 0; i < steps.size(); ++i) program.steps.push_back(read_step(steps[i], i));
  return program;
}

std::unique_ptr<Executor> make_executor(const std::vector<PyBuffer>& buffers,
                                        const std::map<int64_t, py::object>& constants,
                                        const std::vector<py::dict>& steps, const std::string& isa, int64_t threads,
                                        const std::vector<int64_t>& keep, const std::vector<int64_t>& keep_accumulators,
                                        uint64_t memory_limit) {
  Program program = read_program(buffers, constants, steps);
  const ExecutorOptions options{.isa = isa_from_name(isa, "Executor"),
                                .threads = threads,
                                .keep = keep,
                                .keep_accumulators = keep_accumulators,
                                .memory_limit = memory_limit};
  const py::gil_scoped_release release;
  return std::make_unique<Executor>(std::move(program), options);
}

py::array read(const Executor& executor, int64_t number) {
  const Buffer& buffer = executor.buffer(number);
  py::array out = new_array(buffer.dtype, buffer.shape);
  executor.read(number, out.mutable_data());
  return out;
}

using PyTransfer = std::tuple<std::string, int64_t, Shape, std::vector<int64_t>, py::object>;

Direction read_direction(const std::string& name, const std::string& what) {
  if (name == "in") return Direction::into_buffer;
  if (name == "out") return Direction::out_of_buffer;
  if (name == "accumulators") return Direction::accumulators;
  throw Error(text(what, ": unknown direction '", name, "'; known: in, out, accumulators"));
}

void run(Executor& executor, int64_t begin, int64_t end, int64_t runs, const std::vector<PyTransfer>& transfers,
         bool timed) {
  RunRequest request{.begin = begin, .end = end, .runs = runs, .transfers = {}, .is_timed = timed};
  for (size_t i = 0; i < transfers.size(); ++i) {
    const auto& [direction_name, number, shape, perm, array] = transfers[i];
    const std::string what = text("run: transfer ", i);
    const Direction direction = read_direction(direction_name, what);
    const TensorView tensor = view_array(array, what);
    const bool is_writeable = py::reinterpret_borrow<py::array>(array).writeable();
    Q8_REQUIRE(direction == Direction::into_buffer || is_writeable, what, ": the array must be writeable");
    request.transfers.push_back(
        {.direction = direction, .number = number, .shape = shape, .perm = perm, .tensor = tensor});
  }
  const py::gil_scoped_release release;
  executor.run(request);
}

}  // namespace

void register_executor(py::module_& module) {
  py::class_<Executor>(module, "Executor", "Runs a Program; docs/steps.md defines what every step writes.")
      .def(py::init(&make_executor), py::arg("buffers"), py::arg("constants"), py::arg("steps"), py::kw_only(),
           py::arg("isa"), py::arg("threads"), py::arg("keep"), py::arg("keep_accumulators"), py::arg("memory_limit"))
      .def(
          "write",
          [](Executor& executor, int64_t buffer, const py::object& array) {
            executor.write(buffer, view_array(array, text("write: the array for buffer ", buffer)));
          },
          py::arg("buffer"), py::arg("array"), "Copy an array of exactly the dtype and shape of the buffer into it.")
      .def("read", &read, py::arg("buffer"), "A copy of a buffer that is kept.")
      .def("run", &run, py::arg("begin"), py::arg("end"), py::kw_only(), py::arg("runs") = 1,
           py::arg("transfers") = std::vector<PyTransfer>{}, py::arg("timed") = false,
           "Run the steps [begin, end), so many times.")
      .def("step_times", &Executor::step_times,
           "Nanoseconds of each step in the last timed call, and of the transfers.")
      .def("kernels", &Executor::kernels, "For each step, the symbols of its kernels.")
      .def_property_readonly("memory_bytes", &Executor::memory_bytes,
                             "Bytes of buffers, packed weights, accumulators and scratch memory.");
}

}  // namespace q8
