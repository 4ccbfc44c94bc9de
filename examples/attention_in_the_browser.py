"""Look at the attention of a trained model in a browser, and at its training in TensorBoard.

A small vision Transformer learns to read digits, and three pages are written: one over a digit, in
which a click on a patch shows where it looks; one of all heads; and one of the lines between
patches. Each is a single file that needs no network. Where tensorboardX is installed, the training
writes images of the same attention after each epoch, and what that costs is printed.

    python attention_in_the_browser.py            what is printed below, in half a minute
    python attention_in_the_browser.py --short    a few epochs, in seconds, as the tests run it

epoch  1: accuracy 89.09%
epoch 20: accuracy 97.33%
TensorBoard took 3.9% of the time of an epoch
over_a_digit.html: 26 KiB
all_heads.html: 38 KiB
lines_of_a_head.html: 32 KiB
"""

# %% Digits of 8 × 8 pixels as 16 patches of 2 × 2
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from heedful.data import load_digits
from heedful.explain import TensorBoard, attention_map, html
from heedful.layers import Encoder, Flatten, LearnedPositions, Linear, Sequential

EPOCHS = 2 if "--short" in sys.argv else 20
FOLDER = Path(tempfile.mkdtemp(prefix="attention_"))

images, labels = load_digits()
pixels = images.astype(np.float32) / 16
patches = pixels.reshape(-1, 4, 2, 4, 2).swapaxes(2, 3).reshape(-1, 16, 4)
names = [f"row {patch // 4}, column {patch % 4}" for patch in range(16)]

# %% A Transformer with two layers of four heads
rng = np.random.default_rng(0)
model = Sequential(
    Linear(4, 64, rng=rng),
    LearnedPositions(16, 64, rng=rng),
    Encoder(2, 64, 4, dff=128, norm_first=True, rng=rng),
    Flatten(),
    Linear(16 * 64, 10, rng=rng),
)
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])

# %% Training, with a look at one digit after each epoch
callbacks = []
spent = 0.0
if find_spec("tensorboardX") and find_spec("PIL"):

    class Timed(TensorBoard):
        """The time it takes, which a training would not print."""

        def on_epoch_end(self, epoch, logs):
            global spent
            begin = time.process_time()
            super().on_epoch_end(epoch, logs)
            spent += time.process_time() - begin

    callbacks.append(Timed(FOLDER / "runs", probe=patches[1::2][:1], tokens=names))

begin = time.process_time()
history = model.fit(
    patches[0::2], labels[0::2], epochs=EPOCHS, batch_size=16,
    validation_data=(patches[1::2], labels[1::2]), callbacks=callbacks, rng=rng, verbose=False,
)  # fmt: skip
whole = time.process_time() - begin
for epoch in (1, EPOCHS):
    print(f"epoch {epoch:2}: accuracy {history['val_accuracy'][epoch - 1]:.2%}")
if callbacks:
    print(f"TensorBoard took {spent / whole:.1%} of the time of an epoch")
    print(f"see it by: tensorboard --logdir {FOLDER / 'runs'}")

# %% The pages of a digit that the model has not seen
chosen = attention_map(model, patches[1::2][:1], tokens=names)
pages = {
    "over_a_digit": html.image(chosen, images[1], patch_size=2, title="Where each patch looks"),
    "all_heads": html.model(chosen, title="All heads of the reader of digits"),
    "lines_of_a_head": html.heads(chosen, layer=1, title="Lines between the patches of a digit"),
}
for name, page in pages.items():
    path = page.save(FOLDER / f"{name}.html")
    print(f"{path.name}: {path.stat().st_size / 1024:.0f} KiB")
print(f"open them: {FOLDER.as_uri()}")

assert history["val_accuracy"][-1] > 0.85
