"""Every hyperparameter of LinearLearner, declared once.

Validation, rendering, parsing, the tuning ranges and the reference page all read this table; nothing else knows
a type, a range or a default.  The ranges are those of the service's documentation, the defaults its container's.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from airflow_ll.hyperparameters.declaration import (
    AUTO,
    BINARY,
    CLASSIFIERS,
    MULTICLASS,
    PREDICTOR_TYPES,
    REGRESSOR,
    Condition,
    Hyperparameter,
    Interval,
    Kind,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["CRITERION", "FEWEST_CLASSES", "HYPERPARAMETERS", "LOSSES"]

CRITERION = "binary_classifier_model_selection_criteria"
FEWEST_CLASSES = 3
EPS_INSENSITIVE = ("eps_insensitive_squared_loss", "eps_insensitive_absolute_loss")

LOSSES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        BINARY: ("logistic", "hinge_loss"),
        MULTICLASS: ("softmax_loss",),
        REGRESSOR: ("squared_loss", "absolute_loss", *EPS_INSENSITIVE, "quantile_loss", "huber_loss"),
    }
)
"""The losses of each predictor type, its ``auto`` loss first."""

COUNT = Interval(low=1)
MILLION = Interval(low=1, high=1_000_000)
POSITIVE = Interval(low=0, open_low=True)
NOT_NEGATIVE = Interval(low=0)
FRACTION = Interval(low=0, high=1, open_low=True, open_high=True)
DECAY = Interval(low=0, high=1, open_high=True)

WITH_ADAM = Condition("optimizer", ("adam", AUTO), unset=True)
WITH_SCHEDULER = Condition("use_lr_scheduler", (True,), unset=True)

_DECLARED = (
    # The task
    Hyperparameter(
        name="predictor_type",
        kind=Kind.CHOICE,
        choices=PREDICTOR_TYPES,
        default=None,
        description="What is learned: one of two classes, one of several classes, or a number. Required.",
    ),
    Hyperparameter(
        name="num_classes",
        kind=Kind.INTEGER,
        interval=MILLION,
        default=1,
        applies_to=(MULTICLASS,),
        description="The number of classes; the labels are 0 to num_classes - 1. Required and at least 3 for a "
        "multiclass_classifier, ignored (and not sent) otherwise.",
    ),
    Hyperparameter(
        name="loss",
        kind=Kind.CHOICE,
        choices=tuple(loss for losses in LOSSES.values() for loss in losses),
        auto=True,
        description="The objective of training. auto is logistic for a binary_classifier, softmax_loss for a "
        "multiclass_classifier and squared_loss for a regressor.",
    ),
    Hyperparameter(
        name="margin",
        kind=Kind.NUMBER,
        interval=POSITIVE,
        default=1.0,
        applies_to=(BINARY,),
        only_with=Condition("loss", ("hinge_loss",)),
        description="The width of the margin of the hinge loss.",
    ),
    Hyperparameter(
        name="quantile",
        kind=Kind.NUMBER,
        interval=FRACTION,
        default=0.5,
        applies_to=(REGRESSOR,),
        only_with=Condition("loss", ("quantile_loss",)),
        description="The quantile to predict: the label lies below the prediction with this probability.",
    ),
    Hyperparameter(
        name="huber_delta",
        kind=Kind.NUMBER,
        interval=POSITIVE,
        default=1.0,
        applies_to=(REGRESSOR,),
        only_with=Condition("loss", ("huber_loss",)),
        description="The error up to which the Huber loss is squared, and absolute beyond.",
    ),
    Hyperparameter(
        name="loss_insensitivity",
        kind=Kind.NUMBER,
        interval=POSITIVE,
        default=0.01,
        applies_to=(REGRESSOR,),
        only_with=Condition("loss", EPS_INSENSITIVE),
        description="The error up to which an epsilon-insensitive loss is 0, in training and in the metrics.",
    ),
    # The data
    Hyperparameter(
        name="feature_dim",
        kind=Kind.INTEGER,
        interval=COUNT,
        auto=True,
        description="The number of features of a row. auto takes it from the data.",
    ),
    Hyperparameter(
        name="mini_batch_size",
        kind=Kind.INTEGER,
        interval=COUNT,
        default=1000,
        tunable=(100, 5000),
        description="The rows of one update, at most the rows that one instance reads.",
    ),
    Hyperparameter(
        name="normalize_data",
        kind=Kind.BOOLEAN,
        auto=True,
        default=True,
        description="Whether to train on features scaled to a standard deviation of 1.",
    ),
    Hyperparameter(
        name="normalize_label",
        kind=Kind.BOOLEAN,
        auto=True,
        applies_to=(REGRESSOR,),
        description="Whether to train on labels scaled to a standard deviation of 1. auto is True for a regressor.",
    ),
    Hyperparameter(
        name="unbias_data",
        kind=Kind.BOOLEAN,
        auto=True,
        description="Whether to train on features shifted to a mean of 0. auto follows use_bias.",
    ),
    Hyperparameter(
        name="unbias_label",
        kind=Kind.BOOLEAN,
        auto=True,
        applies_to=(REGRESSOR,),
        description="Whether to train on labels shifted to a mean of 0. auto follows use_bias for a regressor.",
    ),
    Hyperparameter(
        name="num_point_for_scaler",
        kind=Kind.INTEGER,
        interval=COUNT,
        default=10_000,
        description="The rows from which means and standard deviations are estimated.",
    ),
    Hyperparameter(
        name="positive_example_weight_mult",
        kind=Kind.NUMBER,
        interval=POSITIVE,
        choices=("balanced",),
        auto=True,
        default=1.0,
        applies_to=(BINARY,),
        tunable=(1e-5, 1e5),
        description="The weight of a positive row; a negative one weighs 1. balanced gives both classes the same "
        "total weight, auto lets the algorithm choose.",
    ),
    Hyperparameter(
        name="balance_multiclass_weights",
        kind=Kind.BOOLEAN,
        default=False,
        applies_to=(MULTICLASS,),
        description="Whether each class has the same total weight in the loss.",
    ),
    # Training
    Hyperparameter(
        name="epochs",
        kind=Kind.INTEGER,
        interval=COUNT,
        default=15,
        description="The most passes over the training data.",
    ),
    Hyperparameter(
        name="num_models",
        kind=Kind.INTEGER,
        interval=COUNT,
        auto=True,
        description="The models that train side by side: one with the given settings, the others with settings "
        "near them. auto is 32 for two classes and for regression. A tuning job always uses 1.",
    ),
    Hyperparameter(
        name="use_bias",
        kind=Kind.BOOLEAN,
        default=True,
        tunable=(True, False),
        description="Whether the model has an intercept.",
    ),
    Hyperparameter(
        name="init_method",
        kind=Kind.CHOICE,
        choices=("uniform", "normal"),
        default="uniform",
        description="The distribution of the first weights.",
    ),
    Hyperparameter(
        name="init_scale",
        kind=Kind.NUMBER,
        interval=POSITIVE,
        default=0.07,
        description="The uniform first weights lie between -init_scale and init_scale. For init_method='uniform'.",
    ),
    Hyperparameter(
        name="init_sigma",
        kind=Kind.NUMBER,
        interval=POSITIVE,
        default=0.01,
        description="The standard deviation of the normal first weights. For init_method='normal'.",
    ),
    Hyperparameter(name="init_bias", kind=Kind.NUMBER, default=0.0, description="The first intercept."),
    Hyperparameter(
        name="optimizer",
        kind=Kind.CHOICE,
        choices=("sgd", "adam", "rmsprop"),
        auto=True,
        description="The optimisation algorithm. auto is adam.",
    ),
    Hyperparameter(
        name="learning_rate",
        kind=Kind.NUMBER,
        interval=POSITIVE,
        auto=True,
        tunable=(1e-5, 1.0),
        description="The step size of the optimizer.",
    ),
    Hyperparameter(
        name="wd",
        kind=Kind.NUMBER,
        interval=NOT_NEGATIVE,
        auto=True,
        tunable=(1e-7, 1.0),
        description="The strength of the L2 regularisation (weight decay); 0 is none.",
    ),
    Hyperparameter(
        name="l1",
        kind=Kind.NUMBER,
        interval=NOT_NEGATIVE,
        auto=True,
        tunable=(1e-7, 1.0),
        description="The strength of the L1 regularisation; 0 is none.",
    ),
    Hyperparameter(
        name="momentum",
        kind=Kind.NUMBER,
        interval=DECAY,
        auto=True,
        only_with=Condition("optimizer", ("sgd",)),
        description="The momentum of sgd.",
    ),
    Hyperparameter(
        name="beta_1",
        kind=Kind.NUMBER,
        interval=DECAY,
        auto=True,
        only_with=WITH_ADAM,
        description="The decay of adam's estimate of the first moment.",
    ),
    Hyperparameter(
        name="beta_2",
        kind=Kind.NUMBER,
        interval=DECAY,
        auto=True,
        only_with=WITH_ADAM,
        description="The decay of adam's estimate of the second moment.",
    ),
    Hyperparameter(
        name="bias_lr_mult",
        kind=Kind.NUMBER,
        interval=POSITIVE,
        auto=True,
        description="The learning rate of the intercept is learning_rate times this.",
    ),
    Hyperparameter(
        name="bias_wd_mult",
        kind=Kind.NUMBER,
        interval=NOT_NEGATIVE,
        auto=True,
        description="The L2 regularisation of the intercept is wd times this; 0 is none.",
    ),
    Hyperparameter(
        name="use_lr_scheduler",
        kind=Kind.BOOLEAN,
        default=True,
        description="Whether the learning rate falls during training.",
    ),
    Hyperparameter(
        name="lr_scheduler_step",
        kind=Kind.INTEGER,
        interval=COUNT,
        auto=True,
        only_with=WITH_SCHEDULER,
        description="The updates (batches) between two decreases of the learning rate.",
    ),
    Hyperparameter(
        name="lr_scheduler_factor",
        kind=Kind.NUMBER,
        interval=FRACTION,
        auto=True,
        only_with=WITH_SCHEDULER,
        description="What the learning rate is multiplied by at each decrease.",
    ),
    Hyperparameter(
        name="lr_scheduler_minimum_lr",
        kind=Kind.NUMBER,
        interval=POSITIVE,
        auto=True,
        only_with=WITH_SCHEDULER,
        description="The learning rate never falls below this.",
    ),
    Hyperparameter(
        name="early_stopping_patience",
        kind=Kind.INTEGER,
        interval=COUNT,
        default=3,
        description="The epochs without improvement after which training ends; more than epochs never ends early.",
    ),
    Hyperparameter(
        name="early_stopping_tolerance",
        kind=Kind.NUMBER,
        interval=POSITIVE,
        default=0.001,
        description="A relative improvement smaller than this counts as none.",
    ),
    # Model selection and metrics
    Hyperparameter(
        name=CRITERION,
        kind=Kind.CHOICE,
        choices=("accuracy", "f_beta", "precision_at_target_recall", "recall_at_target_precision", "loss_function"),
        legacy={"f1": "f_beta", "cross_entropy_loss": "loss_function"},
        default="accuracy",
        applies_to=(BINARY,),
        description="What the chosen model and its threshold are best at, on the validation channel. Without that "
        "channel the training loss chooses the model, and this its threshold.",
    ),
    Hyperparameter(
        name="target_recall",
        kind=Kind.NUMBER,
        interval=FRACTION,
        default=0.8,
        applies_to=(BINARY,),
        only_with=Condition(CRITERION, ("precision_at_target_recall",)),
        description="The recall to hold while precision is maximised.",
    ),
    Hyperparameter(
        name="target_precision",
        kind=Kind.NUMBER,
        interval=FRACTION,
        default=0.8,
        applies_to=(BINARY,),
        only_with=Condition(CRITERION, ("recall_at_target_precision",)),
        description="The precision to hold while recall is maximised.",
    ),
    Hyperparameter(
        name="f_beta",
        kind=Kind.NUMBER,
        interval=POSITIVE,
        default=1.0,
        applies_to=CLASSIFIERS,
        only_with=Condition(CRITERION, ("f_beta",), unset=True),
        description="The beta of the F score: of the metrics of both classifiers, and of model selection by f_beta.",
    ),
    Hyperparameter(
        name="num_calibration_samples",
        kind=Kind.INTEGER,
        interval=COUNT,
        auto=True,
        default=10_000_000,
        applies_to=(BINARY,),
        description="The most validation rows from which the threshold is chosen.",
    ),
    Hyperparameter(
        name="accuracy_top_k",
        kind=Kind.INTEGER,
        interval=MILLION,
        default=3,
        applies_to=(MULTICLASS,),
        description="A row counts as right in the top-k accuracy when its class is among the k highest scores.",
    ),
)

HYPERPARAMETERS: Mapping[str, Hyperparameter] = MappingProxyType({one.name: one for one in _DECLARED})
"""The table, by name."""
