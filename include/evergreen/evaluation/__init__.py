"""How good a model is and whether it may be promoted. It is handed predictions; it loads no model."""
