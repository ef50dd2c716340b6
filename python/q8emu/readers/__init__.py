# SPDX-License-Identifier: Apache-2.0
"""Model files become Graphs, one reader per format."""
