# SPDX-License-Identifier: Apache-2.0
"""The golden data of q8emu: trained model, quantized models, single-operator cases, and what ONNX Runtime computes."""
