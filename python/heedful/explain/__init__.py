"""See where attention goes, measure whether that explains a model, and guide it."""

from heedful.explain import html as html
from heedful.explain import plot as plot
from heedful.explain._attention_feedback import AttentionFeedback
from heedful.explain._attention_map import AttentionMap
from heedful.explain._attention_map_of import attention_map
from heedful.explain._attention_prior import attention_prior
from heedful.explain._correction import Correction
from heedful.explain._faithfulness import faithfulness
from heedful.explain._faithfulness_result import Faithfulness, FaithfulnessScores
from heedful.explain._flow import flow
from heedful.explain._gradient_times_input import gradient_times_input
from heedful.explain._guidable_heads import GuidableHeads, find_guidable_heads
from heedful.explain._guidance import Guidance
from heedful.explain._guide import guide, region
from heedful.explain._head_behaviour import head_behaviour
from heedful.explain._head_table import HeadBehaviour, HeadTable
from heedful.explain._integrated_gradients import integrated_gradients
from heedful.explain._layer_weights import LayerWeights
from heedful.explain._norm_map import norm_map
from heedful.explain._norm_weighted import norm_weighted
from heedful.explain._permutation_importance import permutation_importance
from heedful.explain._received import received_attention
from heedful.explain._relevance import relevance
from heedful.explain._relevance_map import relevance_map
from heedful.explain._rollout import rollout
from heedful.explain._steer import steer
from heedful.explain._tensorboard import TensorBoard
from heedful.explain._tune_guidance import TunedGuidance, tune_guidance
from heedful.explain._watch import watch
from heedful.explain._weight_randomization import WeightRandomization, weight_randomization

__all__ = [
    "AttentionFeedback",
    "AttentionMap",
    "Correction",
    "Faithfulness",
    "FaithfulnessScores",
    "GuidableHeads",
    "Guidance",
    "HeadBehaviour",
    "HeadTable",
    "LayerWeights",
    "TensorBoard",
    "TunedGuidance",
    "WeightRandomization",
    "attention_map",
    "attention_prior",
    "faithfulness",
    "find_guidable_heads",
    "flow",
    "gradient_times_input",
    "guide",
    "head_behaviour",
    "html",
    "integrated_gradients",
    "norm_map",
    "norm_weighted",
    "permutation_importance",
    "plot",
    "received_attention",
    "region",
    "relevance",
    "relevance_map",
    "rollout",
    "steer",
    "tune_guidance",
    "watch",
    "weight_randomization",
]
