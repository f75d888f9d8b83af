"""What must hold of rows: expectations checked by Great Expectations, one verdict, and the bad rows set aside."""
