"""`python -m tests.docs`: rewrites the generated parts of the documents."""

from tests.docs.generated import REPOSITORY, pages

for path, text in pages().items():
    if path.read_text() != text:
        path.write_text(text)
        print(f"rewritten: {path.relative_to(REPOSITORY)}")
