"""What could make a score meaningless: leaks, telling designs, copies, fits."""
