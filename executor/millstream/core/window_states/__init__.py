"""The state of windows, one class per kind of window, all behind `state.WindowState`.

Aggregates are kept as rows of merged partials, in columns; a batch is folded in as one small frame, so the cost per
record stays the same however large the state is.
"""
