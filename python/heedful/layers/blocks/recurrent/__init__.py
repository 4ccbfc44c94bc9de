"""Recurrent layers: their state is passed from one position to the next."""
