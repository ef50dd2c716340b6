# SPDX-License-Identifier: Apache-2.0
"""Datasets that measurements use; each file reads one, and fetches it from its official address."""
