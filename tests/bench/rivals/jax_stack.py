"""All networks at once in JAX: jit of a scan over steps of a vmap over replicates. Knows nothing of the suite."""

from __future__ import annotations

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np


def init(seed, replicates, sizes):
    """Stacked weights [replicate, in, out] and biases [replicate, out], uniform within 1/√fan-in."""
    params = []
    keys = jax.random.split(jax.random.key(seed), 2 * (len(sizes) - 1))
    for layer, (fan_in, fan_out) in enumerate(pairwise(sizes)):
        bound = fan_in**-0.5
        weight = jax.random.uniform(keys[2 * layer], (replicates, fan_in, fan_out), minval=-bound, maxval=bound)
        bias = jax.random.uniform(keys[2 * layer + 1], (replicates, fan_out), minval=-bound, maxval=bound)
        params.append((weight, bias))
    return params


def shuffled_batches(seed, replicates, examples, batch, steps):
    """Indices [step, replicate, batch]: for each replicate and epoch a new permutation, its remainder dropped."""
    rngs = [np.random.default_rng((seed, replicate)) for replicate in range(replicates)]
    per_epoch = examples // batch
    epochs = -(-steps // per_epoch)
    order = np.stack([[rng.permutation(examples)[: per_epoch * batch] for _ in range(epochs)] for rng in rngs])
    return order.reshape(replicates, epochs * per_epoch, batch)[:, :steps].swapaxes(0, 1).astype(np.int32)


def loss(params, x, y):
    """Mean cross-entropy of one network."""
    for weight, bias in params[:-1]:
        x = jax.nn.relu(x @ weight + bias)
    weight, bias = params[-1]
    log_p = jax.nn.log_softmax(x @ weight + bias)
    return -jnp.take_along_axis(log_p, y[:, None], axis=1).mean()


@jax.jit
def train(params, x, y, order, lr, momentum):
    """Return the trained parameters and the batch losses [step, replicate]."""

    def step(state, chosen):
        params, velocity = state
        losses, grads = jax.vmap(jax.value_and_grad(loss))(params, x[chosen], y[chosen])
        velocity = jax.tree.map(lambda v, g: momentum * v + g, velocity, grads)
        params = jax.tree.map(lambda p, v: p - lr * v, params, velocity)
        return (params, velocity), losses

    (params, _), losses = jax.lax.scan(step, (params, jax.tree.map(jnp.zeros_like, params)), order)
    return params, losses
