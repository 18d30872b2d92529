"""Algorithms for x̂ = argmin ½‖A x − y‖² + λ φ(x), and for objectives that only autograd knows.

Every solver works on a batch [B, ...], treats each image as a problem of its own (its own step lengths and end), and
returns a `Result`. They share their signature: the problem, the start `x0`, at most `steps` steps, a `tolerance`, and
`callback(k, x)`, called with the estimate x after k steps, k = 0 being the start. If it returns a dict, {name: values
[B]}, these become curves of the history: `callback=lambda k, x: {"psnr": psnr(x, truth)}`. `disable=False` shows a
progress bar (`common.progress`). An algorithm is a step; `base.iterate` drives them all.
"""

from course_lib.solvers.admm import admm
from course_lib.solvers.base import Result
from course_lib.solvers.greedy import iht, keep_largest, omp
from course_lib.solvers.primal_dual import condat_vu, primal_dual
from course_lib.solvers.proximal import fista, gradient_descent, ista
from course_lib.solvers.smooth import adam, conjugate_gradient, lbfgs
