"""The formula of every metric, by its family (the name before the first dot; a clock's whole name). Knows words only.

The measuring code is ``suite/probes``; names and units are in ``labels``. Letters, the same on every line: z a hidden unit's
pre-activation and h its activation on an example x of the N training examples; θ the parameters, θ₀ those at step 0, g the gradient of
the training loss (of a mini-batch B, or of the whole training set where it says so); #{…} counts, and a share is a count over the
count of all that could have been counted. ``.<part>`` restricts a formula to that layer or group of parameters.
"""

from __future__ import annotations

#: What makes a unit dead, and alive again.
_DEAD = "maxₓ z ≤ 0"
_ALIVE = "maxₓ z > 10⁻⁶"

FORMULAS: dict[str, str] = {
    # fit
    "train_loss": "mean of the loss over the training set, in inference mode",
    "test_loss": "mean of the loss over the test set, in inference mode",
    "excess_loss": "train_loss − loss of the best constant output",
    "train_accuracy": "#{x : argmax output = label} / N, in inference mode",
    "test_accuracy": "the same over the test set",
    # dead
    "dead_fraction": f"#{{units : {_DEAD}}} / #units, BatchNorm with the training set's own statistics",
    "dead_fraction_eval": f"#{{units : {_DEAD}}} / #units, BatchNorm with its running statistics",
    "deaths": f"#{{units : {_DEAD} now, not at the evaluation before}} / #units",
    "revivals": f"#{{units : {_ALIVE} now, dead at the evaluation before}} / #units",
    "dead_at_start": "dead_fraction at step 0",
    "revived_fraction": f"#{{dead at step 0 and {_ALIVE} at some later evaluation}} / #{{dead at step 0}}; 0 where none was dead",
    "died_fraction": "#{not dead at step 0 and dead at some later evaluation} / #{not dead at step 0}; 0 where there were none",
    "recovered_fraction": "#{counted in died_fraction, and not dead at the end} / #{counted in died_fraction}; 0 where none died",
    # dormant, batch_dead, sparsity
    "dormant_fraction": "#{units : mean |h| ≤ τ · mean over its layer's units of mean |h|} / #units, τ = probes.dormant_tau",
    "batch_dead_fraction": "#{units : z ≤ 0 on every example of the latest B} / #units",
    "batch_dead_fraction_max": "maximum of the same share over every mini-batch of the run",
    "batch_dead_fraction_min": "minimum of the same share over every mini-batch of the run",
    "activation_sparsity": "#{(unit, x) : h = 0} / (#units · N), at the end",
    # gradients
    "grad_norm": "‖g‖₂ of the latest B, summed in float64, decay not included",
    "grad_zero_fraction": "#{elements of g = 0 exactly} / #elements, of the latest B",
    "grad_max_abs": "max |element of g| over every mini-batch so far; 0 only if no step had another",
    "full_grad_max_abs": "max |element of the whole set's g| over the evaluations so far",
    "layer_grad_max_abs": "as grad_max_abs, over the weights and biases of one layer",
    "zero_gradient_layers": "#{hidden layers : layer_grad_max_abs = 0}",
    "initial_grad_max_abs": "max |element of the whole set's g at step 0|",
    "initial_grad_log10": "log₁₀ ‖whole set's g at step 0‖₂; missing where it is exactly 0",
    "initial_grad_zero_fraction": "#{elements of the whole set's g at step 0 = 0 exactly} / #elements",
    # movement
    "moved_fraction": "#{elements : θ ≠ θ₀} / #elements",
    "moved_norm": "‖θ − θ₀‖₂, summed in float64",
    # batchnorm_bound: n = batch size, β and γ of the unit
    "bound_alive_share": "#{(unit, step) : β/|γ| > −1/√(n−1)} / #unit-steps; such a unit must be alive on B",
    "bound_dead_share": "#{(unit, step) : β/|γ| < −√(n−1)} / #unit-steps; such a unit must be dead on B",
    "bound_alive_broken": "#{unit-steps counted in bound_alive_share whose unit is dead on B}; the bound says 0",
    "bound_dead_broken": "#{unit-steps counted in bound_dead_share whose unit is alive on B}; the bound says 0",
    "bound_skipped_share": "#{unit-steps with batch variance ≤ 10⁻³ or γ = 0} / #unit-steps; left out of both bounds",
    # rollout: the units of layer 1 that are dead at step 0
    "revival_agreement": "#{units : first evaluation alive is the predicted one or its neighbour, or never in both} / #{dead at step 0}",
    "predicted_revived_fraction": "#{units : the optimizer alone, stepped in float64 with g = 0, makes maxₓ z > 10⁻⁶} / #{dead at step 0}",
    "revival_step": "mean over the units that revived of the step of the first evaluation alive; missing where none did",
    "predicted_revival_step": "the same by the prediction",
    "coast_distance": "‖θ − θ₀‖₂ over weights and biases of the units that stayed dead",
    "coast_predicted": "SGD without decay: lr · μ(1 − μᵀ)/(1 − μ) · ‖v₀‖₂ (Nesterov: another factor μ); else by the recursion in float64",
    "coast_ratio": "coast_distance / coast_predicted; missing where nothing was to coast",
    # bias_shift: at step 0, over the units that the start has made dead
    "shifted_loss": "loss over the training set with the shift added to the bias of each of them",
    "wake_shift": "min over them of −maxₓ z: the smallest shift that lifts any of them above zero",
    # zeros: elements of the hidden layers' weights and biases
    "batch_zero_fraction": "#{elements : g = 0 exactly on at least one B before the last evaluation} / #elements",
    "batch_zero_moved_fraction": "of those, the share whose value differs between two evaluations after that step",
    "full_zero_fraction": "#{elements : the whole set's g = 0 exactly at some evaluation} / #elements",
    "full_zero_moved_fraction": "of those, the share whose value differs between two later evaluations",
    "dead_moved_fraction": "of the elements into units found dead, the share that differs between two later evaluations, dead at both",
    "came_back_fraction": f"#{{units dead at some evaluation and {_ALIVE} at a later one}} / #{{units dead at some evaluation}}",
    # collapse
    "dead_layer": "1 where some hidden layer has all its units dead, else 0",
    "output_range": "max over outputs of (maxₓ output − minₓ output)",
    "constant_output": "1 where output_range ≤ 10⁻⁶, else 0",
    "born_dead_network": "dead_layer at step 0",
    "born_constant": "constant_output at step 0",
    "became_constant": "1 where constant_output at the end and not at step 0, else 0",
    # detectors: <d> is batch_<n>, dormant_<τ> or rare_0.01
    "false_positive_fraction": "#{units (for batch_<n>: unit-batch pairs) not dead but called dead by <d>} / #{not dead}",
    "false_negative_fraction": "#{units (or pairs) dead but not called dead by <d>} / #{dead}",
    "predicted_false_positive_fraction": "mean over live units of C(N−k, n)/C(N, n), k = #{x : z > 0}: that n random examples miss all k",
    "false_positive_excess": "false_positive_fraction − predicted_false_positive_fraction",
    # pruning
    "pruned_output_change": "max |change of any output on the training set| when outgoing weights of dead units are set to 0",
    "pruned_output_change_test": "the same on the test set",
    "live_pruned_output_change": "the same on the training set for each hidden layer's most active unit instead",
    "pruned_units": "#{units that were dead and cut off}",
    # plasticity: a_k = test accuracy on task k when task k ends
    "task_accuracy_first": "a₁",
    "task_accuracy_last": "a_K, K = train.tasks",
    "task_accuracy_mean": "(a₁ + … + a_K) / K",
    "plasticity_change": "a_K − a₁",
    # curvature and stationary: H the Hessian of the training loss, λ its P eigenvalues
    "hessian_min": "min λ",
    "hessian_max": "max λ",
    "hessian_trace": "Σ λ",
    "hessian_negative_fraction": "#{λ < −10⁻⁶ max |λ|} / P",
    "gradient_norm": "‖whole set's g‖₂ over all parameters",
    "flatness": "‖Hg‖₂ / (‖H‖_F ‖g‖₂); 0 where g = 0",
    "critical": "1 where gradient_norm ≤ probes.critical_below, else 0",
    "saddle": "1 where critical and H has eigenvalues of both signs (to 10⁻⁶ of the largest), else 0",
    "minimum": "1 where critical, some λ > 0 and none < 0, else 0",
    "maximum": "1 where critical, some λ < 0 and none > 0, else 0",
    "saddle_excess": "saddle − minimum",
    "gradient_flat": "1 where not critical and flatness ≤ 10⁻³, else 0",
    # escape and plateau
    "escaped": "1 once train_loss ≤ probes.escape_loss at an evaluation, else 0",
    "loss_change": "train_loss − train_loss at step 0",
    "escape_step": "step of the first evaluation with train_loss ≤ probes.escape_loss; the last step where there is none",
    "escape_time": "escape_step · optimizer.lr",
    "left_plateau": "1 once train_loss ≤ (1 − probes.escape_share) · loss of the best constant output, else 0",
    "steps_to_escape": "step of the first such evaluation; the last step where there is none",
    # underflow: of the first step
    "zero_depth": "number, counted from the output, of the first hidden layer whose bias gradient is 0 exactly; #layers + 1 where none is",
    "zero_depth_predicted": "how often the top layer's gradient can be divided by 4 and rounded before it is 0, and one more",
    "zero_depth_error": "zero_depth − zero_depth_predicted",
    "zero_depth_from_one": "zero_depth − log₄(gradient that enters the stack)",
    "first_layer_grad_max_abs": "max |element of g at the first hidden layer|",
    # zero_loss: over all steps
    "zero_loss_share": "#{steps : the loss of every example of B is 0 exactly} / #steps",
    "zero_loss_grad_share": "#{those steps with any element of g ≠ 0} / #{those steps}",
    "zero_loss_moved_share": "#{those steps that changed a bit of any parameter} / #{those steps}",
    "nonzero_loss_moved_share": "the same for all other steps",
    # late: over the last probes.late_steps steps
    "late_period": "smallest p such that after p, 2p, … steps θ has the bits it had at the window's beginning; 0 where there is none",
    "late_rises_share": "#{steps on which the mini-batch loss rose} / #steps",
    "late_chaos": "K of the 0-1 test on the changes of the loss",
    "late_static": "1 where late_period = 1, else 0",
    "late_periodic": "1 where late_period ≥ 2, else 0",
    "late_drifting": "1 where late_period = 0 and late_rises_share ≤ 0.05, else 0",
    "late_regular": "1 where late_period = 0, late_rises_share > 0.05 and K ≤ ½, else 0",
    "late_chaotic": "1 where late_period = 0, late_rises_share > 0.05 and K > ½, else 0",
    # stalled: elements with g ≠ 0 in the latest step
    "stalled_share": "#{elements the step left unchanged} / #{elements with g ≠ 0}; 1 where there are none",
    "stalled_predicted_share": "#{elements : θ − lr · g rounds back to θ} / #{elements with g ≠ 0}",
    "stalled_agreement": "#{elements for which the two agree} / #{elements with g ≠ 0}",
    # timing: counts, then clocks of the block's whole stack
    "reached_target": "1 once train_loss ≤ probes.escape_loss at an evaluation, else 0",
    "steps_to_target": "step of the first such evaluation; the last step where there is none",
    "steps": "train.steps",
    "parameters": "Σ over layers of (inputs + 1) · units",
    "step_flops": "leading terms of one update by formula (suite/probes/operations.py)",
    "held_bytes": "bytes of curvature the optimizer holds for one network; 0 for a first-order one",
    "time.seconds_to_target": "training clock at the evaluation of steps_to_target",
    "time.train_seconds": "training clock at the end",
    "time.step_seconds": "least over stretches between evaluations of training seconds per step",
    "time.watched_step_seconds": "the same with what probes make of steps",
    "time.observed_step_seconds": "the same with the whole-set pass and what probes make of it as well",
    "time.evaluate_share": "least whole-set pass per step / time.step_seconds",
    "time.probe_share": "least work of probes per step / time.step_seconds",
}


def family(metric: str) -> str:
    """What a metric's formula is filed under.

    >>> family("moved_norm.hidden_weight"), family("time.step_seconds")
    ('moved_norm', 'time.step_seconds')
    """
    return metric if metric.startswith("time.") else metric.split(".")[0]
