"""The built book in a real browser; also `python -m tests.browser.shots` for people to look."""
