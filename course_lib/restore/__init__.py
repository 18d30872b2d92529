"""One's own pictures: any file that Pillow reads is an observation y, and `restore` finds x̂ of y = A x + n for it.

    restore("scan.tif", "denoising", "clean.tif")
    restore("photo.jpg", "inpainting", "whole.png", mask="scratches.png")

`python -m course_lib restore` is the same as a command. The result has the kind of the picture (bits, size, colour,
orientation), and comes with a sheet that shows what was measured and what the prior invented.
"""

from course_lib.restore.pictures import read_picture, suggested_path, write_picture
from course_lib.restore.priors import PRIORS
from course_lib.restore.problems import TASKS, make_problem
from course_lib.restore.run import Restoration, restore
