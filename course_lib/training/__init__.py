"""One resumable training loop for every model of the course, and one recipe a model.

A step's batch and noise depend on (seed, step) alone, so a run that is killed and resumed ends with the numbers of an
undisturbed one, and several processes, each with its slice of the batch, follow one. A checkpoint is one safetensors
file, written beside its place and renamed. A new model needs a line in `weights.MODELS`, its loss in `LOSSES`, and a
recipe in `RECIPES`; one that trains on what it draws itself, without images, also a line in `DRAWN`.
"""

from course_lib.training.batches import DRAWN, draw_batch, draw_validation, load_sets, load_validation
from course_lib.training.loop import Objective, Run, load_average, mean_loss, train
from course_lib.training.losses import LOSSES, SCORES
from course_lib.training.recipes import RECIPES, Recipe, learning_rate
