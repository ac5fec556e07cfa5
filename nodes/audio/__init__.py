"""What nodes share for sound: reading and checking it, resampling, cutting where it is quiet."""
