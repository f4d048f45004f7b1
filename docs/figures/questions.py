# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The tree of questions of the default model.

    python docs/figures/questions.py FOLDER
"""

from _demo import DPI, out_folder
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from galvae_affiliated import get_model

WIDTH, BOX, LINE, GAP = 2.35, 1.7, 0.2, 0.22  # inches


def place(question, questions, level, top, places):
    """Give a question and those it leads to places (level, top, height); returns the bottom."""
    height = LINE * (len(questions[question].answers) + 1.5)
    bottom = top
    answers = questions[question].answers
    led_to = [child for child, entry in questions.items()
              if entry.parent and entry.parent[0] == question]
    for child in sorted(led_to, key=lambda one: answers.index(questions[one].parent[1])):
        bottom = place(child, questions, level + 1, bottom, places)
    places[question] = level, top, height
    return max(bottom, top + height + GAP)


def draw(axis, questions, places):
    for question, (level, top, height) in places.items():
        x = level * WIDTH
        axis.add_patch(Rectangle((x, top), BOX, height, facecolor='#eef3f8',
                                 edgecolor='0.6'))
        axis.text(x + 0.1, top + 0.75 * LINE, question, weight='bold', fontsize=10, va='center')
        for i, answer in enumerate(questions[question].answers):
            axis.text(x + 0.25, top + LINE * (i + 1.75), answer, fontsize=10, va='center')
        if questions[question].parent:
            parent, answer = questions[question].parent
            up, start, _ = places[parent]
            y = start + LINE * (questions[parent].answers.index(answer) + 1.75)
            axis.annotate('', (x, top + 0.75 * LINE), (up * WIDTH + BOX, y),
                          arrowprops={'arrowstyle': '-|>', 'color': '0.4', 'shrinkA': 0})


def main():
    folder, questions = out_folder(), get_model().manifest.questions
    places, bottom = {}, 0.0
    for question, entry in questions.items():
        if entry.parent is None:
            bottom = place(question, questions, 0, bottom, places)
    levels = 1 + max(level for level, _, _ in places.values())
    figure = Figure(figsize=(levels * WIDTH - WIDTH + BOX + 0.1, bottom))
    axis = figure.add_axes([0, 0, 1, 1])
    axis.set(xlim=(-0.05, levels * WIDTH - WIDTH + BOX + 0.05), ylim=(bottom, -0.1))
    axis.set_axis_off()
    draw(axis, questions, places)
    figure.savefig(folder / 'questions.png', dpi=DPI)


if __name__ == '__main__':
    main()
