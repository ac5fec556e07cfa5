"""What nodes share for text: cutting it into sentences, and numbers as the words that are said for them."""
