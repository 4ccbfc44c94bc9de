"""What fit calls between epochs and batches."""
