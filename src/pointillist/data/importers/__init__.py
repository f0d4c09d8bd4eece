"""Importers: one file a kind of source. Each reads a source strictly and writes a dataset, or nothing."""
