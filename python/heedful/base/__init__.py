"""What training needs of a model, and layers are built upon."""
