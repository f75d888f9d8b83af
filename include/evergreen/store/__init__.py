"""Operational state, the truth about what was decided: one PostgreSQL schema, one module per table.

Whatever decides is compare-and-set on a unique key, and every write may be repeated: the second time it returns what
the first one stored. ``store`` opens the database; ``schema`` declares the tables; ``migrations`` makes them.
"""
