"""How the S3 backend compares with other ways into the same store."""
