"""Pyramid → store: plan first (pure), then write. A write that broke off is taken up again."""
