"""How the server compares with other servers on local storage."""
