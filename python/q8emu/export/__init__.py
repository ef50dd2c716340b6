# SPDX-License-Identifier: Apache-2.0
"""A network written in another form, one format per file."""
