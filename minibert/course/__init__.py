"""The exercises of the course: checks, submissions, grades."""
