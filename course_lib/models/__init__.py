"""Networks, one a file, and their trained weights: `load_model(name)`."""

from course_lib.models.weights import describe, load_model, save_model
