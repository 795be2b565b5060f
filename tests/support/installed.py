"""Packages that lie installed in a folder, with entry points."""


def install(folder, name, code, group, **points):
    """Install a package of one module in a folder of sys.path; points: {entry point: what of the module}."""
    (folder / f"{name}.py").write_text(code)
    info = folder / f"{name}-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
    lines = "".join(f"{point} = {name}:{value}\n" for point, value in points.items())
    (info / "entry_points.txt").write_text(f"[{group}]\n{lines}")
