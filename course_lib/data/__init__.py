"""What the course looks at: photographs and the face, folders of images, phantoms, spectra, sparse signals, patches;
and the tasks of the source, with the observations that they make.
"""

from course_lib.data.images import (
    FRAME,
    PHOTOGRAPH_SPLITS,
    PHOTOGRAPHS,
    SPLITS,
    face,
    grey_faces,
    image_files,
    load_folder,
    open_picture,
    photograph,
    photograph_crops,
    read_image,
    save_grid,
    to_float,
    whole_photograph,
)
from course_lib.data.sparse import bernoulli_gaussian, sparse_signals
from course_lib.data.tasks import TASKS, make_task, observe
