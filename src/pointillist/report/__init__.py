"""Pages a person reads: self-contained HTML with figures and tables."""
