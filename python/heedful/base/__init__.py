"""The base of layers: what training needs of a model."""
