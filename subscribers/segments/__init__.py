"""Segments: a typed, parsed language that becomes SQL with bound parameters only."""
