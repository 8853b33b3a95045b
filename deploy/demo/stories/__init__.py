"""Be the stories and their near misses: one file a story, found by folder.

Each has `NAME` and two tellers, `planted(tale)` and `near_miss(tale)`, which give rows; rows of a
step carry its mark. `START_H`: hours after local midnight between which a story may begin;
`FIRST_DAY`: how many days of ordinary life it needs before it; `AT_NIGHT`: any day will do.
"""
