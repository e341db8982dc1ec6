"""Measurements against peers on real orders; run them, do not import them into the product."""
