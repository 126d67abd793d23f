"""What a replica promises on bad days, measured on real processes."""
