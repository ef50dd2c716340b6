# SPDX-License-Identifier: Apache-2.0
"""The branches of every single-operator case, by family."""
