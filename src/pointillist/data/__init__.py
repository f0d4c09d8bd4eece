"""Data in and out: strict readers, atomic writers, the dataset, importers, mark simulators, checks."""
