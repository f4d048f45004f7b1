# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Which folder of the package imports which, as a list and as a drawing.

    draw_imports.py [PACKAGE] [--svg DRAWING.svg]

PACKAGE is the folder of the package, ``galvae_affiliated`` if left out. Imports count wherever
in a module they stand, those inside functions too. A folder of the first level is one node, with
all that is below it, and each module beside the folders is one, but for the ground that all stand
on.

The drawing has a line for each arrow that no longer way replaces.
"""

import argparse
import ast
from collections import defaultdict
from pathlib import Path

GROUND = ('_atomic', '_batches', '_optional', '_progress', 'exceptions', 'flags', 'version')
# where nodes stand that are not in the middle
COLUMNS = {'distributed': -0.5, 'scripts': 0.5, 'training': 0.5, 'plotting': 1.0}


def module_imports(package):
    """Module to the modules of the package that it imports; names without that of the package."""
    files = {}
    for path in sorted(package.rglob('*.py')):
        parts = path.relative_to(package).with_suffix('').parts
        files['.'.join(parts[:-1] if parts[-1] == '__init__' else parts)] = path
    return {name: _imported(path, package.name, files) - {name} for name, path in files.items()}


def _imported(path, package, known):
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            root, _, base = node.module.partition('.')
            if root == package:
                names = [f'{base}.{alias.name}'.lstrip('.') for alias in node.names]
                found |= {name if name in known else base for name in names}
    return found & set(known) - {''}


def folder_imports(modules):
    """Folder to the folders that it imports, each with the number of imports of modules."""
    folders = defaultdict(lambda: defaultdict(int))
    for name, those in modules.items():
        folders[_folder(name)]  # one that imports nothing counts as well
        for other in those:
            if _folder(name) != _folder(other):
                folders[_folder(name)][_folder(other)] += 1
    folders.pop('', None)
    return {name: dict(those) for name, those in folders.items()}


def _folder(name):
    return 'ground' if name in GROUND else name.split('.')[0]


def circles(graph):
    """Sets of nodes that import each other, by whatever way."""
    reached = {name: _reached(name, graph) for name in graph}
    found = {frozenset({other for other in reached[name] if name in reached[other]})
             for name in graph if name in reached[name]}
    return sorted(sorted(circle) for circle in found)


def _reached(name, graph):
    found, waiting = set(), list(graph[name])
    while waiting:
        other = waiting.pop()
        if other not in found:
            found.add(other)
            waiting += graph[other]
    return found


def floors(graph):
    """Node to the number of imports that stand below it; those of a circle share a floor."""
    reached = {name: _reached(name, graph) for name in graph}
    result = {}
    # those of a circle before what stands on it and reaches no more
    for name in sorted(graph, key=lambda one: (len(reached[one]), one not in reached[one])):
        below = [result[other] for other in reached[name] if name not in reached[other]]
        result[name] = 1 + max(below, default=-1)
    return result


def draw(graph, path):
    """The folders on their floors, with arrows to what they import."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    floor = floors(graph)
    place = {name: (COLUMNS.get(name, 0.0), floor[name]) for name in graph}
    n_floors = 1 + max(floor.values())
    with rc_context({'svg.fonttype': 'none', 'svg.hashsalt': 'imports'}):
        figure = Figure(figsize=(6, 0.7 * n_floors), layout='constrained')
        axes = figure.subplots()
        axes.set_axis_off()
        axes.set_xlim(-0.9, 1.3)
        axes.set_ylim(-0.5, n_floors - 0.5)
        for name, those in graph.items():
            for other in those:
                if not any(other in _reached(third, graph) for third in those):
                    axes.annotate('', place[other], place[name], arrowprops={
                        'arrowstyle': '->', 'color': '0.5', 'shrinkA': 13, 'shrinkB': 13})
        for name, (x, y) in place.items():
            axes.text(x, y, name, ha='center', va='center', family='monospace', bbox={
                'boxstyle': 'round', 'facecolor': 'white', 'edgecolor': '0.3'})
        figure.savefig(path, metadata={'Date': None})


def main():
    parser = argparse.ArgumentParser(description=__doc__.strip().split('\n')[0])
    parser.add_argument('package', nargs='?', default='galvae_affiliated', type=Path)
    parser.add_argument('--svg', type=Path)
    options = parser.parse_args()
    modules = module_imports(options.package)
    graph = folder_imports(modules)
    floor = floors(graph)
    for name in sorted(graph, key=lambda one: (-floor[one], one)):
        those = sorted(graph[name], key=lambda one: (-floor[one], one))
        print(f'{floor[name]:2d} {name:14s} {", ".join(those)}')
    floor = floors(modules)
    print(f'{len(modules)} modules on {1 + max(floor.values())} floors, '
          f'{sum(map(len, modules.values()))} arrows')
    for kind, which in (('modules', modules), ('folders', graph)):
        found = [' <-> '.join(circle) for circle in circles(which)]
        print(f'circles of {kind}: {"; ".join(found) or "none"}')
    if options.svg:
        draw(graph, options.svg)


if __name__ == '__main__':
    main()
