"""Checks of the exercises, one file a notebook: each tells whether an answer is right, and if not, what to try.

A notebook imports its own: `from course_lib.lab.exercises import analysis as exercises`. `checking` says what
`exercises.check_…(answer)` does.
"""
