"""Which measurements decide? A classifier that weighs its input features.

scikit-learn's breast-cancer data: 30 measurements of cell nuclei, benign or malignant. A softmax
over the features weighs each of them before two dense layers decide, and the weights can be read:
printed are the share of unseen examples that it decides rightly, and the weight of each
measurement, averaged over these examples, the greatest first.

    python feature_attention.py    in some seconds

History(35 epochs, last: loss 0.02414, accuracy 1, val_loss 0.06346, val_accuracy 0.978)
test accuracy 95.6% of 114 examples never seen
mean weight of each feature, equal would be 3.3 %:
   11.8%  worst radius
    6.2%  mean concave points
    4.9%  worst concave points
    4.9%  radius error
    4.8%  worst area
    4.7%  worst perimeter
    4.0%  mean radius
… and 23 more, down to
    1.9%  worst compactness
"""

# %% Real data, standardised, split into training, validation and test
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split

from heedful.layers import Dense, FeatureAttention, Sequential
from heedful.training import L2, Adam, EarlyStopping

data = load_breast_cancer()
x_rest, x_test, y_rest, y_test = train_test_split(
    data.data, data.target, test_size=0.2, random_state=0, stratify=data.target
)
x_train, x_valid, y_train, y_valid = train_test_split(
    x_rest, y_rest, test_size=0.2, random_state=0, stratify=y_rest
)
mean, deviation = x_train.mean(0), x_train.std(0)
x_train, x_valid, x_test = ((x - mean) / deviation for x in (x_train, x_valid, x_test))

# %% Attention to features, then a small network
rng = np.random.default_rng(0)
attention = FeatureAttention(30, rng=rng)
model = Sequential(
    attention,
    Dense(64, activation="relu", kernel_regularizer=L2(1e-3), rng=rng),
    Dense(1, activation="sigmoid", kernel_regularizer=L2(1e-3), rng=rng),
)
model.compile(Adam(lr=3e-3), loss="binary_crossentropy", metrics=["accuracy"])
history = model.fit(
    x_train, y_train, epochs=100, batch_size=32, validation_data=(x_valid, y_valid),
    callbacks=[EarlyStopping(patience=10)], verbose=False, rng=rng,
)  # fmt: skip
print(history)

# %% How well, and by what
loss, accuracy = model.evaluate(x_test, y_test)
print(f"test accuracy {accuracy:.1%} of {len(x_test)} examples never seen")
_, weights = attention(x_test, return_weights=True)  # (examples, features)
average = weights.mean(0)
print("mean weight of each feature, equal would be 3.3 %:")
for feature in average.argsort()[::-1]:
    print(f"  {average[feature]:6.1%}  {data.feature_names[feature]}")
assert accuracy >= 0.95
