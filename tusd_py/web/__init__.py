"""The faces: HTTP in, one service call, HTTP out."""
