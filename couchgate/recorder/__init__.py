"""The flight recorder: what the process did last, in a file that survives it, and what reads that file afterwards."""
