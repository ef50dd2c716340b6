# SPDX-License-Identifier: Apache-2.0
"""The project's ResNet8: trained, quantized eight ways."""
