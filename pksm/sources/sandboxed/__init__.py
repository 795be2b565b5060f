"""Files read by a worker that has given up all else: what crosses between the two, and the sources on this side."""
