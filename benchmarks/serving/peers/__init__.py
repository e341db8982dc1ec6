"""What a shop would put there instead, and what an answer costs at least: one small app a file.

``python -m benchmarks.serving.peers NAME`` serves one of them as ``python -m service`` serves
ours: one worker of uvicorn with uvloop and httptools, no access log. Settings come from the
environment, ``PEER_...``.
"""
