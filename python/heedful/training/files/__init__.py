"""Files of weights and of trainings."""
