"""What the algorithms work on: a problem compiled to integers, sets of models as bit masks, plans as slots."""
