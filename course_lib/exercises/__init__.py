"""Checks of the exercises, one file a notebook: each tells whether an answer is right, and if not, what to try.

`check_…(answer)` prints one line and returns a truth value; it never raises, so that a notebook with an unsolved task
still runs to its end. A blank answer is `...` or None, or a function that returns one of them.
"""

from course_lib.exercises.analysis import check_map_penalty, check_same_minimizers, check_step_in_z
from course_lib.exercises.dictionary_learning import (
    check_aggregation,
    check_dictionary_update,
    check_foreign_dictionary,
    check_overlap_gain,
)
from course_lib.exercises.experiments import check_noiseless_deblurring, check_paired_gain, check_two_means
from course_lib.exercises.glow import (
    check_actnorm_logdet,
    check_bits_per_dim,
    check_coupling_inverse,
    check_most_likely,
)
from course_lib.exercises.inverse_problems import (
    check_difference_adjoint,
    check_noise_error,
    check_null_part,
    check_worst_conditioned,
)
from course_lib.exercises.map_and_posterior import (
    check_best_image,
    check_coordinates,
    check_coverage,
    check_pcn,
    check_sample_gain,
)
from course_lib.exercises.normalizing_flows import (
    check_bridge,
    check_chain_logdet,
    check_decode_two,
    check_transformed_density,
)
from course_lib.exercises.out_of_distribution import (
    check_alarm,
    check_gain_lost,
    check_prior_abroad,
    check_start_abroad,
)
from course_lib.exercises.plug_and_play import (
    check_averaged,
    check_pnp_step,
    check_pnp_strength,
    check_rescaled,
)
from course_lib.exercises.regression_networks import (
    check_projection,
    check_receptive_field,
    check_two_point_mean,
    check_worst_degradation,
)
from course_lib.exercises.sparsity import (
    check_frame,
    check_group_threshold,
    check_rates,
    check_soft_threshold,
)
from course_lib.exercises.spectral_imaging import (
    check_fusion_system,
    check_low_rank,
    check_missing_spectrum,
    check_ranks,
)
from course_lib.exercises.start_here import check_first_step, check_inversion, check_psnr
from course_lib.exercises.synthesis import (
    check_best_start,
    check_large_lambda,
    check_linear_synthesis,
    check_more_pixels,
)
from course_lib.exercises.total_variation import check_dual_step, check_duality_gap, check_edge_price, check_rho
from course_lib.exercises.towards_real_data import (
    check_fewest_bits,
    check_map_weight,
    check_pixels_once,
    check_wrong_kernel,
)
from course_lib.exercises.unrolling import (
    check_admm_layer,
    check_ista_layer,
    check_other_matrix,
    check_other_measurements,
)
from course_lib.exercises.vae import (
    check_kl,
    check_large_beta,
    check_linear_elbo,
    check_naive_likelihood,
    check_reparametrize,
)
from course_lib.exercises.variational_regularization import (
    check_limits,
    check_map_lambda,
    check_posterior_mean,
    check_tikhonov,
)

__all__ = [
    "check_actnorm_logdet",
    "check_admm_layer",
    "check_aggregation",
    "check_alarm",
    "check_averaged",
    "check_best_image",
    "check_best_start",
    "check_bits_per_dim",
    "check_bridge",
    "check_chain_logdet",
    "check_coordinates",
    "check_coupling_inverse",
    "check_coverage",
    "check_decode_two",
    "check_dictionary_update",
    "check_difference_adjoint",
    "check_dual_step",
    "check_duality_gap",
    "check_edge_price",
    "check_fewest_bits",
    "check_first_step",
    "check_foreign_dictionary",
    "check_frame",
    "check_fusion_system",
    "check_gain_lost",
    "check_group_threshold",
    "check_inversion",
    "check_ista_layer",
    "check_kl",
    "check_large_beta",
    "check_large_lambda",
    "check_limits",
    "check_linear_elbo",
    "check_linear_synthesis",
    "check_low_rank",
    "check_map_lambda",
    "check_map_penalty",
    "check_map_weight",
    "check_missing_spectrum",
    "check_more_pixels",
    "check_most_likely",
    "check_naive_likelihood",
    "check_noise_error",
    "check_noiseless_deblurring",
    "check_null_part",
    "check_other_matrix",
    "check_other_measurements",
    "check_overlap_gain",
    "check_paired_gain",
    "check_pcn",
    "check_pixels_once",
    "check_pnp_step",
    "check_pnp_strength",
    "check_posterior_mean",
    "check_prior_abroad",
    "check_projection",
    "check_psnr",
    "check_ranks",
    "check_rates",
    "check_receptive_field",
    "check_reparametrize",
    "check_rescaled",
    "check_rho",
    "check_same_minimizers",
    "check_sample_gain",
    "check_soft_threshold",
    "check_start_abroad",
    "check_step_in_z",
    "check_tikhonov",
    "check_transformed_density",
    "check_two_means",
    "check_two_point_mean",
    "check_worst_conditioned",
    "check_worst_degradation",
    "check_wrong_kernel",
]
