"""Read, resolve and match correlation rules: claims in, what they say together out."""
