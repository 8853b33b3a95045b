"""Be the demo company: its people, its ordinary days, its stories, all from one seed.

Pure up to `feeding`: a seed and a first day give the same bytes on every machine. Nothing that
a detector reads tells that it was made up; what was planted stands in `truth.json`, apart.
"""
