"""PyInstaller's hook: the modules and the data that heedful loads by name, which it cannot see.

Left out are the benchmarks and the command line, for they would bring along every framework that
is installed; an application that imports them by their names has them all the same.
"""

from PyInstaller.utils.hooks import collect_data_files, collect_submodules

_LEFT_OUT = ("heedful.__main__", "heedful._command", "heedful._pyinstaller", "heedful.benchmark")


def _wanted(module: str) -> bool:
    return not module.startswith(_LEFT_OUT)


hiddenimports = collect_submodules("heedful", filter=_wanted)
datas = collect_data_files("heedful", includes=["data/*.npz", "data/*.md"])
