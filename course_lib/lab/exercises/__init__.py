"""Checks of the exercises, one file a notebook: each tells whether an answer is right, and if not, what to try.

`check_…(answer)` prints one line and returns a truth value; it never raises, so that a notebook with an unsolved task
still runs to its end. A blank answer is `...` or None, or a function that returns one of them.
"""

from course_lib.lab.exercises.analysis import check_map_penalty, check_same_minimizers, check_step_in_z
from course_lib.lab.exercises.dictionary_learning import (
    check_aggregation,
    check_dictionary_update,
    check_foreign_dictionary,
    check_overlap_gain,
)
from course_lib.lab.exercises.experiments import check_noiseless_deblurring, check_paired_gain, check_two_means
from course_lib.lab.exercises.glow import (
    check_actnorm_logdet,
    check_bits_per_dim,
    check_coupling_inverse,
    check_most_likely,
)
from course_lib.lab.exercises.inverse_problems import (
    check_difference_adjoint,
    check_noise_error,
    check_null_part,
    check_worst_conditioned,
)
from course_lib.lab.exercises.map_and_posterior import (
    check_best_image,
    check_coordinates,
    check_coverage,
    check_pcn,
    check_sample_gain,
)
from course_lib.lab.exercises.normalizing_flows import (
    check_bridge,
    check_chain_logdet,
    check_decode_two,
    check_transformed_density,
)
from course_lib.lab.exercises.out_of_distribution import (
    check_alarm,
    check_gain_lost,
    check_prior_abroad,
    check_start_abroad,
)
from course_lib.lab.exercises.plug_and_play import (
    check_averaged,
    check_pnp_step,
    check_pnp_strength,
    check_rescaled,
)
from course_lib.lab.exercises.regression_networks import (
    check_projection,
    check_receptive_field,
    check_two_point_mean,
    check_worst_degradation,
)
from course_lib.lab.exercises.sparsity import (
    check_frame,
    check_group_threshold,
    check_rates,
    check_soft_threshold,
)
from course_lib.lab.exercises.spectral_imaging import (
    check_fusion_system,
    check_low_rank,
    check_missing_spectrum,
    check_ranks,
)
from course_lib.lab.exercises.start_here import check_first_step, check_inversion, check_psnr
from course_lib.lab.exercises.synthesis import (
    check_best_start,
    check_large_lambda,
    check_linear_synthesis,
    check_more_pixels,
)
from course_lib.lab.exercises.total_variation import check_dual_step, check_duality_gap, check_edge_price, check_rho
from course_lib.lab.exercises.towards_real_data import (
    check_fewest_bits,
    check_map_weight,
    check_pixels_once,
    check_wrong_kernel,
)
from course_lib.lab.exercises.unrolling import (
    check_admm_layer,
    check_ista_layer,
    check_other_matrix,
    check_other_measurements,
)
from course_lib.lab.exercises.vae import (
    check_kl,
    check_large_beta,
    check_linear_elbo,
    check_naive_likelihood,
    check_reparametrize,
)
from course_lib.lab.exercises.variational_regularization import (
    check_limits,
    check_map_lambda,
    check_posterior_mean,
    check_tikhonov,
)
