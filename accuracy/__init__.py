# SPDX-License-Identifier: MIT
"""Trains BERT and decoupled BERT, from plain text to the models that `detransformer` runs."""
