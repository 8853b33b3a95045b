"""Score rows of features online: six measures, one calibrated sum, shares that explain it.

`Ensemble` is the whole; its parts stand alone: moments (how far each feature is from its usual),
residual (what the usual relations between features do not explain), trees (how empty the place
is), one_class (how far outside it is), extremes (how rare its rarest feature is), calibration (how
rare a score is), gate (what may be learned), edges (bursts between addresses). These are arrays and
pure numpy. Beside them: spans, windows, seldom, usual, population and explain, of which the
detector `behaviour` is made.
"""
