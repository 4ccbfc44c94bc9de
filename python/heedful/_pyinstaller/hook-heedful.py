"""PyInstaller's hook: the modules and data that heedful loads by name, which it cannot detect.

The benchmarks, the command line and the adapters of other frameworks are excluded, as they would
include every framework that is installed; an application that imports them by name still includes
them.
"""

from PyInstaller.utils.hooks import collect_data_files, collect_submodules

_LEFT_OUT = (
    "heedful.__main__",
    "heedful._command",
    "heedful._pyinstaller",
    "heedful.benchmark",
    *(
        f"heedful.integrations.{name}"
        for name in ("dask", "jax", "keras", "onnx", "sklearn", "torch", "transformers")
    ),
)


def _wanted(module: str) -> bool:
    return not module.startswith(_LEFT_OUT)


hiddenimports = collect_submodules("heedful", filter=_wanted)
datas = collect_data_files("heedful", includes=["data/*.npz", "data/*.md", "explain/html/assets/*"])
