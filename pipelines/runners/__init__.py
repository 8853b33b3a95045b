"""Drive a flow: two runners, one seam (`poll`, `process`, `commit`), the same results.

A runner is a module with `is_available() -> bool` and `run(flow, once) -> None`; `run` returns when
`flow.stop` is set, or with `once` when the log holds nothing more. It drives one `Flow`, or the
`Lanes` of a process that shares one.
"""
