"""The tab with the quiz."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
from export import to_data_uri
from model import Model
from quiz import ROUNDS, chance_of, make_round
from sampling import Sampler
from view import INTERNAL, RunBar, explain_failure, figures, note, title

NAMES = ("A", "B")
START, NEXT = "Start the quiz", "Next pair"


class QuizTab:
    """Builds the tab and connects it. What is right is kept on the server until the answer is given."""

    def __init__(self, model: Model, sample: Sampler, photographs: list[Path]) -> None:
        """Puts the tab on the page."""
        self._model, self._sample, self._photographs = model, sample, photographs
        if photographs:
            about = "One of each pair is a photograph of a real eye, the other was generated."
            self._question = "Which one is the photograph?"
        else:
            about = (
                "No real photographs are configured here, so both of each pair are synthetic: one drawn with care, the "
                "other in too few steps."
            )
            self._question = "Which one was drawn with care?"
        gr.HTML(title("Real or synthetic?", f"{about} {ROUNDS} pairs: can you tell?"))
        self.state = gr.State({})
        self.bar = RunBar(START, "quiz")
        self.pair = gr.HTML(elem_id="quiz-pair")
        with gr.Row(elem_classes="answers"):
            self.answers = [gr.Button(name, interactive=False, elem_id=f"quiz-{name}") for name in NAMES]
        self.bar.connect(self._ask, [self.state], [self.state, self.pair, *self.answers], {})
        for button in self.answers:
            button.click(
                self._judge,
                [self.state, button],
                [self.state, self.bar.status, self.bar.start, *self.answers],
                queue=False,
                show_progress="hidden",
                **INTERNAL,
            )

    def _ask(self, state: dict[str, Any]) -> Iterator[tuple]:
        """Yields status, state, the pair, and the two answers."""
        asked, right = state.get("asked", 0), state.get("right", 0)
        if asked == ROUNDS:
            asked = right = 0
        yield note(f"Drawing pair {asked + 1} of {ROUNDS} ..."), gr.skip(), "", *_buttons(False)
        try:
            question = make_round(self._model, self._sample, self._photographs, random.Random())
        except Exception as error:  # whatever the model or a photograph raises: the page goes on
            yield explain_failure(error), gr.skip(), "", *_buttons(False)
            return
        sources = [to_data_uri(picture) for picture in question.pictures]
        state = {"asked": asked, "right": right, "answer": NAMES[question.answer], "truth": question.truth}
        pair = figures(list(zip(sources, NAMES, strict=True)))
        yield note(f"Pair {asked + 1} of {ROUNDS}. {self._question}"), state, pair, *_buttons(True)

    def _judge(self, state: dict[str, Any], choice: str) -> tuple:
        """What the answer was, the score, and the way on."""
        if "answer" not in state:
            return (gr.skip(),) * 5
        hit = choice == state["answer"]
        asked, right = state["asked"] + 1, state["right"] + hit
        text = f"{'Right' if hit else 'No'}: it is {state['answer']}. {state['truth']} {right} of {asked} right."
        if asked == ROUNDS:
            text += f" Guessing does as well or better in {chance_of(right, asked):.0%} of quizzes."
        follow = "Play again" if asked == ROUNDS else NEXT
        return {"asked": asked, "right": right}, note(text), gr.Button(follow), *_buttons(False)


def _buttons(interactive: bool) -> tuple[gr.Button, gr.Button]:
    return gr.Button(interactive=interactive), gr.Button(interactive=interactive)
