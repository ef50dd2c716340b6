# SPDX-License-Identifier: Apache-2.0
"""The workflow around a model: convert it from float, calibrate, quantize, evaluate, compare. One task per file."""
