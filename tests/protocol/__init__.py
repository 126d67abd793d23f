"""The contract, row by row: the same cases over every transport, from one data file."""
