"""What a metric is called on an axis, with its unit. Knows names only; the formulas are in ``formulas``."""

from __future__ import annotations

#: Whole names first, then everything before the first dot; the rest of the name is said after it.
_WHOLE = {
    "test_accuracy": ("test accuracy", "share correct"),
    "train_accuracy": ("training accuracy", "share correct"),
    "train_loss": ("training loss", "loss per example"),
    "test_loss": ("test loss", "loss per example"),
    "excess_loss": ("training loss less that of the best constant", "loss per example"),
    "loss_change": ("training loss less the first one", "loss per example"),
    "dead_fraction": ("dead units", "share of hidden units"),
    "dead_at_start": ("units dead at the start", "share of hidden units"),
    "dead_fraction_eval": ("dead units, judged as in inference", "share of hidden units"),
    "batch_dead_fraction": ("units silent on the latest batch", "share of hidden units"),
    "revived_fraction": ("units that came back", "share of the dead"),
    "died_fraction": ("units that died", "share of those alive at the start"),
    "recovered_fraction": ("units that died and came back", "share of those that died"),
    "deaths": ("deaths since the last evaluation", "share of hidden units"),
    "revivals": ("revivals since the last evaluation", "share of hidden units"),
    "born_dead_network": ("networks with a dead layer at the start", "0 or 1 per network"),
    "constant_output": ("networks whose output is constant", "0 or 1 per network"),
    "dead_layer": ("networks with a dead layer", "0 or 1 per network"),
    "escaped": ("networks that got away", "0 or 1 per network"),
    "escape_step": ("when it got away", "training steps"),
    "escape_time": ("when it got away", "steps × learning rate"),
    "steps_to_escape": ("when it left the plateau", "training steps"),
    "gradient_norm": ("norm of the full gradient", "loss per weight unit"),
    "hessian_min": ("smallest eigenvalue of the Hessian", "loss per squared weight unit"),
    "hessian_max": ("largest eigenvalue of the Hessian", "loss per squared weight unit"),
    "hessian_negative_fraction": ("negative eigenvalues", "share of all"),
    "coast_distance": ("measured coasting", "weight units"),
    "coast_predicted": ("coasting by the closed form", "weight units"),
    "coast_ratio": ("coasting, measured over predicted", "ratio"),
    "revival_step": ("measured step of revival", "training steps"),
    "predicted_revival_step": ("predicted step of revival", "training steps"),
    "predicted_revived_fraction": ("units predicted to come back", "share of the dead"),
    "zero_depth": ("layers with zero gradient, measured", "layers"),
    "zero_depth_predicted": ("layers with zero gradient, predicted", "layers"),
    "plasticity_change": ("accuracy on the last task less that on the first", "share correct"),
    "activation_sparsity": ("activations at zero", "share"),
    "wake_shift": ("shift of biases that wakes the first unit", "dimensionless"),
    "reached_target": ("networks that reached the target", "0 or 1 per network"),
    "steps_to_target": ("when the target was reached", "training steps"),
    "zero_gradient_layers": ("layers whose gradient was always zero", "layers"),
    "batch_dead_fraction_max": ("most units silent on any one batch", "share of hidden units"),
    "batch_dead_fraction_min": ("fewest units silent on any one batch", "share of hidden units"),
    "bound_alive_share": ("units that must be alive by BatchNorm's bound", "share of unit-steps"),
    "bound_dead_share": ("units that must be dead by BatchNorm's bound", "share of unit-steps"),
    "bound_alive_broken": ("units dead against BatchNorm's bound", "unit-steps"),
    "bound_dead_broken": ("units alive against BatchNorm's bound", "unit-steps"),
    "bound_skipped_share": ("units too quiet for BatchNorm's bound", "share of unit-steps"),
    "revival_agreement": ("units that come back when predicted", "share of the dead"),
    "batch_zero_fraction": ("parameters whose gradient was once zero on a batch", "share of hidden parameters"),
    "batch_zero_moved_fraction": ("parameters that moved after a zero on a batch", "share of those"),
    "full_zero_fraction": ("parameters whose full gradient was once zero", "share of hidden parameters"),
    "full_zero_moved_fraction": ("parameters that moved after a zero full gradient", "share of those"),
    "dead_moved_fraction": ("parameters of dead units that moved", "share of those"),
    "came_back_fraction": ("dead units that came back", "share of the dead"),
    "output_range": ("range of the output over the training set", "output units"),
    "born_constant": ("networks whose output is constant at the start", "0 or 1 per network"),
    "became_constant": ("networks whose output became constant", "0 or 1 per network"),
    "pruned_output_change": ("change of the output when dead units are cut off", "output units"),
    "pruned_output_change_test": ("the same change on the test set", "output units"),
    "live_pruned_output_change": ("change of the output when live units are cut off", "output units"),
    "pruned_units": ("dead units cut off", "units"),
    "hessian_trace": ("trace of the Hessian", "loss per squared weight unit"),
    "flatness": ("how little the Hessian bends the gradient", "ratio"),
    "critical": ("networks at a critical point", "0 or 1 per network"),
    "saddle": ("networks at a saddle", "0 or 1 per network"),
    "minimum": ("networks at a minimum", "0 or 1 per network"),
    "maximum": ("networks at a maximum", "0 or 1 per network"),
    "saddle_excess": ("saddles less minima", "-1, 0 or 1 per network"),
    "gradient_flat": ("networks where the gradient norm is flat but not zero", "0 or 1 per network"),
    "left_plateau": ("networks that left the plateau", "0 or 1 per network"),
    "zero_depth_error": ("layers with zero gradient, measured less predicted", "layers"),
    "zero_depth_from_one": ("layers a gradient of one would pass", "layers"),
    "first_layer_grad_max_abs": ("largest gradient at the first hidden layer", "loss per weight unit"),
    "zero_loss_share": ("steps whose loss is exactly zero", "share of steps"),
    "zero_loss_grad_share": ("steps of zero loss with a gradient", "share of those steps"),
    "zero_loss_moved_share": ("steps of zero loss that moved a parameter", "share of those steps"),
    "nonzero_loss_moved_share": ("other steps that moved a parameter", "share of those steps"),
    "late_period": ("period of the last steps", "training steps"),
    "late_rises_share": ("last steps on which the loss rose", "share of steps"),
    "late_chaos": ("0-1 test of the last steps", "K, 0 regular to 1 chaotic"),
    "late_static": ("networks that stand still", "0 or 1 per network"),
    "late_periodic": ("networks that repeat themselves", "0 or 1 per network"),
    "late_drifting": ("networks still going down", "0 or 1 per network"),
    "late_regular": ("networks that move regularly", "0 or 1 per network"),
    "late_chaotic": ("networks that move irregularly", "0 or 1 per network"),
    "stalled_share": ("parameters that an update left unchanged", "share of those with a gradient"),
    "stalled_predicted_share": ("parameters whose update rounding swallows", "share of those with a gradient"),
    "stalled_agreement": ("parameters for which the two agree", "share of those with a gradient"),
    "steps": ("steps of training", "training steps"),
    "parameters": ("parameters", "numbers per network"),
    "step_flops": ("operations of an update", "floating-point operations"),
    "held_bytes": ("curvature held by the optimizer", "bytes per network"),
    "time.evaluate_share": ("evaluation", "share of training time"),
    "time.probe_share": ("probes", "share of training time"),
}
_HEADS = {
    "dead_fraction": ("dead units", "share of the layer's units"),
    "dormant_fraction": ("dormant units", "share of hidden units"),
    "moved_fraction": ("parameters that have changed", "share"),
    "moved_norm": ("distance moved from the start", "weight units"),
    "grad_norm": ("norm of the latest batch's gradient", "loss per weight unit"),
    "grad_max_abs": ("largest gradient so far", "loss per weight unit"),
    "layer_grad_max_abs": ("largest gradient so far", "loss per weight unit"),
    "full_grad_max_abs": ("largest full gradient so far", "loss per weight unit"),
    "initial_grad_max_abs": ("largest gradient at the start", "loss per weight unit"),
    "initial_grad_log10": ("norm of the gradient at the start", "log10 of loss per weight unit"),
    "grad_zero_fraction": ("gradients exactly zero", "share"),
    "initial_grad_zero_fraction": ("gradients exactly zero at the start", "share"),
    "activation_sparsity": ("activations at zero", "share"),
    "false_positive_fraction": ("live units called dead", "share of live units"),
    "false_negative_fraction": ("dead units not called dead", "share of dead units"),
    "predicted_false_positive_fraction": ("live units a random batch would call dead", "share of live units"),
    "shifted_loss": ("training loss with dead units' biases raised", "loss per example"),
    "false_positive_excess": ("live units called dead, measured less predicted", "share of live units"),
    "task_accuracy_first": ("test accuracy on the first task", "share correct"),
    "task_accuracy_last": ("test accuracy on the last task", "share correct"),
    "task_accuracy_mean": ("test accuracy over all tasks", "share correct"),
}


def name_and_unit(metric: str) -> tuple[str, str]:
    """What people call a metric, and its unit; a name that is not known is only made readable.

    >>> name_and_unit("moved_norm.hidden_weight")
    ('distance moved from the start, hidden weight', 'weight units')
    """
    if metric in _WHOLE:
        return _WHOLE[metric]
    head, _, tail = metric.partition(".")
    if head == "time":  # made by a clock
        return tail.replace("_", " "), "seconds" if "seconds" in tail else "as measured"
    said, unit = _HEADS.get(head, (head.replace("_", " "), _unit(head)))
    return (f"{said}, {tail.replace('_', ' ')}" if tail else said), unit


def axis_label(metric: str) -> str:
    """The name with its unit in brackets."""
    return "{} ({})".format(*name_and_unit(metric))


def _unit(name: str) -> str:
    """A unit from the name's last word, for metrics without an entry of their own."""
    last = name.rsplit("_", 1)[-1]
    return {"fraction": "share", "share": "share", "norm": "weight units", "loss": "loss per example", "step": "training steps"}.get(
        last, "as measured"
    )
