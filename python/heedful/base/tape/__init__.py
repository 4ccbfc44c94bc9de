"""The tape: layers and named steps of a computation, whose backward pass it derives."""
