"""What a kustomization may name: files of its own folder. kustomize itself would fetch whatever it is told to, and read its neighbours."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import yaml

from ....errors import LabError
from ....system import yaml_nodes

NAMES = ("kustomization.yaml", "kustomization.yml", "Kustomization")
#: Keys that name files, or nothing at all; plugins, charts, schemas and what is deprecated are not among them.
_PLAIN = frozenset(
    {"apiVersion", "kind", "metadata", "namespace", "namePrefix", "nameSuffix", "commonLabels", "labels"}
    | {"commonAnnotations", "images", "replicas", "generatorOptions", "buildMetadata", "sortOptions"}
)
_LISTS = frozenset({"resources", "components"})
_INSIDE = frozenset({"patches", "replacements", "configMapGenerator", "secretGenerator"})
_PATHS = ("path", "files", "envs", "env")  # kustomize takes them in any case


def vet(folder: Path) -> None:
    """Look through the kustomization of a folder, and those of the folders that it names.

    :raises LabError: with the line of what is not a file or folder in `folder`, or a key that no lab needs.
    """
    top = folder.resolve()
    to_see, seen = [top], set()
    while to_see:
        here = to_see.pop()
        seen.add(here)
        for file in (here / name for name in NAMES if (here / name).exists()):
            where = file.relative_to(top).as_posix()
            for line, name in _named(where, file):
                target = (here / name).resolve()
                if not target.is_relative_to(top) or not target.exists():
                    raise LabError(
                        f"{name} is not in this folder, and nothing is fetched or read from elsewhere.",
                        where=f"{where}:{line}",
                        fix="name a file that lies beside it",
                    )
                if target.is_dir() and target not in seen:
                    to_see.append(target)


def _named(where: str, file: Path) -> Iterator[tuple[int, str]]:
    """(line, name) of every file that a kustomization names."""
    try:
        top = yaml.compose(file.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except (yaml.YAMLError, UnicodeDecodeError, OSError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise LabError(f"{where} is not YAML: {error}", where=f"{where}{line}") from None
    if not isinstance(top, yaml.MappingNode):
        raise LabError(f"{where} is no kustomization.", where=f"{where}:1", fix="begin it with resources:")
    yaml_nodes.plain(where, top)
    for key, value in top.value:
        if key.value in _LISTS:
            yield from _scalars(value)
        elif key.value in _INSIDE:
            yield from _below(value)
        elif key.value not in _PLAIN:
            raise LabError(
                f"A lab's kustomization has no {key.value}.",
                where=f"{where}:{key.start_mark.line + 1}",
                fix=f"it has {', '.join(sorted(_PLAIN | _LISTS | _INSIDE))}",
            )


def _below(node: yaml.Node) -> Iterator[tuple[int, str]]:
    if isinstance(node, yaml.SequenceNode):
        for child in node.value:
            yield from _below(child)
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if str(key.value).lower() in _PATHS:
                # key=file: the file's name in the ConfigMap, and where it is
                yield from ((line, name.split("=", 1)[-1]) for line, name in _scalars(value))
            else:
                yield from _below(value)


def _scalars(node: yaml.Node) -> Iterator[tuple[int, str]]:
    if isinstance(node, yaml.ScalarNode):
        yield node.start_mark.line + 1, str(node.value)
    elif isinstance(node, yaml.SequenceNode):
        for child in node.value:
            yield from _scalars(child)
